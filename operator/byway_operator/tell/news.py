"""What is new in a status: nothing, figures alone, or that something is so now that was not."""

from collections.abc import Mapping
from typing import Any

from byway_operator.tell.conditions import Status

MARKS = (0.0, 0.5, 0.8, 0.9)
"""Shares of a budget's tightest limit."""

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
    for the first time looks at it right after. Or a budget begins to be spent, is half spent and so on, begins to
    refuse or ceases to."""
    known = after.keys() <= before.keys()
    return _gist(before) != _gist(after) or not known or _of_a_budget(before) != _of_a_budget(after)


def decided(status: Status) -> bool:
    """Whether the answer to an apply is whole: what is not accepted has no second part."""
    said = conditions_of(status)
    programmed, accepted = said.get("Programmed", {}), said.get("Accepted", {})
    return accepted.get("status") == "False" or programmed.get("reason") != "Pending"


def conditions_of(status: Status) -> Mapping[str, Mapping[str, Any]]:
    """By type."""
    return {str(condition.get("type")): condition for condition in status.get("conditions") or ()}


def _of_a_budget(status: Status) -> tuple[bool, int]:
    """Whether it refuses, and how many marks it is past."""
    tightest = status.get("tightest") or {}
    spent, limit = float(tightest.get("spent", 0)), float(tightest.get("limit", 0))
    return bool(status.get("refused")), sum(spent > mark * limit for mark in MARKS)


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
