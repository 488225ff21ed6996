"""How resources stand by their own status: counts, and of each that has something wrong the first thing. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]

_MUST_HOLD = ("Accepted", "ResolvedRefs", "Programmed")
"""Ready is these together."""
_OUGHT_TO_HOLD = ("Valid", "Available", "Enforcing")
"""Ready says nothing of these; False is worth knowing, Unknown is not."""
_OUGHT_NOT_TO_HOLD = ("Exceeded",)
"""Nor of these."""


@dataclass(frozen=True)
class Trouble:
    kind: str
    namespace: str
    name: str
    ready: str
    """As the condition has it: True, False, Unknown."""
    reason: str
    message: str


@dataclass(frozen=True)
class Count:
    kind: str
    total: int
    ready: int


def count(kind: str, items: Iterable[Item]) -> Count:
    stands = [_ready(item) for item in items]
    return Count(kind, len(stands), stands.count("True"))


def troubles(kind: str, items: Iterable[Item]) -> list[Trouble]:
    found = []
    for item in items:
        wrong = _wrong(item)
        if wrong is not None:
            metadata = item["metadata"]
            found.append(Trouble(kind, metadata["namespace"], metadata["name"], _ready(item), *wrong))
    return sorted(found, key=lambda one: (one.namespace, one.name))


def proxies_told(routes: Iterable[Item]) -> str:
    """How many proxies there are and hold a route, by the best of the routes' word: `3/3`. Empty: none says."""
    said = [str((item.get("status") or {}).get("proxies") or "") for item in routes]
    return max(said, key=lambda one: [int(n) for n in one.split("/") if n.isdecimal()], default="")


def _ready(item: Item) -> str:
    if _not_seen(item):
        return "Unknown"  # what was said before is of another form
    return str(_condition(item, "Ready").get("status", "Unknown"))


def _wrong(item: Item) -> tuple[str, str] | None:
    """Reason and message of the first condition that does not hold."""
    if unseen := _not_seen(item):
        return "Pending", unseen
    for type_ in (*_MUST_HOLD, *_OUGHT_TO_HOLD):
        found = _condition(item, type_)
        bad = ("False", "Unknown") if type_ in _MUST_HOLD else ("False",)
        if found.get("status", "Unknown" if type_ in _MUST_HOLD else "True") in bad:
            return str(found.get("reason") or type_), str(found.get("message") or f"{type_} is not told")
    for type_ in _OUGHT_NOT_TO_HOLD:
        found = _condition(item, type_)
        if found.get("status") == "True":
            return str(found.get("reason") or type_), str(found.get("message") or type_)
    return None


def _not_seen(item: Item) -> str:
    """Empty: the operator has, at this very form."""
    observed = (item.get("status") or {}).get("observedGeneration", -1)
    if observed == item["metadata"].get("generation", observed):
        return ""
    return (
        "the operator has not looked at it yet; is it running?"
        if observed < 0
        else "the operator has not looked at its latest form yet"
    )


def _condition(item: Item, type_: str) -> Mapping[str, Any]:
    conditions = (item.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == type_), {})
