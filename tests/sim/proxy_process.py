"""A proxy as a process that can die: the real log, purse, meter, shipper and asking, without sockets and threads.

Its requests come from the world; what stands between a request and its provider is done as `carry` does it.
"""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from byway_contract.budget import Budget, Line
from byway_contract.grants import Limit
from byway_contract.records import Intent, Outcome, UsageFrom
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.budgets import Budgets, Worst
from byway_proxy.meter.held import Claim, Hold
from byway_proxy.meter.log import LogFull
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.ship import Shipper
from fakes.usage import silent
from sim.truth import Run, Sent, fits
from sim.virtual_loop import Process
from sim.watched_log import WatchedLog

if TYPE_CHECKING:
    from sim.plan import Request
    from sim.world import World

LEAVES_WITHIN_S = 10.0


class ProxyProcess:
    """One life of a proxy. `folder` outlives it."""

    def __init__(self, world: "World", name: str, folder: Path) -> None:
        self._world, self.name, self.folder = world, name, folder
        self.process = Process(name)
        self.clock = 0.0
        """How far its wall clock is off."""
        self.under_way = 0
        self.leaving = self.left = False
        self._limits: dict[str, Limit] = {}
        self._budgets = Budgets()

    def start(self) -> None:
        world, now, dice = self._world, self._world.loop.time, self._world.dice.random
        plan = world.plan
        self.log = WatchedLog(
            self.folder, world.truth, now=self.wall, segment_bytes=plan.segment_bytes, emergency_bytes=4096
        )
        self.meter = Meter(self.log, self.wall)
        self.asking = Asking(
            self.meter, self.log, self.post, silent(), now=now, dice=dice, wait_s=plan.grant_wait_s
        )
        self.shipper = Shipper(
            self.log, self.post, silent(), dice=dice, longest_wait_s=2.0, on_recall=self.asking.recall
        )
        for work in (self.shipper.run, self.asking.run, self._tend):
            self.spawn(work)

    def spawn(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._world.loop.spawn(self.process, self._watched(work))

    def wall(self) -> float:
        return self._world.wall() + self.clock

    async def post(self, path: str, body: bytes) -> tuple[int, bytes]:
        return await self._world.net.call(self.name, path, body, self._world.plan.answer_within_s)

    def told(self, limits: dict[str, Limit]) -> None:
        """A new table."""
        self._limits = limits
        self._budgets = Budgets(map(_budget, limits.values()))

    async def carry(self, request: "Request") -> None:
        """All attempts of a request, until one answers."""
        self.under_way += 1
        try:
            ends_at = self._world.loop.time() + self.asking.wait_s
            for number, intent in enumerate(request.attempts(self.wall()), 1):
                if not await self._attempt(request, number, intent, ends_at):
                    return
        finally:
            self.under_way -= 1

    async def _attempt(self, request: "Request", number: int, intent: Intent, ends_at: float) -> bool:
        """Whether another should follow."""
        counts, run, limits = self._world.truth.counts, request.run(number), self._limits
        bound = self._budgets.binding(
            intent.namespace,
            intent.service_account,
            intent.access_key,
            intent.user_id,
            intent.account,
            intent.model,
        )
        worst = Worst(request.prompt, request.most, intent.price)
        claims = [Claim(line, worst.of(line.unit, line.budget.dearest, number == 1)) for line in bound.lines]
        counts["wanted"] += 1
        hold = await self.asking.hold(claims, ends_at) if claims else None
        if claims and not isinstance(hold, Hold):
            counts["refused"] += 1
            return False
        assert hold is None or isinstance(hold, Hold)
        try:
            self.meter.begin(intent, hold)
        except LogFull:
            if hold is not None:
                self.meter.unhold(hold)
            return False
        self._sends(request, self.meter.open[intent.attempt][0], limits, run)
        await asyncio.sleep(run.seconds)
        self._settles(request, intent, run)
        return not run.answers

    def _sends(self, request: "Request", intent: Intent, limits: dict[str, Limit], run: Run) -> None:
        due = {name: request.worst(limit, intent) for name, limit in limits.items() if fits(limit, intent)}
        self._world.truth.sends(Sent(intent, self.log.source, run, self._world.loop.time(), due))

    def _settles(self, request: "Request", intent: Intent, run: Run) -> None:
        outcome: Outcome = "ok" if run.answers else "failed"
        usage_from: UsageFrom = "provider"
        if run.answers and run.told != "all":
            outcome, usage_from = ("client_cancel" if run.told == "left" else "ok"), "estimated"
        usage = request.usage(run)
        self.meter.settle(intent.attempt, outcome, usage, usage_from, answered=run.answers, finish="stop")

    async def leave(self) -> None:
        """As a process that was told to end: everything settled, given back, and shipped."""
        self.leaving = True
        while self.under_way:  # noqa: ASYNC110 - an Event would be one more thing to be right about
            await asyncio.sleep(0.1)
        gone = await self.asking.leave(LEAVES_WITHIN_S)
        if await self.shipper.flush(LEAVES_WITHIN_S) and gone:
            self.left = True

    def die(self) -> None:
        self._world.loop.kill(self.process)
        self.log.die()
        self._world.dead.append(self.process)

    async def _tend(self) -> None:
        while True:
            await asyncio.sleep(self._world.plan.sync_every_s)
            self.log.tend()

    async def _watched(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await work()
        except Exception as error:
            if self.process not in self._world.dead:
                self._world.truth.wrong(f"{self.name}: {type(error).__name__}: {error}")


def _budget(limit: Limit) -> Budget:
    namespace, name = limit.budget.split("/")
    return Budget(namespace, name, (Line(limit.period, limit.unit, limit.amount),), limit.match, limit.per)
