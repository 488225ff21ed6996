"""Write Events to the Kubernetes API, slowly: they tell a story to people and are no record of anything."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn
from uuid import uuid4

from byway_process.logs import Log
from prometheus_client.core import CounterMetricFamily, Metric

from byway_operator.kube.api import GROUP, VERSION, KubeApi, KubeError
from byway_operator.kube.elector import HoldsForS, ReignOverError, for_ever, in_reign
from byway_operator.tell.bucket import Allowance, Bucket
from byway_operator.tell.events import Event

COMPONENT = "byway-operator"
_MOST_WAITING = 100
# The API server's own bound.
_MOST_MESSAGE = 1024
_ALLOWANCE = Allowance(per_s=5.0, burst=25)


class EventWriter:
    def __init__(
        self,
        api: KubeApi,
        log: Log,
        instance: str,
        allowance: Allowance = _ALLOWANCE,
        holds_for_s: HoldsForS = for_ever,
    ) -> None:
        """`instance`: this pod's name."""
        self._api, self._log, self._instance, self._holds_for_s = api, log, instance, holds_for_s
        self._bucket = Bucket(allowance)
        self._waiting: deque[Event] = deque()
        self._stirred = asyncio.Event()
        self._said = 0
        self.results: Counter[str] = Counter()
        """written, failed, and dropped: there were too many at once."""

    def offer(self, event: Event) -> None:
        if len(self._waiting) >= _MOST_WAITING:
            self.results["dropped"] += 1
            return
        self._waiting.append(event)
        self._stirred.set()

    def rest(self) -> None:
        self._waiting.clear()

    async def run(self) -> NoReturn:
        while True:
            await self._stirred.wait()
            if not self._waiting:
                self._stirred.clear()
                continue
            ready_at = self._bucket.take(time.monotonic())
            if ready_at is not None:
                await asyncio.sleep(ready_at - time.monotonic())
                continue
            await self._write(self._waiting.popleft())

    def collect(self) -> Iterator[Metric]:
        events = CounterMetricFamily("byway_events", "Kubernetes Events, by result", labels=["result"])
        for result in ("written", "failed", "dropped"):
            events.add_metric([result], self.results[result])
        yield events

    async def _write(self, event: Event) -> None:
        try:
            made = as_object(event, self._instance, time.time())
            await in_reign(
                self._holds_for_s, lambda still: self._api.create_event(event.key.namespace, made, still)
            )
        except ReignOverError:
            self.rest()
            return
        except KubeError as error:
            self.results["failed"] += 1
            # Of a namespace that is gone, or is going, nobody reads Events.
            ends = error.status == 404 or "being terminated" in error.message
            if error.status != self._said and not ends:
                self._said = error.status
                self._log.warning("an Event cannot be written", resource=str(event.key), why=str(error))
            return
        self.results["written"] += 1
        self._said = -1


def as_object(event: Event, instance: str, now: float) -> Mapping[str, Any]:
    """As `kubectl describe` and `kubectl events` read it."""
    at = datetime.fromtimestamp(int(now), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    key = event.key
    # An Event's name only has to be its own; the object's name comes first for those who look.
    name = f"{key.name[:200]}.{uuid4().hex[:16]}"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": key.namespace},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": key.kind,
            "namespace": key.namespace,
            "name": key.name,
            **({"uid": event.uid} if event.uid else {}),
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:_MOST_MESSAGE],
        "count": 1,
        "firstTimestamp": at,
        "lastTimestamp": at,
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
    }
