"""Decide which Events are told: what `kubectl describe` shows below a resource, as a story.

    Normal   ResolvedRefs    40s   byway-operator  all references are found again
    Warning  SecretNotFound  2m    byway-operator  spec.secretRef: no Secret "openai-key" in namespace "team-a"

An Event is told when a condition turns, never for what is so already, and not twice within a few minutes: a status
says what is so, an Event only that it came to be. What is merely pending is no event.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from byway_contract.table import EVERY_NAMESPACE, Account, Route, Table

from byway_operator.compile.verdict import Verdict
from byway_operator.resources.manifest import Key
from byway_operator.tell.conditions import WELL, Status
from byway_operator.tell.news import conditions_of

QUIET_S = 300.0
"""So long the same is not said again of the same object."""
MOST_REMEMBERED = 10_000

_AGAIN: Mapping[str, str] = {
    "Accepted": "it is accepted again",
    "ResolvedRefs": "all that it refers to is found again",
    "Programmed": "every proxy serves it again",
    "Valid": "the provider takes the credential again",
    "Available": "endpoints answer again",
    "Exceeded": "there is something left again",
}
# Exceeded is bad while it is True, and its Events are found by words of their own.
_BAD: Mapping[str, str] = {"Exceeded": "True"}
_SAID_AS: Mapping[tuple[str, str], str] = {
    ("Exceeded", "True"): "BudgetExceeded",
    ("Exceeded", "False"): "BudgetAvailable",
}


@dataclass(frozen=True)
class Event:
    key: Key
    uid: str
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Events:
    """Remembers what was firm of each object, so that True, Pending, True is nothing to speak of."""

    def __init__(self) -> None:
        self._firm: dict[Key, tuple[str, dict[str, tuple[str, str]]]] = {}
        self._said: dict[tuple[str, str, str, str], float] = {}
        """When, by uid, condition, status and reason."""

    def turned(self, key: Key, uid: str, before: Status, after: Status, now: float) -> tuple[Event, ...]:
        """`before` is what the API had when `after` was written."""
        known_uid, firm = self._firm.get(key, ("", {}))
        if known_uid != uid or key not in self._firm:
            firm = _firm(before)
        new = _firm(after)
        self._firm[key] = (uid, {**firm, **new})
        events = [
            _event(key, uid, kind, said, conditions_of(after)[kind])
            for kind, said in new.items()
            if _is_news(kind, firm.get(kind), said, new) and not self._repeats(uid, kind, said, now)
        ]
        return tuple(events)

    def keep(self, keys: Iterable[Key]) -> None:
        """Forget the others."""
        for key in self._firm.keys() - set(keys):
            del self._firm[key]

    def _repeats(self, uid: str, kind: str, said: tuple[str, str], now: float) -> bool:
        known = (uid, kind, *said)
        last = self._said.get(known)
        if last is not None and now - last < QUIET_S:
            return True
        if len(self._said) >= MOST_REMEMBERED:
            self._said = {what: at for what, at in self._said.items() if now - at < QUIET_S}
        self._said[known] = now
        return False


def fallen_through(gone: Verdict, uid: str, table: Table) -> Event | None:
    """A deleted route's names may now lead elsewhere, without its policy: whoever deleted it should know."""
    for name in gone.model_names:
        heir = _heir(name, gone.key.namespace, table)
        if heir is not None:
            message = f'"{name}" now leads to {heir}; the dataPolicy and limits of this route are gone with it'
            return Event(gone.key, uid, "Warning", "NameFellThrough", message)
    return None


def _firm(status: Status) -> dict[str, tuple[str, str]]:
    """What is so for certain, by condition."""
    return {
        kind: (condition["status"], condition["reason"])
        for kind, condition in conditions_of(status).items()
        if kind in _AGAIN and condition["status"] != "Unknown" and condition["reason"] != "Pending"
    }


def _is_news(
    kind: str, before: tuple[str, str] | None, now: tuple[str, str], all_now: Mapping[str, tuple[str, str]]
) -> bool:
    if before == now:
        return False
    if not _is_bad(kind, now):
        return before is not None and _is_bad(kind, before)
    # That nothing answers behind a name that leads nowhere is no second story.
    unresolved = "False" in (all_now.get("Accepted", ("", ""))[0], all_now.get("ResolvedRefs", ("", ""))[0])
    return not (kind == "Available" and unresolved)


def _event(key: Key, uid: str, kind: str, said: tuple[str, str], condition: Mapping[str, Any]) -> Event:
    message = str(condition.get("message", ""))
    reason = _SAID_AS.get((kind, said[0]), said[1])
    if not _is_bad(kind, said):
        more = f": {message}" if message not in ("", WELL.get(kind)) and kind not in _BAD else ""
        return Event(key, uid, "Normal", reason, _AGAIN[kind] + more)
    return Event(key, uid, "Warning", reason, message or f"{kind} is {said[0]}")


def _is_bad(kind: str, said: tuple[str, str]) -> bool:
    return said[0] == _BAD.get(kind, "False")


def _heir(name: str, namespace: str, table: Table) -> str | None:
    """What a caller of this namespace now reaches by the name, in the order in which it is looked up."""
    routes = [route for route in table.routes.values() if name in route.model_names]
    for route in sorted(routes, key=lambda route: route.namespace != namespace):
        if _seen(route, namespace, table):
            return f'ModelRoute "{route.namespace}/{route.name}"'
    for endpoint in table.endpoints.values():
        account = table.accounts[endpoint.account]
        if endpoint.by_name and endpoint.model == name and _seen(account, namespace, table):
            return f'ProviderKey "{account.namespace}/{account.name}"'
    return None


def _seen(owned: Route | Account, namespace: str, table: Table) -> bool:
    if owned.namespace == namespace:
        return True
    shared = any(other in (EVERY_NAMESPACE, namespace) for other in owned.shared_with)
    return shared and owned.namespace in table.trusted_namespaces
