"""What was used within the last minute, of one limit by one subject. Pure: `now` is monotonic seconds.

The minute slides, in steps of a second: what stands here is what was used in the last 60 to 61 seconds, so never
less than in the last 60. (A minute that begins on the clock's would let twice the limit in around its end, and so
would a bucket that fills up steadily.)
"""

from collections import deque

MINUTE_S = 60


class Window:
    __slots__ = ("_steps", "added", "used")

    def __init__(self) -> None:
        self._steps: deque[list[int]] = deque()
        """[second, amount], the oldest first, none empty; 61 at most."""
        self.used = 0
        """As of the last look."""
        self.added = 0
        """Ever; what is taken back stays in it."""

    def at(self, now: float) -> int:
        steps, over = self._steps, int(now) - MINUTE_S
        while steps and steps[0][0] < over:
            self.used -= steps.popleft()[1]
        return self.used

    def add(self, amount: int, now: float) -> int:
        """Returns the step, for who may have to take it back."""
        self.at(now)
        second = int(now)
        if self._steps and self._steps[-1][0] >= second:
            second = self._steps[-1][0]
            self._steps[-1][1] += amount
        else:
            self._steps.append([second, amount])
        self.used += amount
        self.added += amount
        return second

    def take_back(self, amount: int, second: int) -> None:
        """Some of what was added in that step; nothing if it is past."""
        for step in reversed(self._steps):
            if step[0] == second:
                less = min(amount, step[1])
                step[1] -= less
                self.used -= less
                return

    def frees_after_s(self, amount: int, now: float) -> float:
        """When so much of it will be past, if nothing comes to it. More than there is: when all is."""
        gone = 0
        for second, used in self._steps:
            gone += used
            if gone >= amount:
                return second + MINUTE_S + 1 - now
        return self._steps[-1][0] + MINUTE_S + 1 - now if self._steps else 0.0
