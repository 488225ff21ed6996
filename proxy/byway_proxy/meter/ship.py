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
from pathlib import Path

import aiohttp
import msgspec
from byway_contract.records import MOST_RECORDS, USAGE_PATH, Booked, Fenced, Forked, Gap
from byway_process.logs import Log as ProcessLog
from byway_process.tls import ClientTls

from byway_proxy.meter.log import Log

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 5.0
ANSWER_WITHIN_S = 10.0
# One write to the socket, and far below what the ledger accepts.
MOST_BYTES = 2 * 1024 * 1024
MOST_ANSWER_BYTES = 64 * 1024
NO_TOKEN = "the token's file holds no token; mount a projected ServiceAccount token of the ledger's audience"


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
class Ledger:
    """Where it is: `unix:/path/to/socket`, or `http(s)://host:port`; and what proves us there."""

    url: str
    token_file: str | None = None
    """Read for each batch: the kubelet renews it in place."""
    tls: ClientTls | None = None


@dataclass(frozen=True)
class _Failed:
    why: str
    status: int = 0
    """HTTP's; 0: no answer."""


class _Told(msgspec.Struct):
    error: dict[str, str]


_Answer = Booked | Gap | Fenced | Forked | _Failed
_encode = msgspec.json.Encoder().encode


class Shipper:
    """`to` is the ledger. Run it in one task with an owner."""

    def __init__(
        self,
        log: Log,
        to: Ledger | str,
        process_log: ProcessLog,
        *,
        dice: Callable[[], float] = random.random,
        first_wait_s: float = FIRST_WAIT_S,
        longest_wait_s: float = LONGEST_WAIT_S,
        answer_within_s: float = ANSWER_WITHIN_S,
    ) -> None:
        self.batches = 0
        self.failures = 0
        """In a row: 0 while the ledger answers."""
        self.stopped = ""
        """Why nothing is shipped any more."""
        self._log, self._say, self._dice = log, process_log, dice
        self._ledger = to if isinstance(to, Ledger) else Ledger(to)
        url = self._ledger.url
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._url = ("http://ledger" if self._socket else url.rstrip("/")) + USAGE_PATH
        self._failed_with: int | None = None
        self._first_wait_s, self._longest_wait_s = first_wait_s, longest_wait_s
        self._timeout = aiohttp.ClientTimeout(total=answer_within_s)
        self._more, self._hurry, self._progress = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def run(self) -> None:
        """Ship until cancelled. It returns only when `stopped` says why; the proxy should be unready then."""
        loop = asyncio.get_running_loop()

        def wake() -> None:
            loop.call_soon_threadsafe(self._more.set)

        self._log.when_synced = wake
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector(limit=1)
        try:
            async with aiohttp.ClientSession(
                connector=connector, timeout=self._timeout, trust_env=False, auto_decompress=False
            ) as session:
                await self._ship(session)
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

    async def _ship(self, session: aiohttp.ClientSession) -> None:
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
            position = await self._deliver(session, position, records)

    async def _deliver(self, session: aiohttp.ClientSession, first: int, records: list[bytes]) -> int:
        """Send one batch until it is answered. The seq to go on with."""
        raws = list(map(msgspec.Raw, records))
        body = _encode(_Batch(self._log.source, self._log.epoch, first, raws, self._log.oldest))
        while True:
            match await self._send(session, body):
                case Booked(seq):
                    self._succeeded(min(seq, first + len(records) - 1))
                    return self._log.booked + 1
                case Gap(expected):
                    return await self._turned_back(first, expected)
                case Fenced(epoch):
                    raise _Stopped(
                        f"the log in {self._log.directory}, in its opening {self._log.epoch}, has been opened"
                        f" elsewhere since ({epoch}): two proxies have copies of it; move this one away and restart"
                    )
                case Forked(seq):
                    raise _Stopped(
                        f"the ledger has other records than the log in {self._log.directory} from {seq} on:"
                        " it is an old copy of itself; move it away and restart"
                    )
                case _Failed(why, status):
                    await self._pause(why, status)

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> _Answer:
        try:
            headers, tls = self._proofs(), self._ledger.tls.context if self._ledger.tls else True
            async with session.post(
                self._url, data=body, headers=headers, ssl=tls, allow_redirects=False
            ) as answer:
                if (answer.content_length or 0) > MOST_ANSWER_BYTES:
                    return _Failed(f"HTTP {answer.status}, and an answer no ledger gives")
                return _understood(answer.status, await answer.read())
        except TimeoutError:
            return _Failed(f"no answer within {self._timeout.total} s")
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what the token's file holds cannot be in a header. It is not quoted.
            return _Failed(f"{type(error).__name__}: {error}" if not isinstance(error, ValueError) else NO_TOKEN)

    def _proofs(self) -> dict[str, str]:
        """Raises OSError if there is no token where one should be."""
        headers = {"Content-Type": "application/json"}
        if self._ledger.token_file is not None:
            token = Path(self._ledger.token_file).read_text(encoding="ascii", errors="replace").strip()
            headers["Authorization"] = f"Bearer {token}"
        return headers

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
        try:
            async with asyncio.timeout(max(self._dice() * longest, 0.001)):
                await self._hurry.wait()
        except TimeoutError:
            return


def _understood(status: int, text: bytes) -> _Answer:
    try:
        if status == 200:
            return msgspec.json.decode(text, type=Booked)
        if status == 409:
            return _refusal(text)
    except msgspec.DecodeError as error:
        return _Failed(f"HTTP {status}, and an answer no ledger gives: {error}")
    return _Failed(f"HTTP {status}: {_message(text)}", status)


def _message(text: bytes) -> str:
    """What the ledger says, which holds the way out; or whatever somebody else said in its place."""
    try:
        return msgspec.json.decode(text, type=_Told).error["message"][:500]
    except (msgspec.DecodeError, KeyError):
        return text[:200].decode(errors="replace")


def _refusal(text: bytes) -> Gap | Fenced | Forked:
    said = msgspec.json.decode(text, type=dict[str, int | bool])
    if "gap" in said:
        return msgspec.convert(said, Gap)
    if "fenced" in said:
        return msgspec.convert(said, Fenced)
    return msgspec.convert(said, Forked)
