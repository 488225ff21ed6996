"""What is set aside for one attempt: the nouns of holding. Pure."""

import msgspec
from byway_contract.records import Legs

from byway_proxy.meter.begun import together
from byway_proxy.meter.budgets import Line

Key = tuple[str, str]
"""(limit, subject)."""


class Claim(msgspec.Struct, frozen=True, gc=False):
    """What an attempt needs of one limit, at worst."""

    line: Line
    need: int

    @property
    def key(self) -> Key:
        return (self.line.limit, self.line.subject)


class Part(msgspec.Struct, frozen=True, gc=False):
    """Of a hold: one limit's."""

    line: Line
    legs: Legs


class Hold(msgspec.Struct, frozen=True, gc=False):
    """What one attempt has set aside. Whoever has it gives it to `settle` or `unhold`, once."""

    parts: tuple[Part, ...]

    def and_more(self, more: "Hold") -> "Hold":
        """`more` is of the same limits, in their order; of the last it may have none."""
        grown = (Part(a.line, together(a.legs, b.legs)) for a, b in zip(self.parts, more.parts, strict=False))
        return Hold((*grown, *self.parts[len(more.parts) :]))

    @property
    def legs(self) -> Legs:
        return tuple(leg for part in self.parts for leg in part.legs)


class Share(msgspec.Struct, frozen=True, gc=False):
    """What a limit amounted to when the ledger last said it, and what of it was used."""

    used: int
    limited: int
