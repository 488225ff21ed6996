"""Bring the ledger the limits that budgets amount to: all of them, numbered, whenever they change and every minute.

    bring(limits) --PUT--> in force   --> rest; the same again costs a ledger that has them nothing, and one that
                                          came up empty gets them by it
                           stale      --> somebody brought them in a later term: in one later still, if we lead on
                           no answer  --> again, after a while that grows

They are brought before the table that names them is published, so that no proxy asks for what the ledger does not
know yet; and limits that are gone are kept a moment longer than the table that named them. A ledger that is away
holds up nobody for longer than `WAIT_S`.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp
import msgspec
from byway_contract.grants import LIMITS_PATH, MOST_LIMITS, Limit, Limited, Limits, Stale
from byway_process.logs import Log
from byway_process.tls import ClientTls
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from byway_operator.compile.budgets import hash_of

ANSWER_WITHIN_S = 10.0
_MOST_ANSWER_BYTES = 4096
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(frozen=True)
class Pace:
    every_s: float = 60.0
    look_every_s: float = 1.0
    """Whether we lead by now."""
    wait_s: float = 1.0
    """How long a table waits for the ledger."""
    linger_s: float = 3.0
    """How long limits outlive the table that named them: proxies are given the next one meanwhile."""
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0


class Reign(Protocol):
    """Whether we bring, and under which number."""

    @property
    def term(self) -> int | None:
        """None: it is another's to bring."""

    def outreigned(self, term: int) -> None:
        """Limits of this term are in force, a later one than ours."""


@dataclass
class Alone:
    """No other operator knows this ledger, so whatever it has is an earlier life's of ours."""

    term: int | None

    def outreigned(self, term: int) -> None:
        self.term = term + 1


class LedgerLimits:
    """Run it in one task with an owner. `ledger` is `https://host:port`, or a unix socket's path."""

    def __init__(
        self,
        ledger: str,
        tls: ClientTls | None,
        reign: Reign,
        log: Log,
        on_change: Callable[[], None],
        pace: Pace | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        """`on_change()` is called when `brought` is another, and must not block."""
        self.brought = ""
        """Hash of the wanted limits that the ledger took last. Until it is theirs, budgets are not in force as they
        stand."""
        self._ledger, self._tls, self._reign, self._log = ledger, tls, reign, log
        self._on_change, self._pace, self._dice = on_change, pace or Pace(), dice
        self._wanted: tuple[Limit, ...] = ()
        self._hash = ""
        self._leaving: tuple[Limit, ...] = ()
        self._leave_at = 0.0
        self._term, self._generation, self._numbered = -1, 0, ""
        self._due = 0.0
        self._running = False
        self._stirred, self._answered = asyncio.Event(), asyncio.Event()
        self._failures, self._failed, self._times_failed = 0, "", 0

    async def bring(self, limits: tuple[Limit, ...], digest: str) -> None:
        """These from now on. Waits a moment for the ledger to have them, if it is up to us."""
        if digest == self._hash:
            return
        loop, kept = asyncio.get_running_loop(), {limit.id for limit in limits}
        leaving = tuple(limit for limit in self._wanted if limit.id not in kept)
        self._leaving = leaving if len(leaving) + len(limits) <= MOST_LIMITS else ()
        self._leave_at = loop.time() + self._pace.linger_s
        self._wanted, self._hash, self._due = limits, digest, 0.0
        self._answered.clear()
        self._stirred.set()
        if self._running and self._reign.term is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pace.wait_s):
                    await self._answered.wait()

    async def run(self) -> None:
        """Runs until cancelled."""
        timeout, loop = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S), asyncio.get_running_loop()
        connector = None if self._tls is not None else aiohttp.UnixConnector(self._ledger)
        async with aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=False) as session:
            self._running = True
            try:
                while True:
                    self._stirred.clear()
                    term = self._reign.term
                    if term is not None and self._hash and (term != self._term or loop.time() >= self._due):
                        await self._turn(session, term, loop.time())
                    wait_s = min(max(self._due - loop.time(), 0.001), self._pace.look_every_s)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(wait_s):
                            await self._stirred.wait()
            finally:
                self._running = False

    async def _turn(self, session: aiohttp.ClientSession, term: int, now: float) -> None:
        wanted = self._hash
        lingering = self._leaving if now < self._leave_at else ()
        limits = tuple(sorted((*self._wanted, *lingering), key=lambda limit: limit.id))
        said = await self._put(
            session, self._as_numbered(limits, wanted if not lingering else hash_of(limits), term)
        )
        if wanted == self._hash:
            self._due = asyncio.get_running_loop().time() + self._after(said, wanted, len(limits), term)
            if lingering and isinstance(said, Limited):
                self._due = min(self._due, self._leave_at)
            self._answered.set()

    def _as_numbered(self, limits: tuple[Limit, ...], digest: str, term: int) -> Limits:
        if term != self._term:
            self._term, self._generation, self._numbered = term, 0, ""
        if digest != self._numbered:
            self._generation, self._numbered = self._generation + 1, digest
        return Limits(term, self._generation, digest, limits)

    async def _put(self, session: aiohttp.ClientSession, limits: Limits) -> Limited | Stale | str:
        """What the ledger says, or why it says nothing of use."""
        url = (self._ledger.rstrip("/") if self._tls is not None else "http://ledger") + LIMITS_PATH
        how: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "allow_redirects": False}
        if self._tls is not None:
            how["ssl"] = self._tls.context
        try:
            async with session.put(url, data=_encode(limits), **how) as answer:
                return _understood(answer.status, await answer.content.read(_MOST_ANSWER_BYTES))
        except TimeoutError:
            return f"no answer within {ANSWER_WITHIN_S} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}: {error}"

    def _after(self, said: Limited | Stale | str, wanted: str, count: int, term: int) -> float:
        """Say what is new, and how long to wait until the next try."""
        match said:
            case Limited():
                self._taken(said, wanted, count)
                return self._pace.every_s
            case Stale():
                self._outnumbered(said, term)
        self._times_failed += 1
        self._failures += 1
        why = said if isinstance(said, str) else f"it has those of term {said.term}, generation {said.generation}"
        if why != self._failed:
            self._log.warning("the ledger does not take the limits", ledger=self._ledger, why=why)
        self._failed = why
        longest = min(self._pace.longest_wait_s, self._pace.first_wait_s * 2.0 ** min(self._failures, 16))
        return self._dice() * longest

    def _taken(self, said: Limited, wanted: str, count: int) -> None:
        if wanted != self.brought or self._failures:
            self._log.info(
                "the ledger has the limits", limits=count, opened=said.opened, after_failures=self._failures
            )
        self._failures, self._failed = 0, ""
        if wanted != self.brought:
            self.brought = wanted
            self._on_change()

    def _outnumbered(self, said: Stale, term: int) -> None:
        if said.term > term:
            self._reign.outreigned(said.term)
        else:
            self._generation = max(self._generation, said.generation + 1)

    def collect(self) -> Iterator[Metric]:
        """For the registry."""
        yield GaugeMetricFamily("byway_limits", "Limits that budgets amount to", value=len(self._wanted))
        yield GaugeMetricFamily(
            "byway_limits_brought",
            "Whether the ledger has them as they are",
            value=self.brought == self._hash != "",
        )
        yield CounterMetricFamily(
            "byway_limits_failures", "Times the ledger did not take them", value=self._times_failed
        )


def _understood(status: int, text: bytes) -> Limited | Stale | str:
    with suppress(msgspec.DecodeError):
        if status == 200:
            return msgspec.json.decode(text, type=Limited)
        if status == 409:
            return msgspec.json.decode(text, type=Stale)
    return f"HTTP {status}: {text[:500].decode(errors='replace')}"
