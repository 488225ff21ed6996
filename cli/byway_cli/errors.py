"""What went wrong, said to a person: the one exception a command may end with."""


class CommandError(Exception):
    """Names the thing, what is wrong with it, and the way out. `main` prints it and exits with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code
