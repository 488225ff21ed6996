"""Deadlines of everything in flight, looked after by one tick instead of a timer for each wait.

A stream that gets fifty chunks a second would arm and cancel fifty timers; here a chunk sets one flag. The
price is that a deadline is noticed up to two ticks late, which no deadline of ours minds.
"""

import asyncio
from collections.abc import Callable

TICK_S = 0.05


class Watch:
    """One wait. `at` is when it ends, in the loop's time; whoever waits moves it on."""

    __slots__ = ("at", "expired", "heard", "idle_s", "total_at")

    def __init__(self, total_at: float, expired: Callable[[bool], None]) -> None:
        self.at = total_at
        self.total_at = total_at
        """The deadline of the whole request: no step may outlast it."""
        self.idle_s = 0.0
        self.heard = False
        """Something came: the next tick moves `at` to `idle_s` from then. A chunk need not look at the clock."""
        self.expired = expired
        """Called once when `at` (False) or `total_at` (True) has passed."""


def _nobody(_total: bool) -> None:
    """Nobody waits any more."""


class Deadlines:
    """All watches of a process. It ticks only while there are any."""

    def __init__(self, loop: asyncio.AbstractEventLoop, tick_s: float = TICK_S) -> None:
        self._loop = loop
        self._tick_s = tick_s
        self._watches: set[Watch] = set()
        self._handle: asyncio.TimerHandle | None = None

    def add(self, watch: Watch) -> None:
        self._watches.add(watch)
        if self._handle is None:
            self._handle = self._loop.call_later(self._tick_s, self._tick)

    def remove(self, watch: Watch) -> None:
        """For good. Whoever was to be called is let go: it usually holds the watch, and a circle of a request's
        objects would keep them, and the memory they are in, until the garbage collector comes round."""
        self._watches.discard(watch)
        watch.expired = _nobody

    def expire_all(self) -> None:
        """Everything in flight is late from now on: the process wants to end."""
        for watch in self._watches:
            watch.total_at = 0.0

    def close(self) -> None:
        self._watches.clear()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        now = self._loop.time()
        late = []
        for watch in self._watches:
            if watch.heard:
                watch.heard = False
                watch.at = now + watch.idle_s
            if now >= watch.at or now >= watch.total_at:
                late.append(watch)
        for watch in late:
            self._watches.discard(watch)
            watch.expired(now >= watch.total_at)
        self._handle = self._loop.call_later(self._tick_s, self._tick) if self._watches else None
