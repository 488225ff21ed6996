"""Where a budget's limits stand, as its status writes it: what is spent, set aside, left, and when it begins anew.

Pure. Money is written as in a spec, a decimal of US dollars; tokens and requests are whole numbers. Figures are the
ledger's at one moment: limit = spent + reserved + stranded + remaining, as long as nothing is overdrawn.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byway_contract.budget import Budget, Line
from byway_contract.grants import Counter, Limit, Unit
from byway_contract.money import dollars
from byway_contract.periods import window

from byway_operator.tell.books import Book
from byway_operator.tell.coarse import coarse_amount
from byway_operator.tell.conditions import Status, rfc3339

SPELT: Mapping[Unit, str] = {"nanodollars": "usd", "tokens": "tokens", "requests": "requests"}
# Before that a forecast says more of the first request than of the month.
_EARLY = 0.05
_NOBODY: Mapping[str | None, str] = {
    None: "(everyone)",
    "User": "(no proven user)",
    "AccessKey": "(no AccessKey)",
    "ServiceAccount": "(no ServiceAccount)",
}


@dataclass(frozen=True)
class Stand:
    """One limit, for one subject, in the window of now."""

    line: Line
    subject: str
    limit: int
    spent: int = 0
    reserved: int = 0
    stranded: int = 0
    overrun: int = 0
    uncounted: int = 0
    start: int = 0
    end: int | None = None

    @property
    def used(self) -> int:
        return self.spent + self.reserved + self.stranded

    @property
    def remaining(self) -> int:
        return max(self.limit - self.used, 0)

    @property
    def share_left(self) -> float:
        return self.remaining / self.limit if self.limit else 0.0


def stands(book: Book, rates: Mapping[str, Mapping[str, int]], now: float) -> list[list[Stand]]:
    """Of each line, in the order of the spec: all subjects that used it, the one with the least left first.

    `rates` is what proxies used of Minute limits: unit → subject → amount.
    """
    lines = [
        _of_rate(line, rates.get(line.unit, {}), now) if line.period == "Minute" else _counted(book, line, now)
        for line in book.budget.lines
    ]
    return [sorted(each, key=lambda one: (one.share_left, -one.used, one.subject)) for each in lines]


def tightest(lines: Iterable[list[Stand]]) -> Stand | None:
    """Of which the smallest share is left. A rate is full now and empty soon: only where there is nothing else."""
    firsts = [each[0] for each in lines]
    return min(firsts, key=lambda one: (one.line.period == "Minute", one.share_left), default=None)


def subjects(lines: Iterable[list[Stand]]) -> Iterator[Stand]:
    """Each subject once, where the smallest share is left to it, rates aside."""
    least: dict[str, Stand] = {}
    for each in lines:
        for one in each:
            known = least.get(one.subject)
            if one.line.period != "Minute" and (known is None or one.share_left < known.share_left):
                least[one.subject] = one
    yield from least.values()


def name_of(budget: Budget, subject: str) -> str:
    return subject or _NOBODY.get(budget.per, "(everyone)")


def spelt(unit: Unit, amount: int) -> str | int:
    return dollars(amount) if unit == "nanodollars" else amount


def told(one: Stand, budget: Budget) -> dict[str, Any]:
    """A line of status without what only its long form says."""
    said: dict[str, Any] = {"period": one.line.period, "unit": SPELT[one.line.unit]}
    if budget.per is not None and one.subject:
        said["name"] = one.subject
    amounts = {"limit": one.limit, "spent": one.spent, "reserved": one.reserved, "remaining": one.remaining}
    if one.line.period == "Minute":
        del amounts["reserved"]
    said |= {name: spelt(one.line.unit, amount) for name, amount in amounts.items()}
    if one.end is not None and one.line.period != "Minute":
        said["resetsAt"] = rfc3339(one.end)
    return said


def told_at_length(one: Stand, budget: Budget, previous: Status | None, now: float) -> dict[str, Any]:
    said = told(one, budget)
    if one.line.period == "Minute":
        return said
    said["stranded"] = spelt(one.line.unit, one.stranded)
    forecast = _forecast(one, now)
    if forecast is not None:
        # Time alone moves it; what it moves by is told from a hundredth of the limit on.
        before = _forecast_before(said, previous)
        near = before is not None and abs(_amount(one.line.unit, before) - forecast) * 100 <= one.limit
        said["forecast"] = before if near else spelt(one.line.unit, forecast)
    return said


def _counted(book: Book, line: Line, now: float) -> list[Stand]:
    limit = _limit(book, line)
    open_ = [one for one in book.counters if one.limit == limit.id and (one.end is None or one.end > now)]
    newest = max((one.start for one in open_), default=None)
    found = [_of_counter(line, limit, one, now) for one in open_ if one.start == newest]
    if not found:
        # Nobody spent anything in this window.
        around = window(limit.period, limit.time_zone, now)
        found = [Stand(line, "", limit.worth("", now), start=around.start, end=around.end)]
    return found


def _limit(book: Book, line: Line) -> Limit:
    budget = book.budget
    known = book.limits.get(budget.limit_id(line))
    return known or Limit(budget.id, line.period, line.unit, line.amount, per=budget.per, match=budget.match)


def _of_counter(line: Line, limit: Limit, one: Counter, now: float) -> Stand:
    return Stand(
        line,
        one.subject,
        limit.worth(one.subject, now),
        one.spent,
        one.reserved,
        one.stranded,
        one.overrun,
        one.unmetered,
        one.start,
        one.end,
    )


def _of_rate(line: Line, used: Mapping[str, int], now: float) -> list[Stand]:
    return [Stand(line, subject, _worth(line, subject, now), spent) for subject, spent in used.items()] or [
        Stand(line, "", _worth(line, "", now))
    ]


def _worth(line: Line, subject: str, now: float) -> int:
    return line.amount + sum(up.amount for up in line.top_ups if now < up.until and up.subject in (None, subject))


def _forecast(one: Stand, now: float) -> int | None:
    """What it comes to at this pace when the window ends."""
    if one.end is None:
        return None
    gone = min((now - one.start) / (one.end - one.start), 1.0)
    return max(coarse_amount(int(one.spent / gone)), one.spent) if gone >= _EARLY else None


def _forecast_before(said: Mapping[str, Any], previous: Status | None) -> str | int | None:
    for line in (previous or {}).get("limits") or ():
        # Of an earlier window it says nothing.
        if all(line.get(name) == said.get(name) for name in ("period", "unit", "name", "resetsAt")):
            before: str | int | None = line.get("forecast")
            return before
    return None


def _amount(unit: Unit, text: str | int) -> int:
    """The inverse of `spelt`, near enough for a comparison."""
    return round(float(text) * 1e9) if unit == "nanodollars" else int(text)
