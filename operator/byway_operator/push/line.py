"""One proxy's connection, as its handler keeps it: what is still to be said, in bounded places, and the saying.

Nothing here waits for another proxy. A table that is not sent yet is replaced by a newer one ("latest wins"), and
one that is not answered yet holds back the next, so a slow proxy costs one frame of memory and nobody's time.
"""

import asyncio
from dataclasses import dataclass
from functools import cached_property

from aiohttp import web
from byway_contract.report import Report
from byway_contract.stream import (
    Drain,
    Fleet,
    Hello,
    Nack,
    Same,
    Snapshot,
    Verify,
    Welcome,
    encode,
    encode_snapshot,
)
from byway_contract.table import SCHEMA

from byway_operator.compile.verdict import Compiled
from byway_operator.push.fleet import ProxyView
from byway_operator.push.rollout import Seat


@dataclass(frozen=True)
class Published:
    """A table under its number. Encoded once, when the first proxy needs it."""

    compiled: Compiled
    term: int
    seq: int
    created: str

    @property
    def hash(self) -> str:
        return self.compiled.hash

    @property
    def nonce(self) -> str:
        return f"{self.term}-{self.seq}"

    @cached_property
    def frame(self) -> bytes:
        sections = {section: dict(objects) for section, objects in self.compiled.sections.items()}
        return encode_snapshot(Snapshot(self.nonce, self.term, self.seq, self.hash, SCHEMA, self.created, sections))


@dataclass(frozen=True)
class Pace:
    """The waits of one connection, in seconds."""

    ping_s: float
    answer_s: float
    """A table that is neither acked nor nacked by then ends the connection: the proxy is alive but stuck."""
    age_s: float
    """From then on the proxy is asked to dial again, which proves its identity anew."""
    grace_s: float
    """How long it has for that."""


class Line:
    def __init__(self, seat: int, ws: web.WebSocketResponse, hello: Hello, welcome: Welcome, pace: Pace) -> None:
        self.id = seat
        self.hello = hello
        # What it only has on its disk is not live.
        self.acked = hello.have.hash if hello.have.origin == "memory" else None
        self.nack: Nack | None = None
        self.report: Report | None = None
        self.over = asyncio.Event()
        self.close_with: tuple[int, str] = (1000, "")
        self._ws = ws
        self._welcome = welcome
        self._pace = pace
        self._greeted = False
        self._table: Published | None = None
        self._outstanding: Published | None = None
        self._refused: str | None = None
        self._proxies = welcome.proxies
        self._fleet: Fleet | None = None
        self._drain: Drain | None = None
        self._verify: dict[str, None] = {}
        self._verifies = 0
        self._wake = asyncio.Event()
        now = asyncio.get_running_loop().time()
        self._ping_at = now + pace.ping_s
        self._answer_by = float("inf")
        self._age_at = now + pace.age_s
        self._end_at = float("inf")

    @property
    def seat(self) -> Seat:
        return Seat(self.id, self.hello.build, self.acked, busy=self._outstanding is not None)

    @property
    def view(self) -> ProxyView:
        return ProxyView(self.hello.pod, self.hello.build, self.acked, self.report, self.nack)

    def offer(self, table: Published) -> None:
        """This is the table to have. A newer one replaces it until it is sent; a refused one is not sent again."""
        sent_already = self._outstanding is not None and self._outstanding.hash == table.hash
        self._table = None if sent_already or self._refused == table.hash else table
        self._wake.set()

    def count(self, proxies: int) -> None:
        if proxies == self._proxies:
            return
        self._proxies = proxies
        self._fleet = Fleet(proxies)
        self._wake.set()

    def verify(self, provider_keys: tuple[str, ...]) -> None:
        self._verify |= dict.fromkeys(provider_keys)
        self._wake.set()

    def drain(self, order: Drain) -> None:
        """Ask it to dial again; the connection ends by itself a while later if it does not."""
        self._drain = order
        self._end_at = asyncio.get_running_loop().time() + self._pace.grace_s
        self._age_at = float("inf")
        self._wake.set()

    def end(self, code: int, message: str = "") -> None:
        """The handler closes the connection. The first reason stands."""
        if not self.over.is_set():
            self.close_with = (code, message)
            self.over.set()

    def took(self, table: Published) -> None:
        self.acked, self.nack, self._refused = table.hash, None, None

    def refuses(self, table: Published, nack: Nack) -> None:
        self.acked, self.nack, self._refused = nack.serving, nack, table.hash

    def answer(self, nonce: str) -> Published | None:
        """The table this answers, or None. An empty nonce answers a frame that could not be read."""
        answered = self._outstanding
        if answered is None or nonce not in (answered.nonce, ""):
            return None
        self._outstanding, self._answer_by = None, float("inf")
        self._wake.set()
        return answered

    async def write(self) -> None:
        """Say what there is to say until cancelled. Whoever is slow to read is slow here, and nowhere else.

        Raises TimeoutError if what was said is not read within `answer_s`.
        """
        await self._ws.send_str(encode(self._welcome))
        while True:
            self._wake.clear()
            async with asyncio.timeout(self._pace.answer_s):
                await self._say_small()
                await self._say_table()
                await self._keep_time()
            await self._rest()

    async def _say_small(self) -> None:
        drain, self._drain = self._drain, None
        fleet, self._fleet = self._fleet, None
        verify, self._verify = self._verify, {}
        if fleet is not None:
            await self._ws.send_str(encode(fleet))
        if verify:
            self._verifies += 1
            await self._ws.send_str(encode(Verify(str(self._verifies), tuple(verify))))
        if drain is not None:
            await self._ws.send_str(encode(drain))

    async def _say_table(self) -> None:
        table = self._table
        if table is None or self._outstanding is not None:
            return
        self._table = None
        has_it = table.hash == (self.acked if self._greeted else self.hello.have.hash)
        if has_it and self._greeted:
            return
        self._greeted = True
        self._outstanding = table
        self._answer_by = asyncio.get_running_loop().time() + self._pace.answer_s
        if has_it:
            await self._ws.send_str(encode(Same(table.nonce, table.term, table.seq, table.hash)))
        else:
            await self._ws.send_bytes(table.frame)

    async def _keep_time(self) -> None:
        now = asyncio.get_running_loop().time()
        if now >= self._ping_at:
            self._ping_at = now + self._pace.ping_s
            await self._ws.ping()
        if now >= self._age_at:
            self.drain(Drain("age"))
        if now >= self._end_at:
            self.end(1001, "dial again")
        if now >= self._answer_by:
            self.end(1008, "no ack and no nack of a table")

    async def _rest(self) -> None:
        until = min(self._ping_at, self._answer_by, self._age_at, self._end_at)
        try:
            async with asyncio.timeout_at(until):
                await self._wake.wait()
        except TimeoutError:
            return
