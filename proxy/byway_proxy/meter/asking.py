"""Ask the ledger for grants, and give back what is not needed. A request waits for it only when nothing is free.

    at_once --short--> hold --> in the next Ask, with all who wait --> held, or Short
                                   |
                       no answer --> the same Ask under the same number, for as long as it takes

One task asks, one Ask after the other. Between them it refills what runs low, renews what is in use, writes down
what goes back, and hears at least twice a second what others need.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
from byway_contract.grants import (
    GRANTS_PATH,
    HELLO_PATH,
    MOST_WANTS,
    Answered,
    Ask,
    Grants,
    Hello,
    Welcome,
)
from byway_contract.records import Fenced, Gap
from byway_process.logs import Log as ProcessLog

from byway_proxy.meter.held import Claim, Hold, Key, Share
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import NoAnswer, Post, at_once_or, fenced, said
from byway_proxy.meter.waiting import Short, Waiter, Waiting, keys

WAIT_S = 2.0
ANSWER_WITHIN_S = 2.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
BEAT_S = 0.5
"""Who holds something asks at least so often, if only to hear that others need it."""
SERVE_EVERY_S = 0.005
MOST_WAITING = 2000
MOST_RENEWED = 1000

_encode = msgspec.json.Encoder().encode


class _Stopped(Exception):
    """The ledger will never give this opening of the log anything."""


@dataclass(frozen=True)
class _Failed:
    why: str
    status: int = 0
    """HTTP's; 0: no answer."""


class Asking:
    """One for each process. Run it in one task with an owner."""

    def __init__(
        self,
        meter: Meter,
        log: Log,
        post: Post,
        process_log: ProcessLog,
        *,
        now: Callable[[], float],
        dice: Callable[[], float] = random.random,
        wait_s: float = WAIT_S,
        answer_within_s: float = ANSWER_WITHIN_S,
        beat_s: float = BEAT_S,
    ) -> None:
        self.wait_s = wait_s
        """The longest that a request waits, all its attempts together."""
        self.stopped = ""
        """Why nothing is given any more."""
        self.asks = 0
        self.failures = 0
        """In a row: 0 while the ledger answers."""
        self._meter, self._purse, self._log = meter, meter.purse, log
        self._post, self._say, self._now, self._dice = post, process_log, now, dice
        self._answer_within_s, self._beat_s = answer_within_s, beat_s
        self._waiting = Waiting(meter.purse, dice)
        self._boot, self._greeted = log.last, log.epoch == 1
        self._number = 0
        self._down_since: float | None = None
        self._beat_at = self._served_at = 0.0
        self._under_way, self._leaving = False, False
        self._news, self._idle = asyncio.Event(), asyncio.Event()
        meter.when_freed = self._freed

    @property
    def answers(self) -> bool:
        return not self.stopped and self._down_since is None

    def at_once(self, claims: Sequence[Claim]) -> Hold | None:
        """What is free is held, without waiting for anybody."""
        held = self._purse.hold(claims, self._now())
        if self._purse.low:
            self._purse.low = False
            self._news.set()
        return held

    async def hold(self, claims: Sequence[Claim], ends_at: float) -> Hold | Short:
        """The same, asking the ledger where too little is free; until `ends_at`."""
        held = self.at_once(claims)
        if held is not None:
            return held
        now = self._now()
        refused = self._refused(claims, now)
        if refused is not None or ends_at <= now:
            return refused or Short(claims[0])
        future: asyncio.Future[Hold | Short] = asyncio.get_running_loop().create_future()
        waiter = self._waiting.enter(claims, lambda told: _hand(future, told))
        self._news.set()
        try:
            async with asyncio.timeout(ends_at - now):
                return await future
        except TimeoutError:
            return future.result() if _has(future) else waiter.short
        except asyncio.CancelledError:
            told = future.result() if _has(future) else None
            if isinstance(told, Hold):
                self._meter.unhold(told)
            raise
        finally:
            self._waiting.leave(waiter)

    def later(self, claims: Sequence[Claim], tell: Callable[[Hold | Short], bool]) -> Waiter | None:
        """The same, for who cannot wait: `tell` is called with what came of it, unless it leaves before.

        None: there is no room, by what the ledger said a moment ago.
        """
        refused = self._refused(claims, self._now())
        if refused is not None:
            return None
        self._news.set()
        return self._waiting.enter(claims, tell)

    def leave_waiting(self, waiter: Waiter) -> None:
        self._waiting.leave(waiter)

    def held(self, key: Key) -> int:
        return self._purse.held(key)

    def free(self, key: Key) -> int:
        return self._purse.free(key, self._now())

    def share(self, key: Key) -> Share | None:
        return self._purse.share(key)

    def recall(self, grants: Sequence[str]) -> None:
        """Others need these, says an answer to something else."""
        self._purse.recall(grants)
        self._give_back()

    async def run(self) -> None:
        """Until cancelled. It returns only when `stopped` says why; the proxy should be unready then."""
        try:
            while True:
                self._news.clear()
                self._give_back()
                self._waiting.serve(self._now())
                if not self._greeted and self._log.booked >= self._boot:
                    self._greeted = await self._greet()
                message = None if self._leaving else self._next()
                if message is not None:
                    await self._ask(message)
                else:
                    if self._greeted:
                        self._idle.set()
                    await at_once_or(self._news, self._until_next())
        except _Stopped as error:
            self.stopped = str(error)
            self._say.error("the ledger gives nothing any more", source=self._log.source, why=self.stopped)
        finally:
            self._idle.set()
            self._waiting.give_up()

    async def leave(self, deadline_s: float) -> bool:
        """The process ends: an Ask under way is answered, and everything goes back, also what an earlier opening of
        the log still had. Whether that was so in time."""
        self._leaving = True
        if not self.stopped:
            self._idle.clear()
            self._news.set()
        try:
            async with asyncio.timeout(deadline_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        self._meter.release(self._purse.leave())
        return self._greeted and not self._under_way

    def _refused(self, claims: Sequence[Claim], now: float) -> Short | None:
        down = self._down_since
        if self.stopped or self._leaving or (down is not None and now - down > self.wait_s):
            return Short(claims[0])
        if len(self._waiting) >= MOST_WAITING:
            return Short(claims[0])
        return self._waiting.refused(claims, now)

    def _freed(self) -> None:
        """An attempt has ended: somebody who waits may have its room."""
        if self._waiting:
            now = self._now()
            if now - self._served_at >= SERVE_EVERY_S:
                self._served_at = now
                self._waiting.serve(now)
            else:
                self._news.set()

    def _give_back(self) -> None:
        self._meter.release(self._purse.releases(self._now()))

    def _returning(self, key: Key) -> bool:
        """Some of it is held here, or is on its way back to the ledger."""
        return self._purse.held(key) > 0 or self._log.booked < self._meter.released_at

    def _next(self) -> Ask | None:
        now = self._now()
        wants = self._waiting.wants(now, self._returning)
        asked = keys(wants)
        for more in self._purse.refills(now):
            key = (more.limit, more.subject)
            if key not in asked and len(wants) < MOST_WANTS and not self._waiting.denied_lately(key, now):
                wants.append(more)
        if not wants and (self._purse.empty or now < self._beat_at):
            return None
        self._number += 1
        renew = tuple(self._purse.renewals(now)[:MOST_RENEWED])
        return Ask(self._log.source, self._log.epoch, self._number, self._number - 1, tuple(wants), renew)

    def _until_next(self) -> float:
        due = self._waiting.due(self._now())
        return self._beat_s if due is None else min(due, self._beat_s)

    async def _ask(self, message: Ask) -> None:
        """Until it is answered, whoever waits for it or not: the ledger may have obeyed it already."""
        body, sent_at = _encode(message), self._now()
        self._under_way = True
        while True:
            match await self._sent(GRANTS_PATH, body):
                case Grants() as answer:
                    self._purse.take(answer, sent_at)
                    self._waiting.answered(answer, self._now())
                    break
                case Fenced(epoch):
                    raise _Stopped(fenced(self._log, epoch))
                case _Failed(why, 400 | 413):
                    self._say.error("the ledger understands no ask of ours", why=why)
                    break
                case _Failed(why, status):
                    self._give_back()
                    await self._pause(why, status)
                case _:
                    break
        self._under_way = False
        self.asks += 1
        self._beat_at = self._now() + self._beat_s

    async def _greet(self) -> bool:
        """What grants of earlier openings still held goes back: all that was drawn from them is booked."""
        log = self._log
        match await self._sent(HELLO_PATH, _encode(Hello(log.source, log.epoch, self._boot, log.unsure))):
            case Welcome(_, _, stranded):
                if log.unsure:
                    log.is_sure()
                    self._say.warning("power failed under this log: what it held is charged", grants=stranded)
                return True
            case Fenced(epoch):
                raise _Stopped(fenced(self._log, epoch))
            case _Failed(why, status):
                await self._pause(why, status)
        return False

    async def _sent(self, path: str, body: bytes) -> Grants | Welcome | Fenced | Answered | Gap | _Failed:
        try:
            async with asyncio.timeout(self._answer_within_s):
                answer = _understood(path, *await self._post(path, body))
        except TimeoutError:
            return _Failed(f"no answer within {self._answer_within_s} s")
        except NoAnswer as why:
            return _Failed(str(why))
        if not isinstance(answer, _Failed) or answer.status in (400, 413):
            self._succeeded()
        return answer

    def _succeeded(self) -> None:
        if self.failures:
            self._say.info("the ledger answers again", after_failures=self.failures)
        self.failures, self._down_since = 0, None

    async def _pause(self, why: str, status: int) -> None:
        self.failures += 1
        if self._down_since is None:
            self._down_since = self._now()
        if self.failures == 1 or self.failures % 100 == 0:
            self._say.warning("the ledger gives nothing", why=why, status=status, failures=self.failures)
        # Full jitter, as in shipping; a lower bound keeps a waiting request from asking a dead socket in a circle.
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self.failures, 16))
        await asyncio.sleep(max(FIRST_PAUSE_S / 5, self._dice() * longest))


def _hand(future: "asyncio.Future[Hold | Short]", told: Hold | Short) -> bool:
    if future.done():
        return False
    future.set_result(told)
    return True


def _has(future: "asyncio.Future[Hold | Short]") -> bool:
    return future.done() and not future.cancelled()


def _understood(path: str, status: int, text: bytes) -> Grants | Welcome | Fenced | Answered | Gap | _Failed:
    try:
        if status == 200:
            if path == GRANTS_PATH:
                return msgspec.json.decode(text, type=Grants)
            return msgspec.json.decode(text, type=Welcome)
        if status == 409:
            return _refusal(msgspec.json.decode(text, type=dict[str, int | bool]))
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return _Failed(f"HTTP {status}, and an answer no ledger gives: {error}", status)
    return _Failed(f"HTTP {status}: {said(text)}", status)


def _refusal(told: dict[str, int | bool]) -> Fenced | Answered | Gap:
    if "fenced" in told:
        return msgspec.convert(told, Fenced)
    return msgspec.convert(told, Answered) if "answered" in told else msgspec.convert(told, Gap)
