"""A proxy as a process that can die: the real log, meter and shipper in a folder, without sockets and threads.

Its requests come from the world; what stands between a request and its provider is done as `carry` does it.
"""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import msgspec
from byway_contract.grants import Limit
from byway_contract.records import USAGE_PATH, Booked, Intent, Record, Settle
from byway_proxy.meter.charge import charge
from byway_proxy.meter.framing import frames
from byway_proxy.meter.log import Log, LogFull
from byway_proxy.meter.ship import Shipper, _Failed, _understood
from fakes.usage import silent

from sim.standin import Claims, StandIn
from sim.truth import Sent, Truth, fits
from sim.virtual_loop import Process
from sim.virtual_net import NoAnswer

if TYPE_CHECKING:
    from sim.world import Request, World

DEAD = LogFull("its process is dead")


class WatchedLog(Log):
    """Every record is told to the truth; the world does what its thread would."""

    def __init__(self, directory: Path, truth: Truth, **settings: Any) -> None:
        self._truth = truth
        super().__init__(directory, **settings)

    def append(self, record: Record) -> int:
        seq = super().append(record)
        self._truth.writes(self.source, seq, record)
        return seq

    def _settle_crashed(self, left: Any, at: float) -> None:
        for attempt in list(left.open):
            legs = self._truth.begun[attempt][2].legs
            self.append(Settle(attempt=attempt, at=at, outcome="crash", reason="crash", legs=legs))

    def _keep_syncing(self) -> None:
        return

    def die(self) -> None:
        """The process is gone: its files stay as they are, and it can do nothing to them any more."""
        for segment in (*self._segments, *self._retired, self._active):
            if segment.fd >= 0:
                os.close(segment.fd)
                segment.fd = -1
        self._reader.close()
        os.close(self._lock)
        self.append = _refuse  # type: ignore[method-assign] # a dead process's `finally` must not write
        self.sync = self.close = lambda: None  # type: ignore[method-assign] # the same

    def tear(self, dice: Callable[[], float]) -> int:
        """After `die`: a power failure takes what was not synced. The last seq that is left."""
        last = self.synced
        for segment in list(self._segments):
            if segment.last <= self.synced or not segment.path.exists():
                continue
            data = segment.path.read_bytes()[: segment.size]
            safe, seq = 0, segment.first - 1
            for behind, _ in frames(data):
                if seq >= self.synced:
                    break
                safe, seq = behind, seq + 1
            cut = safe + int(dice() * (len(data) - safe + 1))
            os.truncate(segment.path, cut)
            kept = segment.first - 1 + sum(1 for _ in frames(data[:cut]))
            last = max(last, kept)
            if kept < segment.last:
                for later in self._segments:
                    if later.first > segment.first:
                        later.path.unlink(missing_ok=True)
                break
        return last


def _refuse(record: Record) -> int:
    raise DEAD


class SimShipper(Shipper):
    def __init__(self, proxy: "ProxyProcess", **settings: Any) -> None:
        super().__init__(proxy.log, "unix:/nowhere", silent(), **settings)
        self._proxy = proxy

    async def run(self) -> None:
        self._log.when_synced = self._more.set
        await self._ship(None)  # type: ignore[arg-type] # no session: `_send` is ours

    async def _send(self, session: aiohttp.ClientSession, body: bytes) -> Any:
        try:
            status, answer = await self._proxy.post(USAGE_PATH, body)
        except NoAnswer as error:
            return _Failed(str(error))
        understood = _understood(status, answer)
        if isinstance(understood, Booked):
            self._proxy.purse.recall(understood.recall)
        return understood


class ProxyProcess:
    """One life of a proxy. `folder` outlives it."""

    def __init__(self, world: "World", name: str, folder: Path) -> None:
        self._world, self.name, self.folder = world, name, folder
        self.process = Process(name)
        self.clock = 0.0
        """How far its wall clock is off."""
        self.under_way = 0
        self._limits: dict[str, Limit] = {}

    def start(self) -> None:
        world = self._world
        self.log = WatchedLog(
            self.folder,
            world.truth,
            now=self.wall,
            segment_bytes=world.plan.segment_bytes,
            emergency_bytes=4096,
        )
        dice = world.dice.random
        self.shipper = SimShipper(self, dice=dice, first_wait_s=0.1, longest_wait_s=2.0)
        self.purse = StandIn(self.log, self.post, world.loop.time)
        for work in (self.shipper.run(), self.purse.run(), self._tend()):
            world.loop.spawn(self.process, work)

    def wall(self) -> float:
        return self._world.wall() + self.clock

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        return await self._world.net.call(self.name, path, body, self._world.plan.answer_within_s)

    def told(self, limits: dict[str, Limit]) -> None:
        self._limits = limits

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(self._world.plan.sync_every_s)
            self.log.tend()

    async def carry(self, request: "Request") -> None:
        self.under_way += 1
        try:
            for number, intent in enumerate(request.attempts(self.wall()), 1):
                if not await self._attempt(request, number, intent):
                    return
        finally:
            self.under_way -= 1

    async def _attempt(self, request: "Request", number: int, intent: Intent) -> bool:
        """Whether another should follow."""
        world = self._world
        limits = [limit for limit in self._limits.values() if fits(limit, intent)]
        claims = request.claims(limits, intent)
        run = request.run(number)
        legs = await self.purse.hold(claims, world.plan.grant_wait_s)
        world.truth.counts["asked"] += 1
        if legs is None:
            world.truth.counts["refused"] += 1
            return False
        intent = msgspec.structs.replace(intent, legs=legs)
        try:
            self.log.append(intent)
        except LogFull:
            self.purse.settle(legs, {limit: 0 for limit, _ in claims})
            return False
        self._send(intent, claims, run)
        await asyncio.sleep(run.seconds)
        charged = charge(intent, request.usage(run), "provider", answered=run.answers, finish="stop")
        sent = world.truth.sent[intent.attempt]
        outcome = "ok" if run.answers else "failed"
        drawn = self.purse.settle(legs, {limit.id: sent.weighs(limit) for limit in limits})
        self.log.append(
            Settle(
                intent.attempt, self.wall(), outcome, charged.usage, charged.usage_from, charged.cost, charged.billed,
                finish="stop", legs=drawn,
            )
        )  # fmt: skip
        return not run.answers

    def _send(self, intent: Intent, claims: Claims, run: Any) -> None:
        due = {limit: amount for (limit, _), amount in claims.items()}
        self._world.truth.sends(Sent(intent, self.log.source, run, self._world.loop.time(), due))

    def drain(self) -> None:
        self.purse.drain()

    def die(self) -> None:
        self._world.loop.kill(self.process)
        self.log.die()
        self._world.dead.append(self.process)

    @property
    def at_rest(self) -> bool:
        return (
            not self.under_way and self.purse.greeted and not self.purse.purses and self.log.booked == self.log.last
        )
