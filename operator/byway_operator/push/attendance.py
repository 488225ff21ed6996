"""Which proxies ought to hold the table, and since when one of them has not said that it does. Pure.

A pod that dials again serves on meanwhile: what was said of it stands for a moment, and only then it counts as
missing.
"""

from collections.abc import Iterable

from byway_operator.push.fleet import Expected


class Attendance:
    """Times are any clock's that only goes forward."""

    def __init__(self) -> None:
        self.expected: Expected = None
        self._away: dict[str, float] = {}

    @property
    def number(self) -> int:
        """How many ought to be there, as far as is known."""
        return len(self.expected) if isinstance(self.expected, frozenset) else self.expected or 0

    def expect(self, proxies: Expected, here: Iterable[str], now: float) -> None:
        """`here` are the pods that are connected."""
        self.expected = proxies
        connected = frozenset(here)
        names = proxies if isinstance(proxies, frozenset) else frozenset()
        away = {name: self._away.get(name, now) for name in names}
        self._away = {name: since for name, since in away.items() if name in self._away or name not in connected}

    def left(self, pod: str, now: float) -> None:
        if isinstance(self.expected, frozenset) and pod in self.expected:
            self._away.setdefault(pod, now)

    def answered(self, pod: str) -> None:
        """It said what it holds."""
        self._away.pop(pod, None)

    def begin_anew(self, now: float) -> None:
        """Everybody has to dial another operator: us."""
        self._away = dict.fromkeys(self._away, now)

    def awaited(self, since: float) -> frozenset[str]:
        """Those that went away later than that."""
        return frozenset(name for name, left in self._away.items() if left > since)
