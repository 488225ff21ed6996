"""The front of metering: an attempt begins before the provider sees a byte, and is settled exactly once.

    begin(intent, hold) --> attempt under way --settle--> cost, bill, and what is drawn from grants, in the log

What the log promises about crashes is in `log`; what an attempt costs is decided in `charge`, and what there is to
hold in `purse`.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence

import msgspec
from byway_contract.money import Cost, Usage
from byway_contract.records import Intent, Legs, Outcome, Progress, Release, Settle, UsageFrom
from msgspec.structs import replace

from byway_proxy.meter.begun import together
from byway_proxy.meter.charge import charge
from byway_proxy.meter.estimates import Estimates
from byway_proxy.meter.held import Hold
from byway_proxy.meter.log import Log, LogFull
from byway_proxy.meter.purse import Purse

NO_USAGE = Usage()


class Settled(msgspec.Struct, frozen=True, gc=False):
    """An attempt's end, as it was written down, and the parts of its cost."""

    record: Settle
    parts: Cost | None


class Meter:
    """One for each process, like its log. `attempts`, `billed` and `absorbed` are read at a scrape."""

    __slots__ = (
        "_log",
        "_now",
        "_owed",
        "_unwritten",
        "absorbed",
        "attempts",
        "billed",
        "estimates",
        "open",
        "purse",
        "released_at",
        "settled",
        "when_freed",
    )  # fmt: skip

    def __init__(self, log: Log, now: Callable[[], float] = time.time, purse: Purse | None = None) -> None:
        self._log, self._now = log, now
        self.purse = purse or Purse()
        self.estimates = Estimates()
        self.when_freed: Callable[[], None] | None = None
        """Called after what was held is free again."""
        self._owed: deque[Settle | Release] = deque()
        """What found even the emergency segment full: no more SETTLEs than there were attempts."""
        self.open: dict[str, tuple[Intent, Hold | None]] = {}
        self._unwritten: dict[str, Legs] = {}
        """Held for attempts under way, and not in the log yet."""
        self.released_at = 0
        """Seq of the last RELEASE."""
        self.attempts = 0
        self.settled = 0
        self.billed = 0
        """Nanodollars since the process started."""
        self.absorbed = 0
        """Nanodollars since the process started."""

    @property
    def ready(self) -> bool:
        return self._log.ready

    def begin(self, intent: Intent, hold: Hold | None = None) -> None:
        """Write down that this attempt is about to be sent.

        Raises LogFull: then it must not be, and `hold` is still the caller's to give back.
        """
        assert intent.attempt not in self.open, f"attempt {intent.attempt} begins twice"
        if self._owed:
            self.catch_up()
        if hold is not None:
            intent = replace(intent, legs=hold.legs)
        self._log.append(intent)
        self.open[intent.attempt] = (intent, hold)
        self.attempts += 1

    def extend(self, attempt: str, more: Hold) -> bool:
        """Hold more for an attempt under way, and write it down with its next progress. False: it is not."""
        intent, hold = self.open.get(attempt, (None, None))
        if intent is None or hold is None:
            return False
        self.open[attempt] = (intent, hold.and_more(more))
        self._unwritten[attempt] = together(self._unwritten.get(attempt, ()), more.legs)
        return True

    def progress(self, attempt: str, prompt: int, completion: int) -> bool:
        """How far it has come, in tokens. False: the log does not take it, so nothing more may be held for it."""
        legs = self._unwritten.get(attempt, ())
        try:
            self._log.append(Progress(attempt, prompt, completion, legs))
        except LogFull:
            return False
        self._unwritten.pop(attempt, None)
        return True

    def unhold(self, hold: Hold) -> None:
        """Nothing was sent."""
        self.purse.unhold(hold)
        self._freed()

    def release(self, back: Sequence[Release]) -> None:
        """So much of these grants is given back. It is no longer in the purse."""
        for release in back:
            self._append(release)
            self.released_at = self._log.last

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
        begun = self.open.pop(attempt, None)
        assert begun is not None, f"attempt {attempt} was never begun, or is settled twice"
        intent, hold = begun
        self._unwritten.pop(attempt, None)
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
            fee=charged.fee,
        )
        self.settled += 1
        self.billed += charged.billed
        self.absorbed += charged.cost - charged.billed
        if hold is not None:
            record = replace(record, legs=self.purse.settle(hold, intent, record))
        self._append(record)
        if hold is not None:
            self._freed()
        return Settled(record, charged.parts)

    def _freed(self) -> None:
        if self.purse.owes:
            self.release(self.purse.due())
        if self.when_freed is not None:
            self.when_freed()

    def _append(self, record: Settle | Release) -> None:
        if self._owed or not self._wrote(record):
            self._owed.append(record)

    def _wrote(self, record: Settle | Release) -> bool:
        try:
            self._log.append(record)
        except LogFull:
            return False
        return True

    def catch_up(self) -> bool:
        """Write what has found no room yet. True if none is left; call it before the log is closed."""
        while self._owed:
            if not self._wrote(self._owed[0]):
                return False
            self._owed.popleft()
        return True
