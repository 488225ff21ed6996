"""kopf as a trigger, and as nothing else: threads with loops of their own that say what the watches say.

An operator of kopf's looks in the same namespaces for all its kinds, and on its way out cancels every task of its
loop: so there is one for the resources and one for the proxies' Service, each with a thread and a loop to itself.
When one ends, for whatever reason, it is begun anew after a moment; meanwhile the LISTs of `cluster` go on.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from byway_process.logs import Log
from kubernetes.aio.client import Configuration

from byway_operator.watch.cluster_inventory import CONFIG_MAPS, KINDS, NAMESPACES, SLICES, View
from byway_operator.watch.held import Object

FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
WELL_AFTER_S = 60.0
"""What lasted so long was well: the next end is the first again."""
END_WITHIN_S = 5.0

Heard = Callable[[View, str | None, Object], None]
"""`ADDED`, `MODIFIED`, `DELETED`, or None: of a listing. In the caller's loop."""
Connect = Callable[[], Awaitable[Configuration]]


class Triggers:
    def __init__(self, connect: Connect, views: Sequence[View], log: Log, service: str) -> None:
        """`connect` is called in a thread, at each beginning; `service` is the one whose EndpointSlices count."""
        self._connect, self._log, self._service = connect, log, service
        everywhere = any(view.namespace is None for view in views if view.plural in KINDS)
        resources = [view for view in views if view.plural in KINDS or (everywhere and view.plural == NAMESPACES)]
        self._groups = (resources, [view for view in views if view.plural in (SLICES, CONFIG_MAPS)])
        self._again: list[Callable[[], object]] = []
        self.restarts = 0
        self.watched: set[View] = set()
        """Those that a watch has ever begun for. Where only some namespaces are looked at, their labels are not
        watched: the right to may be missing, and the LISTs do."""

    async def run(self, heard: Heard, relisting: Callable[[View], None]) -> None:
        """Until cancelled. `relisting`: a watch begins at a version that is now; whoever lists after this call
        misses nothing."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stop = threading.Event()

        def begins(view: View) -> None:
            self.watched.add(view)
            relisting(view)

        def hand_over(call: Callable[..., None], *said: object) -> None:
            if not stop.is_set():
                loop.call_soon_threadsafe(call, *said)

        def live(views: Sequence[View]) -> None:
            said = partial(hand_over, heard), partial(hand_over, begins)
            try:
                with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                    runner.run(self._supervise(views, stop, *said))
            finally:
                hand_over(ended.set)

        threads = [threading.Thread(target=live, args=(group,), daemon=True) for group in self._groups]
        for thread in threads:
            thread.start()
        try:
            await ended.wait()
            raise AssertionError("a thread of the watches ended by itself; its traceback is above")
        finally:
            stop.set()
            self.again()
            await asyncio.shield(asyncio.to_thread(_join, threads))

    def again(self) -> None:
        """Begin anew: there are kinds that were not there before. From any thread."""
        for call in self._again:
            with suppress(RuntimeError):  # its loop is closed: it ended just now
                call()

    async def _supervise(
        self, views: Sequence[View], stop: threading.Event, heard: Heard, relisting: Callable[[View], None]
    ) -> None:
        # Only here: it takes a second, which the first table need not wait for.
        from byway_operator.watch.watches import Watches, adopt_kopf_logs

        adopt_kopf_logs(self._log)
        watches = Watches(views, self._service, heard, relisting)
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        self._again.append(partial(loop.call_soon_threadsafe, asked.set))
        wait_s = FIRST_WAIT_S
        while not stop.is_set():
            began = loop.time()
            why = await watches.run(self._connect, asked)
            if not asked.is_set():
                wait_s = FIRST_WAIT_S if loop.time() - began > WELL_AFTER_S else wait_s
                self.restarts += 1
                self._log.warning("watches of the Kubernetes API ended", why=why, again_after_s=wait_s)
                await _unless(asked, wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            asked.clear()


def _join(threads: Sequence[threading.Thread]) -> None:
    for thread in threads:
        thread.join(END_WITHIN_S)


async def _unless(asked: asyncio.Event, within_s: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await asked.wait()
