"""One world, from one seed: proxies, a ledger, callers, providers, and everything that can go wrong between them.

    traffic and faults --> healing --> everything drained --> the books against the truth

Everything random comes from the seed and everything is done in one thread, so a seed is always the same story.
"""

import asyncio
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import msgspec
from byway_contract.grants import CLOSE_PATH, LIMITS_PATH, Ask, Closing, Grants, Limit, Limits
from byway_ledger.stores import sqlite
from byway_proxy.meter import home
from byway_proxy.meter.post import NoAnswer
from sim.ledger_process import LedgerProcess
from sim.plan import Request, plan
from sim.proxy_process import ProxyProcess
from sim.truth import Standing, Truth
from sim.virtual_loop import Process, Stuck, VirtualLoop
from sim.virtual_net import FAIR, Net

HEALS_WITHIN_S = 120.0


class World:
    def __init__(self, seed: int, folder: Path, trace: Callable[[str], None] | None = None, **changed: Any) -> None:
        self.seed, self.folder = seed, folder
        self.dice = random.Random(seed)
        self.plan = replace(plan(self.dice), **changed)
        self.loop = VirtualLoop()
        self.truth = Truth(self.loop.time, overruns=self.plan.overruns > 0)
        self._trace = trace
        self.ledger_clock = 0.0
        names = iter(range(1, 1_000_000))
        self.ledger = LedgerProcess(folder / "books.sqlite", self.ledger_wall, lambda: f"g-{next(names)}")
        self.ledger.when_given = self._gave
        self.ledger.when_ruling = self._ruling
        self.ledger.when_dead = self._ledger_died
        self.net = Net(self.loop, self.dice, self.ledger.handle, self.plan.weather)
        self.limits: dict[str, Limit] = {}
        self.table: dict[str, Limit] = {}
        """What the operator tells proxies, after the ledger."""
        self._renamed: set[str] = set()
        self._heirs: dict[str, str] = {}
        """Limits of a new name, and their old one."""
        self._generation = 0
        self.proxies: list[ProxyProcess] = []
        self.dead: list[Process] = []
        self._lives = 0
        self._nature = Process("nature")
        self._ending = False
        self._mending: set[asyncio.Task[Any]] = set()

    # What processes see of it.

    def wall(self) -> float:
        return self.plan.starts + self.loop.time()

    def ledger_wall(self) -> float:
        return self.wall() + self.ledger_clock

    def say(self, what: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.loop.time():9.3f}  {what}")

    # Its life.

    def live(self) -> None:
        with ExitStack() as stack:
            stack.enter_context(self._in_place_of_the_machine())
            try:
                self.loop.run_until(self.loop.spawn(self._nature, self._live()))
            except Stuck as error:
                self.truth.wrong(str(error))
            finally:
                self._end()
        self.truth.fingerprint = self.net.fingerprint
        for text in self.loop.broken:
            self.truth.wrong(text)

    async def _live(self) -> None:
        self.ledger.start()
        self._rule({limit.id: limit for limit in self.plan.limits})
        await self._told_everywhere()
        for number in range(self.plan.proxies):
            self._start_proxy(f"p{number}")
        faults = [asyncio.create_task(fault) for fault in self._faults()]
        await self._traffic()
        for fault in faults:
            fault.cancel()
        await self._heal()
        self._ending = True
        self.ledger.die()
        self.truth.compare(self.folder / "books.sqlite", self.limits.values())

    async def _traffic(self) -> None:
        until = self.loop.time() + self.plan.seconds
        while self.loop.time() < until:
            await asyncio.sleep(self.dice.expovariate(self.plan.requests_per_s))
            request = Request(self.dice, self.plan)
            if proxy := self._pick():
                proxy.spawn(partial(proxy.carry, request))

    async def _heal(self) -> None:
        """All faults end; whatever is under way ends; proxies give everything back."""
        self.say("heals")
        self.net.weather = FAIR
        self.net.cut_off.clear()
        for proxy in self.proxies:
            if proxy.process.stopped:
                self.loop.go_on(proxy.process)
        if not self.ledger.up:
            self.ledger.start()
        await self._all_leave()

    async def _all_leave(self) -> None:
        until = self.loop.time() + HEALS_WITHIN_S
        while not self._at_rest():
            await asyncio.sleep(0.25)
            for proxy in self.proxies:
                if not proxy.leaving:
                    proxy.spawn(proxy.leave)
            if self.loop.time() > until:
                self.truth.wrong(f"it does not come to rest: {self._unrest()}")
                return

    def _at_rest(self) -> bool:
        return (
            not self._mending and len(self.proxies) == self.plan.proxies and all(one.left for one in self.proxies)
        )

    def _unrest(self) -> str:
        return ", ".join(
            f"{one.name}: {one.under_way} under way, {one.log.booked} of {one.log.last} booked"
            f" {one.asking.stopped} {one.shipper.stopped}"
            for one in self.proxies
            if not one.left
        )

    def _end(self) -> None:
        self._ending = True
        self.ledger.die()
        for proxy in self.proxies:
            if proxy.process.alive:
                proxy.die()
        self.loop.bury([*self.dead, self._nature])

    # Proxies.

    def _start_proxy(self, name: str) -> None:
        self._lives += 1
        proxy = ProxyProcess(self, name, self.folder / name)
        proxy.told(self.table)
        proxy.start()
        self.say(
            f"{name} starts: source {proxy.log.source[:4]}, epoch {proxy.log.epoch}, {proxy.log.crashed} crashed"
        )
        self.proxies.append(proxy)

    def _pick(self) -> ProxyProcess | None:
        there = [proxy for proxy in self.proxies if not proxy.leaving]
        return self.dice.choice(there) if there else None

    def _kill(self, proxy: ProxyProcess) -> None:
        self.proxies.remove(proxy)
        proxy.die()
        self.truth.counts["kills"] += 1

    def _mend(self, work: Any) -> None:
        task = self.loop.spawn(self._nature, work)
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    def _a_while(self) -> float:
        return 0.05 + self.dice.choice((0.3, 5.0)) * self.dice.random()

    async def _start_later(self, name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        self._start_proxy(name)

    # Limits.

    def _rule(self, limits: dict[str, Limit]) -> None:
        self.limits = dict(limits)
        self._generation += 1
        for limit in limits.values():
            standing = self.truth.standings.setdefault(limit.id, Standing(limit, 0))
            standing.highest = max(standing.highest, limit.amount)
            standing.names.add(limit.id)

    def _gave(self, ask: Ask, grants: Grants) -> None:
        """What is given was left. Said only where nothing else moves a counter beyond its limit."""
        fresh = [one for one in grants.given if one.grant not in self.truth.given]
        self.truth.gave(ask, grants)
        if self.plan.overruns or self.plan.changes_per_s or self.plan.power_cuts_per_s:
            return
        for key in {(one.limit, one.subject, one.start): None for one in fresh}:
            used, most = self.ledger.used(*key), self.truth.standings[key[0]].highest
            if used > most:
                self.truth.wrong(f"{key}: {used} is given or spent of {most}")

    def _ruling(self, limits: Limits) -> None:
        """A limit of a new name begins with the rows of the books. What is in grants under the old one, was lost
        with a log or was charged for a crash is in no row, and does not come along."""
        for limit in limits.limits:
            if before := self._heirs.get(limit.id):
                standing = self.truth.standings[limit.id]
                standing.out = max(standing.out, self.ledger.set_aside(before))

    async def _told_everywhere(self) -> None:
        told = dict(self.limits)
        body = msgspec.json.encode(Limits(1, self._generation, f"hash-{self._generation}", tuple(told.values())))
        if await self._operator(LIMITS_PATH, body) != 200:
            return  # newer ones are in force
        self.table = told
        for proxy in self.proxies:
            self.loop.in_nature(self.loop.time() + self.dice.random() * 2.0, lambda proxy=proxy: proxy.told(told))

    async def _operator(self, path: str, body: bytes) -> int:
        while True:
            try:
                status, answer = await self.net.call("operator", path, body, 2.0)
            except NoAnswer:
                await asyncio.sleep(0.2)
                continue
            if status in (200, 409):
                return status
            assert status >= 500, answer
            await asyncio.sleep(0.2)

    # What goes wrong.

    def _faults(self) -> list[Any]:
        plan = self.plan
        return [
            self._every(plan.kills_per_s, self._kill_one),
            self._every(plan.lost_nodes_per_s, self._lose_one),
            self._every(plan.rolls_per_s, self._roll_one),
            self._every(plan.power_cuts_per_s, self._cut_power),
            self._every(plan.stops_per_s, self._stop_one),
            self._every(plan.partitions_per_s, self._part_one),
            self._every(plan.ledger_deaths_per_s, self._kill_ledger),
            self._every(plan.clock_steps_per_s, self._step_clock),
            self._every(plan.changes_per_s, self._change_limits),
        ]

    async def _every(self, per_s: float, fault: Callable[[], None]) -> None:
        while per_s:
            await asyncio.sleep(self.dice.expovariate(per_s))
            fault()

    def _kill_one(self) -> None:
        if proxy := self._pick():
            self.say(f"{proxy.name} is killed")
            self._kill(proxy)
            self._mend(self._start_later(proxy.name, self._a_while()))

    def _lose_one(self) -> None:
        if proxy := self._pick():
            self.say(f"{proxy.name}'s node is lost with its disk")
            self._kill(proxy)
            shutil.rmtree(proxy.folder)
            self.truth.lost.add(proxy.log.source)
            self.truth.counts["lost nodes"] += 1
            self._mend(self._close(proxy.log.source))
            self._mend(self._start_later(f"{proxy.name}'", self._a_while()))

    async def _close(self, source: str) -> None:
        await asyncio.sleep(0.3 + self.dice.choice((1.0, 20.0)) * self.dice.random())
        await self._operator(CLOSE_PATH, msgspec.json.encode(Closing(source, "its node is gone")))
        self.say(f"source {source[:4]} is closed")

    def _roll_one(self) -> None:
        if (proxy := self._pick()) and not proxy.process.stopped:
            self.say(f"{proxy.name} is told to end")
            self.truth.counts["rolls"] += 1
            proxy.spawn(proxy.leave)
            self._mend(self._rolled(proxy))

    async def _rolled(self, proxy: ProxyProcess) -> None:
        until = self.loop.time() + 60.0
        while proxy in self.proxies and not proxy.left and self.loop.time() < until:  # noqa: ASYNC110 - virtual time
            await asyncio.sleep(0.25)
        if proxy not in self.proxies or proxy.process.stopped:
            return
        if proxy.left and self.ledger.up and (rest := self.ledger.held_by(proxy.log.source)):
            self.truth.wrong(f"{proxy.name} has ended and still holds {rest}")
        self.proxies.remove(proxy)
        proxy.die()
        self._start_proxy(proxy.name)

    def _cut_power(self) -> None:
        if proxy := self._pick():
            self._kill(proxy)
            last = proxy.log.tear(self.dice.random)
            (proxy.folder / "running").write_text("another start of its machine")
            self.truth.powerless.add(proxy.log.source)
            self.say(f"{proxy.name} loses power: {proxy.log.last - last} records are gone")
            self.truth.forgets(proxy.log.source, last)
            self.truth.counts["power cuts"] += 1
            self._mend(self._start_later(proxy.name, self.dice.uniform(1.0, 5.0)))

    def _stop_one(self) -> None:
        if (proxy := self._pick()) and not proxy.process.stopped:
            seconds = self.dice.choice((1.0, 5.0, 35.0)) * self.dice.random()
            self.say(f"{proxy.name} is stopped for {seconds:.1f} s")
            self.loop.stop_process(proxy.process)
            self.truth.counts["stops"] += 1
            self.loop.in_nature(self.loop.time() + seconds, lambda: self._go_on(proxy))

    def _go_on(self, proxy: ProxyProcess) -> None:
        if proxy.process.alive and proxy.process.stopped:
            self.loop.go_on(proxy.process)

    def _part_one(self) -> None:
        if proxy := self._pick():
            name, seconds = proxy.name, self.dice.uniform(0.5, 15.0)
            self.say(f"{name} is cut off for {seconds:.1f} s")
            self.net.cut_off.add(name)
            self.truth.counts["partitions"] += 1
            self.loop.in_nature(self.loop.time() + seconds, lambda: self.net.cut_off.discard(name))

    def _kill_ledger(self) -> None:
        if self.ledger.up:
            self.ledger.dies_after = self.dice.randint(1, 25)

    def _ledger_died(self) -> None:
        if self._ending:
            return
        seconds = self.dice.choice((0.1, 5.0)) * self.dice.random()
        self.say(f"the ledger dies, for {seconds:.1f} s")
        self.truth.counts["ledger deaths"] += 1
        self.loop.in_nature(self.loop.time() + seconds, self._start_ledger)

    def _start_ledger(self) -> None:
        if not self.ledger.up:
            self.ledger.start()

    def _step_clock(self) -> None:
        off = self.dice.uniform(-600.0, 600.0)
        self.truth.counts["clock steps"] += 1
        if self.dice.random() < 0.3:
            self.say(f"the ledger's clock is {off:.0f} s off")
            self.ledger_clock = off
        elif proxy := self._pick():
            self.say(f"{proxy.name}'s clock is {off:.0f} s off")
            proxy.clock = off

    def _change_limits(self) -> None:
        """Lower or raise one, delete it, make it again, give it another name."""
        limits = dict(self.limits)
        gone = [limit for limit in self.plan.limits if limit.id not in limits and limit.budget not in self._renamed]
        if gone and self.dice.random() < 0.7:
            limits[gone[0].id] = gone[0]
            what = f"{gone[0].id} is made again"
        elif not limits:
            return
        else:
            old = limits.pop(self.dice.choice(sorted(limits)))
            match self.dice.choice(("amount", "amount", "delete", "rename")):
                case "amount":
                    new = msgspec.structs.replace(old, amount=int(old.amount * self.dice.uniform(0.3, 1.5)))
                    limits[new.id], what = new, f"{new.id} is {new.amount} and no longer {old.amount}"
                case "delete":
                    what = f"{old.id} is deleted"
                case _:
                    self._renamed.add(old.budget)
                    new = msgspec.structs.replace(old, budget=f"{old.budget}+")
                    limits[new.id], what = new, f"{old.id} is {new.id}"
                    self.truth.standings.setdefault(new.id, Standing(new, 0)).follows(self.truth.standings[old.id])
                    self._heirs[new.id] = old.id
        self.say(what)
        self.truth.counts["changes"] += 1
        self._rule(limits)
        self._mend(self._told_everywhere())

    # What is otherwise the machine's: names by chance, and threads.

    @contextmanager
    def _in_place_of_the_machine(self) -> Iterator[None]:
        really = sqlite.obeyed

        class Names:
            token_hex = staticmethod(lambda size: self.dice.getrandbits(8 * size).to_bytes(size, "big").hex())

        with (
            mock.patch.object(home, "secrets", Names),
            mock.patch.object(sqlite, "obeyed", lambda using, script: self.ledger.obeyed(using, script, really)),
        ):
            yield


def run(seed: int, trace: Callable[[str], None] | None = None, **changed: Any) -> Truth:
    """Live through one seed; what was wrong is in its `violations`. `changed`: fields of its `Plan`."""
    with tempfile.TemporaryDirectory(prefix=f"byway-world-{seed}-", dir=_memory()) as folder:
        world = World(seed, Path(folder), trace, **changed)
        world.live()
        return world.truth


def _memory() -> str | None:
    """Files that no disk need keep, where the machine has such."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
