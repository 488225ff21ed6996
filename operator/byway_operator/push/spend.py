"""What the ledger last said of its limits: where their counters stand, and whether it answers. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from byway_contract.grants import Counter, Counters


@dataclass(frozen=True)
class Spend:
    counters: Mapping[str, tuple[Counter, ...]] = field(default_factory=dict)
    """Of windows that are open, by budget: `namespace/name`."""
    hash: str = ""
    """Of the limits in force there."""
    answered: bool = False
    """Whether it ever did."""
    silent_since: float | None = None
    """Seconds since 1970; None while it answers."""
    why: str = ""
    """What came instead of its last answer."""
    whole: bool = True
    """Whether it had no more counters than it was asked for."""


def heard(answer: Counters) -> Spend:
    return Spend(_by_budget(answer.counters), answer.hash, answered=True, whole=not answer.more)


def silent(before: Spend, why: str, now: float) -> Spend:
    """What it said before is still the best there is to know."""
    since = now if before.silent_since is None else before.silent_since
    return Spend(before.counters, before.hash, before.answered, since, why, before.whole)


def budget_of(limit: str) -> str:
    """`team-a/monthly/Month/nanodollars` → `team-a/monthly`."""
    return limit.rsplit("/", 2)[0]


def _by_budget(counters: Iterable[Counter]) -> Mapping[str, tuple[Counter, ...]]:
    found: dict[str, list[Counter]] = {}
    for one in counters:
        if one.amount is not None:
            found.setdefault(budget_of(one.limit), []).append(one)
    return {budget: tuple(each) for budget, each in found.items()}
