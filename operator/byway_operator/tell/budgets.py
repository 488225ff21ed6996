"""A budget's own part of its status: figures, who has the most, who is refused now, and two conditions. Pure.

    Enforcing   is it measured? By what ledger and proxies say, never by our hopes
        Metering          True
        Observing         True    it only counts
        LedgerUnavailable False   operator or a proxy cannot reach it
        UnpricedEndpoint  False   what has no price cannot be held against dollars, and is refused
        NotMeasured       False   traffic that it fits was booked, and none of it was counted against it
    Exceeded    abnormal when True: something has nothing left

What is out stays out until its window ends or room is made: a little left, which no request fits, is no news each
time somebody is refused.
"""

from collections.abc import Iterable, Mapping
from heapq import nsmallest
from typing import Any

from byway_contract.report import MOST_SUBJECTS

from byway_operator.compile.verdict import Condition, Verdict
from byway_operator.push.fleet import FleetView
from byway_operator.tell.books import Book, Books
from byway_operator.tell.coarse import coarse_time
from byway_operator.tell.conditions import Status, earlier, rfc3339
from byway_operator.tell.figures import (
    SPELT,
    Stand,
    name_of,
    spelt,
    stands,
    subjects,
    tightest,
    told,
    told_at_length,
)
from byway_operator.tell.summary import BudgetHealth, Summary

Told = tuple[list[tuple[str, Condition]], dict[str, Any]]

REFUSED_NOW_S = 60.0
# With so little left most requests do not fit, though some might.
_NOTHING_MUCH = 0.01
# How much a stream may run on once there is nothing left for it: 16 tokens between two looks at the budget, and
# half a second until the provider stops, at 100 tokens a second.
PER_STREAM_TOKENS = 66
_NAMED = 3
_FIGURES = ("tightest", "limits", "consumers", "refused", "overspendBound")


def budget_status(
    verdict: Verdict,
    programmed: Condition,
    books: Books,
    fleet: FleetView,
    health: Summary,
    previous: Status | None,
    now: float,
) -> Told:
    name = f"{verdict.key.namespace}/{verdict.key.name}"
    book, reported = books.books.get(name), health.budgets.get(name) or BudgetHealth()
    if book is None:
        return _of_none(verdict), {}
    if not books.heard and not books.away and book.limits:
        # Who has just begun to lead knows nothing yet: what was said before stands for a moment.
        return _as_before(previous), {name: previous[name] for name in _FIGURES if previous and name in previous}
    lines = stands(book, reported.used, now)
    refused = {subject: at for subject, at in reported.refused.items() if now - at < REFUSED_NOW_S}
    said = _enforcing(book, books, fleet, reported, lines)
    if programmed.status != "True" and said.status == "True" and not _known(previous):
        said = Condition("Unknown", "Pending", programmed.message)
    exceeded = _exceeded(book, lines, refused, previous)
    fields = _figures(book, lines, reported, refused, previous, now)
    if not health.complete and previous is not None and "refused" in previous:
        fields.setdefault("refused", previous["refused"])
    return [("Enforcing", said), ("Exceeded", exceeded)], fields


def out_of_reach(fleet: FleetView) -> tuple[str, ...]:
    """Proxies that say they cannot reach the ledger."""
    away = (proxy for proxy in fleet.proxies if proxy.report is not None and not proxy.report.ledger)
    return tuple(sorted(proxy.pod.name for proxy in away if fleet.counts(proxy)))


def with_limits(programmed: Condition, books: Books, verdict: Verdict, previous: Status | None) -> Condition:
    """Programmed, which for a budget also says that the ledger has its limits."""
    book = books.books.get(f"{verdict.key.namespace}/{verdict.key.name}")
    if book is None or book.taken or not book.limits or programmed.status != "True":
        return programmed
    before = earlier(previous, "Programmed")
    stood = before.get("status") == "True" and before.get("observedGeneration") == verdict.generation
    if book.taken is None and stood:
        return programmed
    return Condition("False", "Pending", f"{programmed.message}; the ledger has not taken its limits yet")


def _of_none(verdict: Verdict) -> list[tuple[str, Condition]]:
    """It is not in the table."""
    wrong = next((one for one in (verdict.accepted, verdict.resolved) if one.status == "False"), None)
    why = wrong.message if wrong is not None and wrong.message else "it applies to nobody"
    return [("Enforcing", Condition("False", "NotMeasured", f"it is not in force: {why}"))]


def _as_before(previous: Status | None) -> list[tuple[str, Condition]]:
    found = []
    for kind in ("Enforcing", "Exceeded"):
        before = earlier(previous, kind)
        if before.get("status") in ("True", "False"):
            found.append((kind, Condition(before["status"], before["reason"], before.get("message", ""))))
        else:
            found.append((kind, Condition("Unknown", "Pending", "the ledger has not been asked yet")))
    return found


def _known(previous: Status | None) -> bool:
    return earlier(previous, "Enforcing").get("status") in ("True", "False")


def _enforcing(
    book: Book, books: Books, fleet: FleetView, reported: BudgetHealth, lines: Iterable[list[Stand]]
) -> Condition:
    if book.limits and (books.away or out_of_reach(fleet)):
        return _unavailable(books, fleet)
    if book.unpriced and not book.budget.observe:
        return Condition("False", "UnpricedEndpoint", _unpriced(book.unpriced))
    if book.budget.observe:
        return Condition("True", "Observing", "it counts and refuses nobody: spec.enforcement is Observe")
    if book.passed_by is not None:
        limit, passed = book.passed_by
        return Condition("False", "NotMeasured", _not_measured(limit, passed))
    return Condition("True", "Metering", _metering(reported, lines))


def _unavailable(books: Books, fleet: FleetView) -> Condition:
    parts = []
    if books.away:
        parts.append(f"the operator has no answer from the ledger: {books.away}")
    if away := out_of_reach(fleet):
        parts.append(f"proxies without an answer from the ledger: {_listed(away)}")
    then = "look at the ledger; once a proxy's grants are used up, whom it binds gets 503"
    return Condition("False", "LedgerUnavailable", f"{'; '.join(parts)}; {then}")


def _unpriced(endpoints: tuple[str, ...]) -> str:
    way = "give them one in the ProviderKey's models[], or a model that has one"
    return f"refused, for without a price nobody can hold them against dollars: {_listed(endpoints)}; {way}"


def _not_measured(limit: str, passed: int) -> str:
    return (
        f"{_attempts(passed)} that {limit} applies to {'was' if passed == 1 else 'were'} booked, and none was held"
        " against it first; see that every proxy runs this version and that the budget is Programmed"
    )


def _metering(reported: BudgetHealth, lines: Iterable[list[Stand]]) -> str:
    uncounted = max((sum(one.uncounted for one in each) for each in lines), default=0)
    if uncounted:
        return f"requests are held against it; {_attempts(uncounted)} of this period came before that or past it"
    return "requests are held against it" if reported.counted else "nothing it applies to was requested lately"


def _attempts(count: int) -> str:
    return "1 attempt" if count == 1 else f"{count} attempts"


def _exceeded(
    book: Book, lines: Iterable[list[Stand]], refused: Mapping[str, float], previous: Status | None
) -> Condition:
    was = earlier(previous, "Exceeded").get("status") == "True"
    counted = [one for each in lines for one in each if one.line.period != "Minute"]
    out = [one for one in counted if _is_out(one, refused, was)]
    if not out:
        return Condition("False", "WithinLimits", "there is something left of every limit")
    changed = any(_over_by_change(one) for one in out)
    said = "; ".join(_said_out(one, book) for one in out[:_NAMED])
    more = f"; and {len(out) - _NAMED} more" if len(out) > _NAMED else ""
    then = "; nobody is refused: spec.enforcement is Observe" if book.budget.observe else ""
    return Condition("True", "OverByLimitChange" if changed else "Exceeded", said + more + then)


def _is_out(one: Stand, refused: Mapping[str, float], was: bool) -> bool:
    if one.spent + one.stranded >= one.limit:
        return True
    return one.share_left < _NOTHING_MUCH and (was or one.subject in refused)


def _over_by_change(one: Stand) -> bool:
    """More is spent than anybody was ever given of the limit as it is now."""
    return one.spent - one.overrun > one.limit and not one.uncounted


def _said_out(one: Stand, book: Book) -> str:
    unit = one.line.unit
    who = name_of(book.budget, one.subject)
    how = ", over by limit change" if _over_by_change(one) else ""
    spent = f"{spelt(unit, one.spent)} of {spelt(unit, one.limit)} {SPELT[unit]} spent ({one.line.period}){how}"
    when = f"resets at {rfc3339(one.end)}" if one.end is not None else "never resets: raise the limit, or top it up"
    return f"{who}: {spent}, {when}"


def _figures(
    book: Book,
    lines: list[list[Stand]],
    reported: BudgetHealth,
    refused: Mapping[str, float],
    previous: Status | None,
    now: float,
) -> dict[str, Any]:
    budget, least = book.budget, tightest(lines)
    fields: dict[str, Any] = {"limits": [told_at_length(each[0], budget, previous, now) for each in lines]}
    if least is not None:
        fields["tightest"] = told(least, budget)
    if consumers := _consumers(book, lines, reported, previous):
        fields["consumers"] = consumers
    if refused:
        latest = nsmallest(MOST_SUBJECTS, refused, key=lambda subject: -refused[subject])
        fields["refused"] = sorted(name_of(budget, subject) for subject in latest)
    if not budget.observe:
        fields["overspendBound"] = overspend_bound(book)
    return fields


def _consumers(
    book: Book, lines: Iterable[list[Stand]], reported: BudgetHealth, previous: Status | None
) -> list[dict[str, Any]]:
    """Those who are nearest to their limit, and those who were refused."""
    known = {
        one.subject: one for one in subjects(lines) if one.subject or one.used or one.subject in reported.refused
    }
    nobody = [subject for subject in reported.refused if subject not in known]
    if book.budget.per is None and not reported.refused:
        return []
    most = nsmallest(MOST_SUBJECTS, known.values(), key=lambda one: (one.share_left, -one.used, one.subject))
    told_ = [_consumer(book, one, reported, previous) for one in most]
    room = MOST_SUBJECTS - len(told_)
    return told_ + [_with_refusal({"name": name_of(book.budget, s)}, s, reported, previous) for s in nobody[:room]]


def _consumer(book: Book, one: Stand, reported: BudgetHealth, previous: Status | None) -> dict[str, Any]:
    unit = one.line.unit
    said = {
        "name": name_of(book.budget, one.subject),
        "period": one.line.period,
        "unit": SPELT[unit],
        "spent": spelt(unit, one.spent),
        "limit": spelt(unit, one.limit),
    }
    return _with_refusal(said, one.subject, reported, previous)


def _with_refusal(
    said: dict[str, Any], subject: str, reported: BudgetHealth, previous: Status | None
) -> dict[str, Any]:
    at = reported.refused.get(subject)
    before = next(
        (c.get("refusedAt") for c in (previous or {}).get("consumers") or () if c["name"] == said["name"]), None
    )
    when = coarse_time(at, before) if at is not None else None
    return said | ({"refusedAt": when} if when else {})


def overspend_bound(book: Book) -> str:
    """Of its limits of a day and longer: what may be spent beyond them at most."""
    if not book.budget.metered:
        return "0"
    units = {line.unit for line in book.budget.counted()}
    if "nanodollars" in units:
        each = -(-PER_STREAM_TOKENS * book.dearest_output // 1_000_000)
        return f"{spelt('nanodollars', each)} usd × running streams"
    return f"{PER_STREAM_TOKENS} tokens × running streams" if "tokens" in units else "0"


def _listed(names: Iterable[str]) -> str:
    known = list(names)
    return ", ".join(known[:_NAMED]) + (f" and {len(known) - _NAMED} more" if len(known) > _NAMED else "")
