"""What this process did for each budget since it started, as the operator is told. State, and no decisions.

That a limit was looked at is what makes its status say that it is enforced; so this counts what was held, not what
was configured.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from byway_contract.budget import Budget
from byway_contract.report import MOST_SUBJECTS, BudgetReport

from byway_proxy.meter.denial import Denial

RECENTLY_S = 600.0

T = TypeVar("T")
NOTHING = BudgetReport()


class _Seen:
    __slots__ = ("counted", "refused", "unpriced")

    def __init__(self) -> None:
        self.counted = 0
        self.refused: dict[str, float] = {}
        self.unpriced: dict[str, None] = {}


class Witness:
    """`wall`: seconds since 1970."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._seen: dict[str, _Seen] = {}
        self.refusals = 0
        """Since the process started."""

    def counted(self, budgets: Iterable[Budget]) -> None:
        for budget in budgets:
            self._of(budget).counted += 1

    def refused(self, why: Denial) -> None:
        """That the ledger does not answer is no budget's refusal."""
        if why.budget is None or why.reason == "ledger":
            return
        self.refusals += 1
        seen = self._of(why.budget)
        if why.reason == "unpriced":
            _keep(seen.unpriced, why.endpoint, None)
        else:
            _keep(seen.refused, why.line.subject if why.line is not None else "", self._wall())

    def retain(self, budgets: Iterable[str]) -> None:
        """Those of a new table."""
        kept = set(budgets)
        for name in self._seen.keys() - kept:
            del self._seen[name]

    def report(self, rates: Mapping[str, BudgetReport]) -> dict[str, BudgetReport]:
        """`rates`: what is to be told of the same budgets' limits of a minute."""
        return {
            name: _both(rates.get(name, NOTHING), self._told(self._seen[name]) if name in self._seen else NOTHING)
            for name in sorted(rates.keys() | self._seen.keys())
        }

    def _told(self, seen: _Seen) -> BudgetReport:
        since = self._wall() - RECENTLY_S
        return BudgetReport(
            counted=seen.counted,
            refused={subject: at for subject, at in seen.refused.items() if at >= since},
            unpriced=tuple(seen.unpriced),
        )

    def _of(self, budget: Budget) -> _Seen:
        name = budget.id
        seen = self._seen.get(name)
        if seen is None:
            seen = self._seen[name] = _Seen()
        return seen


def _both(rates: BudgetReport, money: BudgetReport) -> BudgetReport:
    """An attempt may have been counted for both."""
    refused = rates.refused | money.refused
    latest = sorted(refused.items(), key=lambda one: one[1])[-MOST_SUBJECTS:]
    return BudgetReport(max(rates.counted, money.counted), rates.used, dict(latest), money.unpriced)


def _keep(kept: dict[str, T], name: str, what: T) -> None:
    """The last of them, and not too many."""
    kept.pop(name, None)
    kept[name] = what
    if len(kept) > MOST_SUBJECTS:
        del kept[next(iter(kept))]
