"""The one loop: watch → compile → push, and back: acks and reports → tell.

    source --changed--> quiet --due--> read, compile --> limits to the ledger --> hub.publish
                                          ^                                            |
                        good, refusals ---+------------------ on_change ---------------+--> statuses

The whole world is compiled each time: it takes milliseconds, and nothing can be forgotten.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, NoReturn, Protocol

from byway_contract.grants import Limit
from byway_contract.table import decode
from byway_process.logs import Log

from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.standing import Readings
from byway_operator.compile.verdict import Compiled, Refusal, Verdict
from byway_operator.push.push import Hub
from byway_operator.push.spend import Spend
from byway_operator.quiet import Quiet
from byway_operator.resources.manifest import CORE_KINDS, Key, Manifest, World
from byway_operator.tell.afresh import Grounds
from byway_operator.tell.books import Bookkeeping, Books
from byway_operator.tell.conditions import Status
from byway_operator.tell.events import Event, fallen_through
from byway_operator.tell.proofs import Proofs
from byway_operator.tell.summary import Summary, summarize
from byway_operator.tell.telling import Telling
from byway_operator.watch.shrink import believe

# A world of more objects is compiled in a thread, so that pings and reports are answered meanwhile.
MANY_OBJECTS = 200
# Some conditions change with time alone: Pending becomes PartiallyProgrammed.
TELL_EVERY_S = 5.0
AGREE_S = 0.05


class Source(Protocol):
    """Where resources come from. `read` is complete whenever it returns."""

    async def begin(self) -> None:
        """Until everything has been read once; nothing is published before."""

    def read(self) -> World: ...

    async def run(self, changed: Callable[[], None]) -> None: ...


class Teller(Protocol):
    """Who writes statuses where people read them."""

    @property
    def leading(self) -> bool:
        """Whether it is up to this process to write. Otherwise another one's words are what was said last."""

    def tell(self, statuses: Mapping[Key, Status], world: World) -> None:
        """What is to be read from now on. Must not block."""

    def happened(self, event: Event) -> None:
        """Beside what statuses say."""


class Bringer(Protocol):
    """Who brings the ledger what budgets amount to."""

    @property
    def brought(self) -> str:
        """Hash of the limits that the ledger took last."""

    async def bring(self, limits: tuple[Limit, ...], digest: str) -> None:
        """Until the ledger has them, or a moment is over."""


class Asker(Protocol):
    """Who asks the ledger what is spent."""

    @property
    def spend(self) -> Spend:
        """What it said last."""

    def hurry(self) -> None:
        """It has other limits than before."""


class Cycle:
    def __init__(
        self,
        source: Source,
        hub: Hub,
        settings: Settings,
        catalogue: Catalogue,
        log: Log,
        *,
        good: Mapping[Key, Manifest],
        remember: Callable[[Mapping[Key, Manifest]], None],
        teller: Teller | None = None,
        bringer: Bringer | None = None,
        spending: Asker | None = None,
    ) -> None:
        """`good` are last good forms from before; `remember` is given them whenever they may have changed."""
        self._teller, self._bringer, self._spending = teller, bringer, spending
        self._source, self._hub, self._settings, self._catalogue = source, hub, settings, catalogue
        self._log, self._remember = log, remember
        self._quiet = Quiet()
        self._stirred, self._news = asyncio.Event(), asyncio.Event()
        self.begun = asyncio.Event()
        """The world has been read and compiled once."""
        self._readings = Readings()
        self._good = dict(good)
        self._expected = frozenset(good)
        self._compiled: Compiled | None = None
        self._refusals: Mapping[Key, Refusal] = {}
        self._summary = Summary()
        self._telling = Telling()
        self._proofs = Proofs()
        self._books, self._brought = Bookkeeping(), ""
        self.world = World({})
        self.compiles = 0
        self.compile_s = 0.0
        """How long the last one took."""

    @property
    def statuses(self) -> Mapping[Key, Status]:
        """As they were told last."""
        return self._telling.statuses

    @property
    def verdicts(self) -> Mapping[Key, Verdict]:
        return self._compiled.verdicts if self._compiled is not None else {}

    def changed(self) -> None:
        """The source holds something else than before."""
        self._quiet.changed(time.monotonic())
        self._stirred.set()

    def heard(self) -> None:
        """The hub knows something new of the fleet. A refusal asks for another compile."""
        if self._hub.refusals is not self._refusals:
            self.changed()
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._first()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._source.run(self.changed))
            tasks.create_task(self._keep_compiling())
            tasks.create_task(self._keep_telling())

    async def _first(self) -> None:
        """Nothing is published before the source has been read, and a world that has lost most of what an earlier
        life of this process knew is read until two readings agree."""
        await self._source.begin()
        world = self._source.read()
        doubted = believe(self._expected, world.manifests.keys(), None)
        while doubted is not None:
            self._log.warning("most resources are gone since the last start; reading again")
            await asyncio.sleep(AGREE_S)
            world = self._source.read()
            doubted = believe(self._expected, world.manifests.keys(), doubted)
        await self._compile(world)

    async def _keep_compiling(self) -> NoReturn:
        while True:
            await self._stirred.wait()
            self._stirred.clear()
            while (due := self._quiet.due()) is not None:
                wait_s = due - time.monotonic()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                    continue  # it may have become later meanwhile
                self._quiet.compiled(time.monotonic())
                await self._compile(self._source.read())

    async def _compile(self, world: World) -> None:
        began = time.perf_counter()
        self._refusals = refusals = self._hub.refusals
        if len(world.manifests) > MANY_OBJECTS:
            compiled = await asyncio.to_thread(self._compile_table, world, refusals)
        else:
            compiled = self._compile_table(world, refusals)
        self.compiles += 1
        self.compile_s = time.perf_counter() - began
        if self._bringer is not None:
            await self._bringer.bring(compiled.limits, compiled.limits_hash)
        self._say(world, compiled)
        if self._teller is not None and self._teller.leading:
            self._warn(self._teller, compiled)
        self.world, self._compiled = world, compiled
        if world.proxies is not None:
            self._hub.expect(world.proxies)
        self._proofs.know(compiled.sections, time.time())
        self._books.know(compiled.sections, compiled.limits, compiled.limits_hash)
        self._hub.publish(compiled)
        self._settle()
        if self.begun.is_set():
            self._news.set()  # once the table is on its way
        else:
            self._tell()
            self.begun.set()

    def _compile_table(self, world: World, refusals: Mapping[Key, Refusal]) -> Compiled:
        return compile_table(
            world.manifests,
            held_back=self._good,
            refused=refusals,
            settings=self._settings,
            catalogue=self._catalogue,
            surroundings=world.surroundings,
            readings=self._readings,
        )

    def _settle(self) -> None:
        """What everybody has taken is good: it is what serves on when its successor is not accepted. Who stands by
        has nobody to ask, and takes it that the leader's proxies take what it compiles itself."""
        compiled = self._compiled
        if compiled is None or (self._hub.leading and self._hub.settled != compiled.hash):
            return
        if self._good != compiled.good:
            self._good = dict(compiled.good)
            self._remember(self._good)

    async def _keep_telling(self) -> NoReturn:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(TELL_EVERY_S):
                    await self._news.wait()
            self._news.clear()
            self._settle()
            self._tell()

    def _tell(self) -> None:
        fleet, now = self._hub.fleet(), time.time()
        if self._teller is not None and not self._telling.led:
            # Another operator has been speaking since our last compile.
            self.world = replace(self.world, told=self._source.read().told)
        reports = [proxy.report for proxy in fleet.proxies if proxy.report is not None]
        complete = len(reports) == len(fleet.proxies) and not fleet.awaited
        self._summary = summarize(reports, self._summary, now, complete)
        self._prove(now)
        leads = self._teller is None or self._teller.leading
        grounds = Grounds(self.verdicts, fleet, self._summary, self._heard_of_money(now))
        self._telling.tell(grounds, self.world, self._good, leads, now)
        if self._teller is not None:
            self._teller.tell(self.statuses, self.world)

    def _heard_of_money(self, now: float) -> Books:
        spending, brought = self._spending, self._bringer.brought if self._bringer is not None else ""
        if brought != self._brought and spending is not None:
            spending.hurry()
        self._brought = brought
        return self._books.hear(spending.spend if spending else None, self._summary.budgets, now, brought)

    def _warn(self, teller: Teller, compiled: Compiled) -> None:
        """Of routes that are gone, and whose names now lead elsewhere."""
        gone = [verdict for key, verdict in self.verdicts.items() if key not in compiled.verdicts]
        routes = [verdict for verdict in gone if verdict.key.kind == "ModelRoute" and verdict.model_names]
        if not routes:
            return
        table = decode(compiled.sections)
        for verdict in routes:
            event = fallen_through(verdict, self.world.manifests[verdict.key].uid, table)
            if event is not None:
                teller.happened(event)

    def _prove(self, now: float) -> None:
        due = self._proofs.due(self._summary.accounts, now)
        if due and self._hub.ask(due):
            self._proofs.asked(due, now)

    def _say(self, world: World, compiled: Compiled) -> None:
        """What changed, for whoever watches this process; a resource's status says the same."""
        before = self._compiled.verdicts if self._compiled is not None else {}
        for key, verdict in compiled.verdicts.items():
            known = before.get(key)
            if known is None or (known.accepted, known.resolved) != (verdict.accepted, verdict.resolved):
                self._say_verdict(verdict, world.manifests.get(key), known is None)
        for key in before.keys() - compiled.verdicts.keys():
            self._log.info(f"{key} is gone")
        for key, defect in compiled.defects.items():
            self._log.error("the compiler fails on a resource by its own fault", resource=str(key), defect=defect)

    def _say_verdict(self, verdict: Verdict, manifest: Manifest | None, fresh: bool) -> None:
        for condition in (verdict.accepted, verdict.resolved):
            if condition.status == "False":
                place = manifest.place.of(condition.field) if manifest is not None and manifest.place else None
                self._log.warning(
                    f"{verdict.key}: {condition.reason}",
                    place=str(place or ""),
                    why=condition.message,
                    serves=verdict.serves,
                )
                return
        if not fresh:
            self._log.info(f"{verdict.key} is well again")


def statuses_of(cycle: Cycle, kind: str) -> list[dict[str, Any]]:
    """Objects of a kind with their status, as an API server would give them. Never Secrets."""
    if kind in CORE_KINDS:
        return []
    return [
        {
            **_plain(manifest, cycle.world.first_seen.get(key)),
            "status": cycle.statuses.get(key, {"observedGeneration": -1}),
        }
        for key, manifest in sorted(cycle.world.manifests.items(), key=lambda pair: pair[0])
        if key.kind == kind
    ]


def _plain(manifest: Manifest, first_seen: str | None) -> dict[str, Any]:
    """An object in a folder hardly ever says when it was created; then it is as old as we know it."""
    metadata = {
        **manifest.body.get("metadata", {}),
        "name": manifest.key.name,
        "namespace": manifest.key.namespace,
        "generation": manifest.generation,
    }
    if created := manifest.created or first_seen:
        metadata["creationTimestamp"] = created
    return {**manifest.body, "metadata": metadata}
