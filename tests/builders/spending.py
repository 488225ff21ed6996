"""A budget as a status is told of it: compiled, in the ledger's counters, and in proxies' reports.

told = Telling(a_budget(a_line(usd(500))))
told.status(a_counter(spent=usd(120)))["tightest"]["spent"] == "120"
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from byway_contract.budget import Budget, Line
from byway_contract.grants import Counter, Counters, Limit, Match, Per, TopUp, Unit
from byway_contract.money import NANO
from byway_contract.periods import Period, window
from byway_contract.report import BudgetReport, Report
from byway_contract.stream import Pod
from byway_contract.table import Endpoint, Sections, canonical
from byway_operator.compile.verdict import Verdict
from byway_operator.push.fleet import FleetView, ProxyView, Sent
from byway_operator.push.spend import Spend, heard
from byway_operator.resources.manifest import Key, Manifest
from byway_operator.tell.books import Bookkeeping, Books
from byway_operator.tell.summary import Summary, summarize
from byway_operator.tell.tell import status_of

NOON = datetime(2026, 11, 16, 12, tzinfo=UTC).timestamp()
"""A Monday; of the month just over half is gone."""
KEY = Key("Budget", "team-a", "monthly")
BUDGET = "team-a/monthly"
HASH = "h1"


def usd(amount: float) -> int:
    return round(amount * NANO)


def a_line(amount: int, period: Period = "Month", unit: Unit = "nanodollars", *top_ups: TopUp) -> Line:
    return Line(period, unit, amount, top_ups)


def a_budget(*lines: Line, per: Per | None = None, **changed: Any) -> Budget:
    return Budget("team-a", "monthly", lines or (a_line(usd(500)),), Match(("team-a",)), per, **changed)


def limits_of(budget: Budget, time_zone: str = "UTC") -> tuple[Limit, ...]:
    return tuple(
        Limit(budget.id, line.period, line.unit, line.amount, time_zone, budget.per, budget.match, line.top_ups)
        for line in budget.counted()
    )


def a_counter(
    subject: str = "", *, period: Period = "Month", unit: Unit = "nanodollars", at: float = NOON, **changed: Any
) -> Counter:
    around = window(period, "UTC", at)
    limit = f"{BUDGET}/{period}/{unit}"
    return Counter(limit, subject, around.start, around.end, **{"amount": 1, **changed})


def sections_of(*budgets: Budget, endpoints: Mapping[str, Endpoint] | None = None) -> Sections:
    return {
        "budgets": {budget.id: canonical(budget) for budget in budgets},
        "endpoints": {name: canonical(endpoint) for name, endpoint in (endpoints or {}).items()},
    }


def a_fleet(*reports: Report, acked: str = "t") -> FleetView:
    proxies = tuple(
        ProxyView(Pod(f"proxy-{n}", "u"), "1", acked, report)
        for n, report in enumerate(reports or (Report("t", True),))
    )
    return FleetView(proxies, ring=(Sent("t", NOON, {KEY: "form"}),))


@dataclass
class Telling:
    """One budget, told again and again: what was told last is what comes before."""

    budget: Budget = field(default_factory=a_budget)
    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    time_zone: str = "UTC"
    generation: int = 1
    before: dict[str, Any] | None = None
    bookkeeping: Bookkeeping = field(default_factory=Bookkeeping)
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.know(self.budget)

    def know(self, budget: Budget, digest: str = HASH) -> None:
        self.budget = budget
        sections = sections_of(budget, endpoints=self.endpoints)
        self.bookkeeping.know(sections, limits_of(budget, self.time_zone), digest)

    def books(self, spend: Spend | None, now: float = NOON) -> Books:
        return self.bookkeeping.hear(spend, self.summary.budgets, now)

    def status(
        self,
        *counters: Counter,
        now: float = NOON,
        reports: Iterable[BudgetReport] = (),
        spend: Spend | None = None,
        fleet: FleetView | None = None,
        complete: bool = True,
    ) -> dict[str, Any]:
        said = [Report("t", True, budgets={BUDGET: report}) for report in reports]
        self.summary = summarize(said, self.summary, now, complete)
        books = self.books(spend or heard(Counters(list(counters), HASH)), now)
        verdict = Verdict(KEY, self.generation, fingerprint="form")
        manifest = Manifest(KEY, {}, self.generation)
        self.before = status_of(verdict, manifest, fleet or a_fleet(), self.summary, self.before, now, books=books)
        return self.before


def condition(status: Mapping[str, Any], kind: str) -> tuple[str, str]:
    """Status and reason."""
    (found,) = (one for one in status["conditions"] if one["type"] == kind)
    return found["status"], found["reason"]


def message(status: Mapping[str, Any], kind: str) -> str:
    (found,) = (one for one in status["conditions"] if one["type"] == kind)
    return str(found["message"])
