"""Decide how long to wait before dialling the operator again. No I/O; chance is an argument."""

from collections.abc import Callable
from dataclasses import dataclass

Dice = Callable[[], float]
"""A number from 0 to 1, evenly."""


@dataclass(frozen=True)
class Redial:
    """Full jitter: anything from nothing to the whole of a delay that doubles, so that a thousand proxies whose
    operator came back do not come at once."""

    first_s: float = 0.2
    most_s: float = 10.0

    def wait_s(self, failures: int, dice: Dice, at_least_s: float = 0.0) -> float:
        """`failures`: attempts since a welcome, from 1. `at_least_s`: the operator's own `Retry-After`."""
        # Past 2**20 the bound has long been reached.
        delay_s = min(self.most_s, self.first_s * float(2 ** min(failures - 1, 20)))
        return min(max(delay_s * dice(), at_least_s), self.most_s)


def around(seconds: float, dice: Dice, share: float = 0.2) -> float:
    """`seconds` ± `share`."""
    return seconds * (1 + share * (2 * dice() - 1))
