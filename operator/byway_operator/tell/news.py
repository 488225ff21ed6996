"""What is new in a status: nothing, figures alone, or that something is so now that was not."""

from collections.abc import Mapping
from typing import Any

from byway_operator.tell.conditions import Status

# Messages that follow from a person's or the compiler's doing, not from the number of proxies.
_SPOKEN = frozenset({"Accepted", "ResolvedRefs", "Valid"})


def same(one: Status, other: Status) -> bool:
    """Whether there is nothing new to read. When a condition turned is no news while it has not turned."""
    if one == other:
        return True
    fields = (one.keys() | other.keys()) - {"conditions"}
    return all(one.get(name) == other.get(name) for name in fields) and _timeless(one) == _timeless(other)


def turned(before: Status, after: Status) -> bool:
    """Whether a condition is another, or has another reason; or a figure is known that was not: a person who calls
    for the first time looks at it right after. Or somebody begins to be refused, or is refused no more."""
    begins_or_ends = bool(before.get("refused")) != bool(after.get("refused"))
    return _gist(before) != _gist(after) or not after.keys() <= before.keys() or begins_or_ends


def decided(status: Status) -> bool:
    """Whether the answer to an apply is whole: what is not accepted has no second part."""
    said = conditions_of(status)
    programmed, accepted = said.get("Programmed", {}), said.get("Accepted", {})
    return accepted.get("status") == "False" or programmed.get("reason") != "Pending"


def conditions_of(status: Status) -> Mapping[str, Mapping[str, Any]]:
    """By type."""
    return {str(condition.get("type")): condition for condition in status.get("conditions") or ()}


def _timeless(status: Status) -> Mapping[str, Mapping[str, Any]]:
    return {
        kind: {name: said for name, said in condition.items() if name != "lastTransitionTime"}
        for kind, condition in conditions_of(status).items()
    }


def _gist(status: Status) -> set[tuple[str, ...]]:
    return {
        (kind, said.get("status", ""), said.get("reason", ""), said.get("message", "") if kind in _SPOKEN else "")
        for kind, said in conditions_of(status).items()
    }
