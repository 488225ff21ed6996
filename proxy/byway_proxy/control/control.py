"""Control: have a table, the newest that the operator offers and this build can obey, and say so.

    start --stream within start_s--> live          a table arrives: verify, decode, apply, ack, keep
      |                               ^            it cannot be obeyed: nack, and the old one serves on
      +--else the kept copy-----------+            the stream breaks: serve on, dial again

Ready means *has a table*, not *is connected*: an operator that is away takes nobody's traffic down.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import msgspec
from byway_contract.report import Report
from byway_contract.stream import (
    Ack,
    Hello,
    Nack,
    Pod,
    Reported,
    Same,
    Snapshot,
    StreamError,
    Welcome,
    decode_snapshot,
)
from byway_contract.table import Table, TableError
from byway_process.logs import Log

from byway_proxy.control.keep import Keep
from byway_proxy.control.redial import Dice, Redial, around
from byway_proxy.control.stream import Address, Conversation, Ended, Listener
from byway_proxy.control.tables import DamagedError, Held, Tables, UnknownSchemaError, in_steps, loading

Apply = Callable[[Table], Awaitable[None]]
"""Make this table the one that requests are served by.

Raises TableError if it cannot be obeyed; then, and when cancelled, nothing has changed.
"""

Code = Literal["Schema", "Hash", "Build", "Resources"]


@dataclass(frozen=True)
class ControlSettings:
    """Seconds."""

    address: Address
    start_s: float = 5.0
    """How long a kept table waits for a fresher one at start."""
    redial: Redial = field(default_factory=Redial)
    dial_s: float = 5.0
    dead_s: float = 45.0
    """Nothing heard for so long, not even a ping: the operator is gone."""
    report_gap_s: float = 1.0
    """A report for each such time, on average: `report_now` a hundred times is one or two reports."""


class Control:
    """`report()` says what the app knows of itself; what is live is filled in here.

    `on_fleet(n)`: how many proxies share a cap that is the fleet's. `on_verify(ids)`: accounts to be proven.
    """

    def __init__(
        self,
        pod: Pod,
        build: str,
        settings: ControlSettings,
        log: Log,
        apply: Apply,
        report: Callable[[], Report],
        on_fleet: Callable[[int], None] = lambda _: None,
        keep: Keep | None = None,
        dice: Dice = random.random,
        on_verify: Callable[[tuple[str, ...]], None] = lambda _: None,
    ) -> None:
        self.connected = False
        self._pod = pod
        self._build = build
        self._settings = settings
        self._log = log
        self._apply = apply
        self._report = report
        self._on_fleet = on_fleet
        self._on_verify = on_verify
        self._keep = keep
        self._dice = dice
        self._tables = Tables()
        self._live = asyncio.Event()
        self._news = asyncio.Event()
        self._unsaved = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._report_every_s = 15.0

    @property
    def ready(self) -> bool:
        return self._tables.live is not None

    @property
    def live(self) -> Held | None:
        return self._tables.live

    def report_now(self) -> None:
        """Something changed that the operator should know."""
        self._news.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._read_kept()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected())
            tasks.create_task(self._fall_back())
            tasks.create_task(self._save())

    async def _read_kept(self) -> None:
        snapshot = await asyncio.to_thread(self._keep.load) if self._keep else None
        if snapshot is None:
            return
        try:
            self._tables.kept = await in_steps(loading(snapshot, None))
        except (DamagedError, UnknownSchemaError, TableError) as error:
            self._log.warning("the kept table is not whole and is ignored", why=str(error))

    async def _fall_back(self) -> None:
        try:
            async with asyncio.timeout(self._settings.start_s):
                await self._live.wait()
        except TimeoutError:
            async with self._one_at_a_time:
                if self._tables.kept is not None:
                    await self._serve_kept(self._tables.kept)

    async def _serve_kept(self, kept: Held) -> None:
        try:
            await self._go_live(kept)
        except TableError as error:
            self._tables.kept = None
            self._log.warning("the kept table cannot be obeyed and is ignored", why=str(error))

    async def _stay_connected(self) -> None:
        loop = asyncio.get_running_loop()
        failures, leader = 0, None
        while True:
            began = loop.time()
            ended = await self._converse(leader)
            self.connected = False
            # A stream that is welcomed and lost again at once is a failure too.
            lasted = ended.welcomed and loop.time() - began >= self._settings.redial.most_s
            failures = 0 if ended.at_once else 1 if lasted else failures + 1
            # A hint is followed once; if it leads nowhere, ask at the front again.
            leader = ended.leader if leader is None else None
            if ended.at_once or leader:
                continue
            wait_s = self._settings.redial.wait_s(failures, self._dice, ended.retry_after_s)
            self._log.warning("the control stream is over", why=ended.why, code=ended.code, again_in_s=wait_s)
            await asyncio.sleep(wait_s)

    async def _converse(self, leader: str | None) -> Ended:
        listener = Listener(
            self._heard_table, self._heard_same, self._welcomed, self._on_fleet, self._on_verify, self._reports
        )
        conversation = Conversation(listener, self._dice, self._settings.dead_s, self._settings.dial_s)
        hello = Hello(self._pod, self._build, self._tables.have)
        return await conversation.hold(self._settings.address, leader, hello)

    def _welcomed(self, welcome: Welcome) -> None:
        self.connected = True
        self._report_every_s = welcome.report_every_s
        self._on_fleet(welcome.proxies)
        self._log.info("connected to the operator", holder=welcome.holder, term=welcome.term)

    async def _heard_same(self, same: Same) -> Ack | Nack:
        async with self._one_at_a_time:
            kept = self._tables.kept
            if self._tables.live is None and kept is not None and kept.table.hash == same.hash:
                await self._serve_kept(kept)
            live = self._tables.live
            if live is None or live.table.hash != same.hash:
                return self._no(same.nonce, same.hash, "Build", "", "this table is not here")
            self._tables.renumber(same.term, same.seq)
            self._unsaved.set()
            return Ack(same.nonce, same.hash)

    async def _heard_table(self, frame: bytes) -> Ack | Nack:
        try:
            snapshot = decode_snapshot(frame)
        except StreamError as error:
            # Whole, but of another shape: a section or a field that this build does not know.
            shape = isinstance(error.__cause__, msgspec.ValidationError)
            return self._no("", "", "Schema" if shape else "Hash", "", str(error))
        async with self._one_at_a_time:
            return await self._take(snapshot)

    async def _take(self, snapshot: Snapshot) -> Ack | Nack:
        began = time.perf_counter()
        nonce, digest = snapshot.nonce, snapshot.hash
        live = self._tables.live
        if live is not None and live.table.hash == digest:
            self._tables.renumber(snapshot.term, snapshot.seq)
            return Ack(nonce, digest)
        if (snapshot.term, snapshot.seq) <= self._tables.newest:
            return self._no(nonce, digest, "Build", "", "not newer than the table that is held")
        try:
            await self._go_live(await in_steps(loading(snapshot, live or self._tables.kept)))
        except DamagedError as error:
            return self._no(nonce, digest, "Hash", "", str(error))
        except UnknownSchemaError as error:
            return self._no(nonce, digest, "Schema", "", str(error))
        except TableError as error:
            return self._no(nonce, digest, "Resources", error.path, error.message)
        except Exception as error:
            # A bug of ours that this table brings to light: the old one serves on, and the fleet is told.
            return self._no(nonce, digest, "Build", "", f"{type(error).__name__} while building")
        return Ack(nonce, digest, round((time.perf_counter() - began) * 1000, 3))

    async def _go_live(self, held: Held) -> None:
        await self._apply(held.table)
        self._tables.make_live(held)
        self._live.set()
        self._unsaved.set()
        self.report_now()
        self._log.info("a table is live", hash=held.table.hash, term=held.term, seq=held.seq)

    def _no(self, nonce: str, digest: str, code: Code, path: str, message: str) -> Nack:
        live = self._tables.live
        self._log.warning("a table is refused", hash=digest, code=code, path=path, why=message)
        return Nack(nonce, digest, code, path, message[:1024], live.table.hash if live else None)

    async def _save(self) -> None:
        """Keep what is live, the newest only: a slow disk holds up nobody."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            live = self._tables.live
            if self._keep is not None and live is not None:
                await asyncio.to_thread(self._keep.save, live)

    async def _reports(self, send: Callable[[Reported], Awaitable[None]]) -> None:
        loop, gap_s = asyncio.get_running_loop(), self._settings.report_gap_s
        last = -2 * gap_s
        while True:
            with suppress(TimeoutError):  # no news is when the regular one is due
                async with asyncio.timeout(around(self._report_every_s, self._dice)):
                    await self._news.wait()
            self._news.clear()
            live = self._tables.live
            report = self._report()
            serving, ready = (live.table.hash, report.ready) if live else (None, False)
            await send(Reported(msgspec.structs.replace(report, serving=serving, ready=ready)))
            # After a silence there may be two: what a new table brings to light need not wait out a gap.
            silent_s, last = loop.time() - last, loop.time()
            if silent_s < 2 * gap_s:
                await asyncio.sleep(gap_s)
