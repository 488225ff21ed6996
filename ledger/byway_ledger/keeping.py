"""What the books keep, and for how long: old attempts become sums of their days, in the background."""

import asyncio
import time
from collections.abc import Callable

from byway_process.logs import Log

from byway_ledger.stores.store import Folded, Store, StoreError

DAY_S = 86_400.0
# A month has 31 days, the zones of the earth are a day apart, and `GET /activity` tells of 30 days; with a margin.
LEAST_DAYS, MOST_DAYS = 40, 36_500
# Some ten milliseconds of the one writer; then whoever has something to book.
AT_ONCE = 500
EVERY_S = 600.0


class Keeping:
    def __init__(
        self,
        store: Store,
        log: Log,
        keep_days: int,
        keep_rollups_days: int | None,
        *,
        now: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
    ) -> None:
        self.folded = 0
        """Attempts, since the process started."""
        self._store, self._log, self._now, self._every_s = store, log, now, every_s
        self._keep_days, self._keep_rollups_days = keep_days, keep_rollups_days
        self._said = ""

    async def run(self) -> None:
        """Until cancelled. What cannot be folded now is folded later."""
        while True:
            try:
                await self.fold_all()
            except StoreError as error:
                self._log.warning("old attempts cannot be folded just now", why=str(error))
            await asyncio.sleep(self._every_s)

    async def fold_all(self) -> None:
        """Raises StoreError."""
        today = self._now() // DAY_S * DAY_S
        before = today - self._keep_days * DAY_S
        forget = None if self._keep_rollups_days is None else today - self._keep_rollups_days * DAY_S
        attempts = rollups = 0
        while True:
            began = time.monotonic()
            done = await self._store.fold(before, forget, AT_ONCE)
            attempts, rollups, self.folded = (
                attempts + done.attempts,
                rollups + done.rollups,
                self.folded + done.attempts,
            )
            if not done.attempts and not done.rollups:
                break
            # Half of the time is for others.
            await asyncio.sleep(time.monotonic() - began)
        self._say(attempts, rollups, done)

    def _say(self, attempts: int, rollups: int, done: Folded) -> None:
        if attempts or rollups:
            self._log.info("old attempts are sums now", attempts=attempts, sums_forgotten=rollups)
        if done.kept_for != self._said:
            self._said = done.kept_for
            if self._said:
                self._log.warning("older sums are kept, for a limit for a lifetime counts them", limit=self._said)
