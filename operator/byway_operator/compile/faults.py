"""What can be wrong with a resource that is well-formed: it is not accepted, or something it names is not there."""

from byway_operator.compile.verdict import Condition


class NotAccepted(Exception):
    """The object as it stands is refused: `Accepted=False`. Its last good form may serve on."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.condition = Condition("False", reason, message, field)


class Unresolved(Exception):
    """Something the object names is missing or not permitted: `ResolvedRefs=False`. It takes effect at once."""

    def __init__(self, reason: str, field: str, message: str) -> None:
        super().__init__(message)
        self.condition = Condition("False", reason, message, field)
