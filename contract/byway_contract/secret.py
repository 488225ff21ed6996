"""A value that must not be seen: it prints as `***` wherever a program prints things by itself."""

import msgspec


class Secret(msgspec.Struct, frozen=True):
    """A credential. Only `reveal()` gives it away, so that a search finds every place that looks.

    On the wire it is `{"value": "…"}`; a struct's own `repr` would print its fields, this one does not.
    """

    value: str

    def reveal(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return "Secret(***)"

    __str__ = __repr__
