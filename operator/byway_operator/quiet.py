"""When to compile: at once after a quiet time, and gathered while changes keep coming.

The first change is compiled LEAD_S later, so a saved file is live in a blink. Those that follow it are taken as
one, when nothing has changed for QUIET_S, and never later than AT_MOST_S after the first of them. Where they are
MANY, a pause is not taken for their end: a burst is two compiles a second, however unevenly it comes.
"""

from dataclasses import dataclass

# Long enough for an editor to finish its rename, too short for a person to notice.
LEAD_S = 0.02
# Quiet long enough to take a whole `kubectl apply -f dir/` as one change. Contour's own figures.
QUIET_S, AT_MOST_S = 0.1, 0.5
# More than a person applies by hand one after the other.
MANY = 3


@dataclass
class Quiet:
    """Fed with the times of changes and of compiles (any clock that only goes forward)."""

    _first: float | None = None
    _last: float = 0.0
    _changes: int = 0
    _before: int = 0
    """How many were compiled last."""
    _compiled: float = float("-inf")

    def changed(self, now: float) -> None:
        if self._first is None:
            self._first = now
        self._last = now
        self._changes += 1

    def due(self) -> float | None:
        """When to compile what has changed; None if nothing has."""
        if self._first is None:
            return None
        if self._first - self._compiled >= AT_MOST_S:
            return self._first + LEAD_S
        gathered = min(self._last + QUIET_S, self._first + AT_MOST_S)
        return max(gathered, self._compiled + AT_MOST_S) if max(self._changes, self._before) >= MANY else gathered

    def compiled(self, now: float) -> None:
        """What had changed until now is being compiled."""
        self._first, self._changes, self._before = None, 0, self._changes
        self._compiled = now
