"""What proxies are told of a budget: whom it binds, and how. What it amounts to is the ledger's to say (`grants`).

Limits of a day and longer are counted by the ledger, and a proxy sets aside inside its grants. Minute limits are
rates: every proxy keeps its share of them, and the ledger knows nothing of them.
"""

from collections.abc import Iterator

import msgspec

from byway_contract.grants import Match, Per, Purpose, TopUp, Unit
from byway_contract.periods import Period
from byway_contract.records import Amount


class Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One of a budget's `limits`, in one unit."""

    period: Period
    unit: Unit
    amount: Amount
    """Without top-ups."""
    top_ups: tuple[TopUp, ...] = ()
    """Of a Minute limit; those of longer ones are added by the ledger."""


class Downgrade(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """From `at_percent` of its fullest limit in dollars on, `model` answers; the caller's namespace resolves it."""

    model: str
    at_percent: int = 100


class Budget(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """Id: `namespace/name`."""

    namespace: str
    name: str
    lines: tuple[Line, ...]
    match: Match = Match()
    per: Per | None = None
    """A counter each; without, one for all."""
    metered: bool = False
    """A first piece is set aside, and more as the answer grows. Else the worst case at once."""
    observe: bool = False
    """Count, and refuse nobody."""
    downgrade: Downgrade | None = None
    dearest: bool = False
    """The platform's own: counts the larger of the price and the list price."""
    purpose: Purpose = "limit"
    """Other than `limit`: one of the fees' own, and nobody's resource."""

    @property
    def id(self) -> str:
        return f"{self.namespace}/{self.name}"

    def limit_id(self, line: Line) -> str:
        """As the ledger knows it: `grants.Limit.id`."""
        return f"{self.id}/{line.period}/{line.unit}"

    def counted(self) -> Iterator[Line]:
        """What the ledger counts."""
        return (line for line in self.lines if line.period != "Minute")

    def rates(self) -> Iterator[Line]:
        return (line for line in self.lines if line.period == "Minute")
