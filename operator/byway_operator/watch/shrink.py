"""The shrink guard: a reading that loses most of what was there is looked at twice before it is believed. Pure.

A folder that is being moved, a volume that is not mounted yet or a `git checkout` under way looks just like
somebody deleting everything. Two readings that agree are somebody deleting everything.
"""

from collections.abc import Set
from dataclasses import dataclass

from byway_operator.resources.manifest import Key

MANY = 10
"""So many routes may go at a time without a second look: a person deleting a handful should see it at once."""
SHARE = 0.5


@dataclass(frozen=True)
class Doubted:
    """A reading that awaits a second one; the old world holds until then."""

    keys: frozenset[Key]


def believe(before: Set[Key], now: Set[Key], doubted: Doubted | None) -> Doubted | None:
    """None: believe it. Otherwise read again at once, and come back with what is returned."""
    if not _suspicious(before, now) or (doubted is not None and doubted.keys == now):
        return None
    return Doubted(frozenset(now))


def _suspicious(before: Set[Key], now: Set[Key]) -> bool:
    if before and not now:
        return True
    routes = {key for key in before if key.kind == "ModelRoute"}
    lost = len(routes - now)
    return lost > MANY and lost > SHARE * len(routes)
