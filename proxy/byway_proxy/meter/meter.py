"""The front of metering: an attempt begins before the provider sees a byte, and is settled exactly once.

    begin(intent) --> attempt under way --settle--> cost and bill, in the log

What the log promises about crashes is in `log`; what an attempt costs is decided in `charge`.
"""

import time
from collections import deque
from collections.abc import Callable

import msgspec
from byway_contract.money import Cost, Usage
from byway_contract.records import Intent, Outcome, Settle, UsageFrom

from byway_proxy.meter.charge import charge
from byway_proxy.meter.log import Log, LogFull

NO_USAGE = Usage()


class Settled(msgspec.Struct, frozen=True, gc=False):
    """An attempt's end, as it was written down, and the parts of its cost."""

    record: Settle
    parts: Cost | None


class Meter:
    """One for each process, like its log. `attempts`, `billed` and `absorbed` are read at a scrape."""

    __slots__ = ("_log", "_now", "_owed", "absorbed", "attempts", "billed", "open", "settled")

    def __init__(self, log: Log, now: Callable[[], float] = time.time) -> None:
        self._log, self._now = log, now
        self._owed: deque[Settle] = deque()
        """SETTLEs that found even the emergency segment full; as many as there were attempts at most."""
        self.open: dict[str, Intent] = {}
        self.attempts = 0
        self.settled = 0
        self.billed = 0
        """Nanodollars since the process started."""
        self.absorbed = 0
        """Nanodollars since the process started."""

    @property
    def ready(self) -> bool:
        return self._log.ready

    def begin(self, intent: Intent) -> None:
        """Write down that this attempt is about to be sent. Raises LogFull: then it must not be."""
        assert intent.attempt not in self.open, f"attempt {intent.attempt} begins twice"
        if self._owed:
            self.catch_up()
        self._log.append(intent)
        self.open[intent.attempt] = intent
        self.attempts += 1

    def settle(
        self,
        attempt: str,
        outcome: Outcome,
        usage: Usage = NO_USAGE,
        usage_from: UsageFrom = "unknown",
        *,
        answered: bool,
        reason: str = "",
        status: int = 0,
        first_token_ms: float | None = None,
        duration_ms: float = 0.0,
        finish: str = "",
        native_finish: str = "",
        upstream_id: str = "",
    ) -> Settled:
        """How the attempt ended; `answered`: its run is the one that the client was given. Never raises LogFull.

        What is returned has the cost and what of it is billed.
        """
        intent = self.open.pop(attempt, None)
        assert intent is not None, f"attempt {attempt} was never begun, or is settled twice"
        charged = charge(intent, usage, usage_from, answered=answered, finish=finish)
        record = Settle(
            attempt=attempt,
            at=self._now(),
            outcome=outcome,
            usage=charged.usage,
            usage_from=charged.usage_from,
            cost=charged.cost,
            billed=charged.billed,
            reckoned=charged.reckoned,
            reason=reason,
            status=status,
            first_token_ms=first_token_ms,
            duration_ms=duration_ms,
            finish=finish,
            native_finish=native_finish,
            upstream_id=upstream_id,
        )
        self.settled += 1
        self.billed += charged.billed
        self.absorbed += charged.cost - charged.billed
        if self._owed or not self._wrote(record):
            self._owed.append(record)
        return Settled(record, charged.parts)

    def _wrote(self, record: Settle) -> bool:
        try:
            self._log.append(record)
        except LogFull:
            return False
        return True

    def catch_up(self) -> bool:
        """Write the SETTLEs that have found no room yet. True if none is left; call it before the log is closed."""
        while self._owed:
            if not self._wrote(self._owed[0]):
                return False
            self._owed.popleft()
        return True
