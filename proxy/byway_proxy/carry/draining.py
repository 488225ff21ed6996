"""Answers that nobody waits for any more, read to their end because their provider bills them to their end.

    client gone --> does leaving end the provider's bill? --yes--> aborted, billed as far as it came
                                   |no
                                   +--> read on, by a task of ours --> exact usage, one row
                                        not for ever, and not too many at once

`table.Account.leaving` says whom that concerns.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

MOST, AT_MOST_S = 64, 60.0
"""Beside what is served: enough for whoever closes a tab, too few to be a burden."""


class Draining:
    """One for a process."""

    def __init__(self, now: Callable[[], float], most: int = MOST, at_most_s: float = AT_MOST_S) -> None:
        self._now, self._most, self._at_most_s = now, most, at_most_s
        self._tasks: set[asyncio.Task[None]] = set()
        self.counts = {"drained": 0, "aborted": 0}
        """Since the process started; `aborted` for want of room."""

    def __len__(self) -> int:
        return len(self._tasks)

    @property
    def has_room(self) -> bool:
        return len(self._tasks) < self._most

    def ends_at(self, ends_at: float) -> float:
        """When to give up on what had until `ends_at`."""
        return min(ends_at, self._now() + self._at_most_s)

    def take(self, reading: Coroutine[Any, Any, None]) -> None:
        """`reading` ends by itself, at its deadline at the latest; cancelled, it settles with what it has."""
        task = asyncio.get_running_loop().create_task(reading)
        self._tasks.add(task)
        self.counts["drained"] += 1
        task.add_done_callback(self._done)

    async def end(self, within_s: float) -> None:
        """The process wants to end: wait for them so long, then each settles with what it has."""
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=within_s)
        await self.close()

    async def close(self) -> None:
        """Each settles with what it has."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.result()  # a bug of ours is not swallowed
