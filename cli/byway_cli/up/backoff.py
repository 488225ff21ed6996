"""How long to wait before a child that died is started again. No clock, no dice of its own."""

from dataclasses import dataclass

FIRST_S, MOST_S = 0.2, 10.0
HEALTHY_S = 30.0
"""Alive this long, it counts as having been well: the next wait is the first one again."""


@dataclass
class Backoff:
    deaths: int = 0

    def after(self, lived_s: float, dice: float) -> float:
        """Seconds to wait after a life of `lived_s`. `dice` is 0 to 1: half of the wait is chance."""
        self.deaths = 1 if lived_s >= HEALTHY_S else self.deaths + 1
        most = min(FIRST_S * 2.0 ** min(self.deaths - 1, 16), MOST_S)
        return most * (0.5 + dice / 2)
