"""Write statuses and Events to the Kubernetes API. Which, in what order and how often, `tell.outbox` decides.

Only a leader writes. The writes that are under way never wait for each other, and none of them is waited for by the
cycle that said what is to be written.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NoReturn

from byway_process.logs import Log
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from byway_operator.kube.api import KubeApi, KubeError
from byway_operator.kube.elector import HoldsForS, ReignOverError, for_ever, in_reign
from byway_operator.kube.events import EventWriter
from byway_operator.resources.manifest import Key, World
from byway_operator.tell.conditions import Status
from byway_operator.tell.crds import plural_of
from byway_operator.tell.events import Event, Events
from byway_operator.tell.outbox import Outbox, Pace, Write
from byway_operator.tell.outcome import Outcome, outcome_of

_WORDS: Mapping[Outcome, str] = {
    Outcome.GONE: "the object is gone, or its CustomResourceDefinition is",
    Outcome.CONFLICT: "somebody wrote it at the same time",
    Outcome.FORBIDDEN: "the operator's Role lacks `patch` on {plural}/status in {group}",
    Outcome.REFUSED: "the CustomResourceDefinitions are of another version: kubectl apply --server-side -f crds/",
    Outcome.FAILED: "the API server has a fault",
    Outcome.NO_ANSWER: "the API server does not answer",
}


class StatusWriter:
    """`tell` is what the cycle calls; `run` writes, while it leads, until cancelled."""

    def __init__(
        self,
        api: KubeApi,
        log: Log,
        events: EventWriter,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
        holds_for_s: HoldsForS = for_ever,
    ) -> None:
        self._api, self._log, self._events, self._clock = api, log, events, clock
        self._holds_for_s = holds_for_s
        self._pace = pace or Pace()
        self.outbox = Outbox(self._pace)
        self._turns = Events()
        self._writes: set[asyncio.Task[None]] = set()
        self._stirred, self._quiet = asyncio.Event(), asyncio.Event()
        self._said: set[tuple[str, Outcome]] = set()
        self.leading = False
        self.results: Counter[str] = Counter()
        """Writes by what came of them: written, gone, conflict, forbidden, refused, failed, no_answer."""

    def lead(self) -> None:
        """From now on it is up to us; what the API has is the beginning."""
        if self.leading:
            return
        self.outbox, self._turns = Outbox(self._pace), Events()
        self.leading = True

    def rest(self) -> None:
        """Not a word more, those under way included: somebody else speaks now."""
        self.leading = False
        self.outbox = Outbox(self._pace)
        for write in self._writes:
            write.cancel()
        self._events.rest()
        self._stirred.set()

    def tell(self, statuses: Mapping[Key, Status], world: World) -> None:
        if not self.leading:
            return
        uids = {key: world.manifests[key].uid for key in statuses}
        self.outbox.tell(statuses, world.told, uids, self._clock())
        self._turns.keep(statuses)
        self._stirred.set()

    def happened(self, event: Event) -> None:
        if self.leading:
            self._events.offer(event)

    async def run(self) -> NoReturn:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._events.run())
            while True:
                self._stirred.clear()
                writes, again_at = self.outbox.take(self._clock())
                for write in writes:
                    task = tasks.create_task(self._write(write, self.outbox))
                    self._writes.add(task)
                    task.add_done_callback(self._writes.discard)
                if self.outbox.hurried and not self.outbox.pressing:
                    self._quiet.set()
                await self._rest_until(again_at)

    async def flush(self, within_s: float) -> None:
        """Write what people wait for, before we end. `run` has to be running."""
        self._quiet.clear()
        self.outbox.hurry()
        self._stirred.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                await self._quiet.wait()

    def collect(self) -> Iterator[Metric]:
        """For a registry."""
        writes = CounterMetricFamily("byway_status_writes", "Statuses written, by result", labels=["result"])
        for outcome in Outcome:
            writes.add_metric([outcome.name.lower()], self.results[outcome.name.lower()])
        yield writes
        yield GaugeMetricFamily(
            "byway_statuses_waiting", "Statuses that the API does not have yet", value=self.outbox.waiting
        )
        yield from self._events.collect()

    async def _rest_until(self, at: float | None) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(None if at is None else max(at - self._clock(), 0.001)):
                await self._stirred.wait()

    async def _write(self, write: Write, outbox: Outbox) -> None:
        key, outcome = write.key, Outcome.WRITTEN
        try:
            await in_reign(
                self._holds_for_s,
                lambda still: self._api.apply_status(
                    key.kind, plural_of(key.kind), key.namespace, key.name, write.status, write.uid or None, still
                ),
            )
        except ReignOverError:
            self.rest()
            return
        except KubeError as error:
            outcome = outcome_of(error.status)
            self._say(key, outcome, error)
        self.results[outcome.name.lower()] += 1
        now = self._clock()
        outbox.settled(write, outcome, now)
        if outcome is Outcome.WRITTEN:
            self._said = {said for said in self._said if said[0] != key.kind}
            for event in self._turns.turned(key, write.uid, write.before, write.status, now):
                self._events.offer(event)
        self._stirred.set()

    def _say(self, key: Key, outcome: Outcome, error: KubeError) -> None:
        """Once for each kind, until a write of it succeeds. That an object is gone is nobody's trouble."""
        if outcome is Outcome.GONE or (key.kind, outcome) in self._said:
            return
        self._said.add((key.kind, outcome))
        out = _WORDS[outcome].format(plural=plural_of(key.kind), group="byway.dev")
        self._log.warning("a status cannot be written", resource=str(key), why=str(error), out=out)
