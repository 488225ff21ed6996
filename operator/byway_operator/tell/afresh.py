"""Which statuses may read otherwise than when they were told last. Pure.

An ack or a report is news of few objects among thousands. So what is at rest is left alone: an object that all
proxies serve as it is, and of whose endpoints nobody reports otherwise than before. What turns with time alone is
not seen here; for that, everything is told anew every so often.
"""

from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from byway_operator.compile.verdict import Verdict
from byway_operator.push.fleet import FleetView
from byway_operator.resources.manifest import Key
from byway_operator.tell.available import BACK_S
from byway_operator.tell.books import Books
from byway_operator.tell.budgets import out_of_reach
from byway_operator.tell.conditions import Status, earlier
from byway_operator.tell.summary import Summary


@dataclass(frozen=True)
class Grounds:
    """What statuses are told on."""

    verdicts: Mapping[Key, Verdict]
    fleet: FleetView
    health: Summary
    books: Books = field(default_factory=Books)


EVERYTHING_EVERY_S = 30.0
RESTLESS_EVERY_S = 5.0
"""While something may turn with time."""


def everything_every_s(health: Summary, now: float) -> float:
    """An endpoint that went or came back a moment ago is called so only after it has stayed so for a while."""
    restless = any(now - each.since < BACK_S + RESTLESS_EVERY_S for each in health.endpoints.values())
    return RESTLESS_EVERY_S if restless else EVERYTHING_EVERY_S


def afresh(before: Grounds, now: Grounds) -> Set[Key] | None:
    """Beside those that are not `at_rest`. None: all of them."""
    if _who_counts(before.fleet) != _who_counts(now.fleet) or before.health.complete != now.health.complete:
        return None
    return {*_judged(before, now), *_reported(before, now), *_booked(before, now)}


def at_rest(status: Status) -> bool:
    """Whether neither more acks of tables with this form of the object nor time alone say anything new."""
    if earlier(status, "Exceeded").get("status") == "True" or "refused" in status:
        return False
    return earlier(status, "Programmed").get("status") == "True" and not earlier(status, "Reconciling")


def _who_counts(fleet: FleetView) -> Hashable:
    """All of the fleet that concerns an object at rest: a form that everybody serves is in each of their tables."""
    proxies = tuple((proxy.pod.name, proxy.pod.uid) for proxy in fleet.proxies if fleet.counts(proxy))
    return fleet.expected, fleet.awaited, fleet.stuck, id(fleet.refusals), proxies


def _judged(before: Grounds, now: Grounds) -> Iterator[Key]:
    if before.verdicts is not now.verdicts:
        yield from _differing(before.verdicts, now.verdicts)


def _reported(before: Grounds, now: Grounds) -> Iterator[Key]:
    for account in _differing(before.health.accounts, now.health.accounts):
        namespace, _, name = account.partition("/")
        yield Key("ProviderKey", namespace, name)
    for access_key in _differing(before.health.access_keys, now.health.access_keys):
        namespace, name, _ = access_key.split("/")
        yield Key("AccessKey", namespace, name)
    endpoints = set(_differing(before.health.endpoints, now.health.endpoints))
    if endpoints:
        for key, verdict in now.verdicts.items():
            if any(fact.endpoint in endpoints for fact in verdict.endpoints):
                yield key


def _booked(before: Grounds, now: Grounds) -> Iterator[Key]:
    books, older = now.books, before.books
    if (books.heard, books.away) != (older.heard, older.away) or out_of_reach(now.fleet) != out_of_reach(
        before.fleet
    ):
        yield from (key for key in now.verdicts if key.kind == "Budget")
        return
    differing = set(_differing(before.health.budgets, now.health.budgets))
    if books.books is not older.books:
        differing.update(_differing(older.books, books.books))
    for budget in differing:
        namespace, _, name = budget.partition("/")
        yield Key("Budget", namespace, name)


def _differing(before: Mapping[Any, object], now: Mapping[Any, object]) -> Iterator[Any]:
    """Keys of those that are new, gone, or otherwise."""
    yield from (key for key, value in now.items() if before.get(key) != value)
    yield from before.keys() - now.keys()
