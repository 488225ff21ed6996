"""Bring the log to the ledger, in order, for as long as it takes. Never on a request's path.

    synced --> batch --POST--> 200 booked up to N   --> the log may forget them
                 ^               401, 403, 503, no answer, … --> the same batch again, after a while
                 |               409 gap            --> from where the ledger stands
                 +---------------409 fenced, forked --> stop, and say so: another log has taken this one's place

One batch is under way at a time, so a lost answer costs a repetition that the ledger ignores, and nothing else.
"""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from byway_contract.records import MOST_RECORDS, USAGE_PATH, Booked, Fenced, Forked, Gap
from byway_process.logs import Log as ProcessLog

from byway_proxy.meter.log import Log
from byway_proxy.meter.post import NoAnswer, Post, at_once_or, fenced, said

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
# One write to the socket, and far below what the ledger accepts.
MOST_BYTES = 2 * 1024 * 1024


class _Stopped(Exception):
    """The ledger will never take records of this opening of the log."""


class _Batch(msgspec.Struct, frozen=True):
    """The contract's `Batch`, its records as they lie in the log."""

    source: str
    epoch: int
    first_seq: int
    records: list[msgspec.Raw]
    oldest: int


@dataclass(frozen=True)
class _Failed:
    why: str
    status: int = 0
    """HTTP's; 0: no answer."""


_Answer = Booked | Gap | Fenced | Forked | _Failed
_encode = msgspec.json.Encoder().encode


class Shipper:
    """Run it in one task with an owner."""

    def __init__(
        self,
        log: Log,
        post: Post,
        process_log: ProcessLog,
        *,
        dice: Callable[[], float] = random.random,
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
        on_recall: Callable[[tuple[str, ...]], None] = lambda _: None,
    ) -> None:
        self.batches = 0
        self.failures = 0
        """In a row: 0 while the ledger answers."""
        self.stopped = ""
        """Why nothing is shipped any more."""
        self._log, self._say, self._dice = log, process_log, dice
        self._post, self._on_recall = post, on_recall
        self._failed_with: int | None = None
        self._first_wait_s, self._longest_wait_s = first_wait_s, longest_wait_s
        self._more, self._hurry, self._progress = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Ship until cancelled. It returns only when `stopped` says why; the proxy should be unready then."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._more.set)

        self._log.when_synced = wake
        try:
            await self._ship()
        except _Stopped as error:
            self.stopped = str(error)
            self._say.error("usage is no longer shipped", source=self._log.source, why=self.stopped)
        finally:
            self._log.when_synced = None
            self._progress.set()

    async def flush(self, deadline_s: float) -> bool:
        """Ship what is in the log now, without waiting out any pause; whether that was done within `deadline_s`.

        `run` must be running. Records appended meanwhile are not waited for.
        """
        target = self._log.last
        try:
            async with asyncio.timeout(deadline_s):
                await asyncio.to_thread(self._log.sync)
                while self._log.booked < target and not self.stopped:
                    self._progress.clear()
                    self._hurry.set()
                    self._more.set()
                    await self._progress.wait()
        except TimeoutError:
            pass
        return self._log.booked >= target

    async def _ship(self) -> None:
        position = self._log.booked + 1
        while True:
            self._more.clear()
            position = max(position, self._log.oldest)
            try:
                records = self._log.read(position, MOST_RECORDS, MOST_BYTES)
            except (LookupError, FileNotFoundError):
                continue  # booked before, asked for again, and deleted just now: on with the oldest
            if not records:
                await self._more.wait()
                continue
            position = await self._deliver(position, records)

    async def _deliver(self, first: int, records: list[bytes]) -> int:
        """Send one batch until it is answered. The seq to go on with."""
        raws = list(map(msgspec.Raw, records))
        body = _encode(_Batch(self._log.source, self._log.epoch, first, raws, self._log.oldest))
        while True:
            match await self._send(body):
                case Booked(seq, recall):
                    self._succeeded(min(seq, first + len(records) - 1))
                    if recall:
                        self._on_recall(recall)
                    return self._log.booked + 1
                case Gap(expected):
                    return await self._turned_back(first, expected)
                case Fenced(epoch):
                    raise _Stopped(fenced(self._log, epoch))
                case Forked(seq):
                    raise _Stopped(
                        f"the ledger has other records than the log in {self._log.directory} from {seq} on:"
                        " it is an old copy of itself; move it away and restart"
                    )
                case _Failed(why, status):
                    await self._pause(why, status)

    async def _send(self, body: bytes) -> _Answer:
        try:
            return _understood(*await self._post(USAGE_PATH, body))
        except NoAnswer as why:
            return _Failed(str(why))

    def _succeeded(self, seq: int) -> None:
        if self.failures:
            self._say.info("the ledger takes usage again", after_failures=self.failures, booked=seq)
        self.failures, self._failed_with = 0, None
        self.batches += 1
        self._log.mark_booked(seq)
        self._progress.set()

    async def _turned_back(self, first: int, expected: int) -> int:
        self._say.warning("the ledger misses records", sent=first, expected=expected, oldest=self._log.oldest)
        if expected > self._log.synced + 1:
            raise _Stopped(
                f"the ledger expects record {expected} of the log in {self._log.directory}, which ends at"
                f" {self._log.last}: it is an old copy of itself; move it away and restart"
            )
        if max(expected, self._log.oldest) == first:
            await self._pause(f"the ledger expects {expected} and refuses {first}")
        return expected

    async def _pause(self, why: str, status: int = 0) -> None:
        self.failures += 1
        # Another reason than before is news: from nobody there to nobody let in, and what to do about it.
        if status != self._failed_with or self.failures == 10 or self.failures % 100 == 0:
            self._failed_with = status
            self._say.warning("the ledger does not take usage", why=why, failures=self.failures)
        # Full jitter: when the ledger is back, all proxies have something to say.
        longest = min(self._longest_wait_s, self._first_wait_s * 2 ** min(self.failures, 16))
        self._hurry.clear()
        await at_once_or(self._hurry, self._dice() * longest)


def _understood(status: int, text: bytes) -> _Answer:
    try:
        if status == 200:
            return msgspec.json.decode(text, type=Booked)
        if status == 409:
            return _refusal(text)
    except msgspec.DecodeError as error:
        return _Failed(f"HTTP {status}, and an answer no ledger gives: {error}")
    return _Failed(f"HTTP {status}: {said(text)}", status)


def _refusal(text: bytes) -> Gap | Fenced | Forked:
    said = msgspec.json.decode(text, type=dict[str, int | bool])
    if "gap" in said:
        return msgspec.convert(said, Gap)
    if "fenced" in said:
        return msgspec.convert(said, Fenced)
    return msgspec.convert(said, Forked)
