"""Which statuses may read otherwise than when they were told last. Pure.

An ack or a report is news of few objects among thousands. So what is at rest is left alone: an object that all
proxies serve as it is, and of whose endpoints nobody reports otherwise than before. What turns with time alone is
not seen here; for that, everything is told anew every few seconds.
"""

from collections.abc import Hashable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from byway_operator.compile.verdict import Verdict
from byway_operator.push.fleet import FleetView
from byway_operator.resources.manifest import Key
from byway_operator.tell.conditions import Status, earlier
from byway_operator.tell.summary import Summary


@dataclass(frozen=True)
class Grounds:
    """What statuses are told on."""

    verdicts: Mapping[Key, Verdict]
    fleet: FleetView
    health: Summary


def afresh(before: Grounds, now: Grounds) -> Set[Key] | None:
    """Beside those that are not `at_rest`. None: all of them."""
    if _who_counts(before.fleet) != _who_counts(now.fleet) or before.health.complete != now.health.complete:
        return None
    return {*_judged(before, now), *_reported(before, now)}


def at_rest(status: Status) -> bool:
    """Whether more acks of tables with this form of the object say nothing new."""
    return earlier(status, "Programmed").get("status") == "True"


def _who_counts(fleet: FleetView) -> Hashable:
    """All of the fleet that concerns an object at rest: a form that everybody serves is in each of their tables."""
    proxies = tuple((proxy.pod.name, proxy.pod.uid, proxy.counts) for proxy in fleet.proxies)
    return fleet.expected, fleet.awaited, fleet.stuck, id(fleet.refusals), proxies


def _judged(before: Grounds, now: Grounds) -> Iterator[Key]:
    if before.verdicts is not now.verdicts:
        yield from _differing(before.verdicts, now.verdicts)


def _reported(before: Grounds, now: Grounds) -> Iterator[Key]:
    for account in _differing(before.health.accounts, now.health.accounts):
        namespace, _, name = account.partition("/")
        yield Key("ProviderKey", namespace, name)
    endpoints = set(_differing(before.health.endpoints, now.health.endpoints))
    if endpoints:
        for key, verdict in now.verdicts.items():
            if any(fact.endpoint in endpoints for fact in verdict.endpoints):
                yield key


def _differing(before: Mapping[Any, object], now: Mapping[Any, object]) -> Iterator[Any]:
    """Keys of those that are new, gone, or otherwise."""
    yield from (key for key, value in now.items() if before.get(key) != value)
    yield from before.keys() - now.keys()
