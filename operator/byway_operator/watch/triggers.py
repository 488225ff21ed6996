"""kopf as a trigger, and as nothing else: a thread with a loop of its own that says what the watches say.

On its way out kopf cancels every task of its loop, so it has one to itself. When it ends, for whatever reason, it
is begun anew after a moment; meanwhile the LISTs of `cluster` go on. Nothing here touches an object.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from byway_process.logs import Log
from kubernetes.aio.client import Configuration

from byway_operator.watch.cluster_inventory import View
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
        """`connect` is called in the thread, at each beginning; `service` is the one whose EndpointSlices count."""
        self._connect, self._views, self._log, self._service = connect, views, log, service
        self._again: Callable[[], object] | None = None
        self.restarts = 0

    async def run(self, heard: Heard, relisting: Callable[[View], None]) -> None:
        """Until cancelled. `relisting`: a watch begins at a version that is now; whoever lists after this call
        misses nothing."""
        loop, ended = asyncio.get_running_loop(), asyncio.Event()
        stop = threading.Event()

        def hand_over(call: Callable[..., None], *said: object) -> None:
            if not stop.is_set():
                loop.call_soon_threadsafe(call, *said)

        def live() -> None:
            try:
                with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                    runner.run(self._supervise(stop, partial(hand_over, heard), partial(hand_over, relisting)))
            finally:
                hand_over(ended.set)

        thread = threading.Thread(target=live, name="watches", daemon=True)
        thread.start()
        try:
            await ended.wait()
            raise AssertionError("the thread of the watches ended by itself; its traceback is above")
        finally:
            stop.set()
            self.again()
            await asyncio.shield(asyncio.to_thread(thread.join, END_WITHIN_S))

    def again(self) -> None:
        """Begin anew: there are kinds that were not there before. From any thread."""
        if self._again is not None:
            with suppress(RuntimeError):  # its loop is closed: it ended just now
                self._again()

    async def _supervise(self, stop: threading.Event, heard: Heard, relisting: Callable[[View], None]) -> None:
        # Only here: it takes two seconds, which the first table need not wait for.
        from byway_operator.watch.watches import adopt_kopf_logs, watch

        adopt_kopf_logs(self._log)
        loop, asked = asyncio.get_running_loop(), asyncio.Event()
        self._again = partial(loop.call_soon_threadsafe, asked.set)
        wait_s = FIRST_WAIT_S
        while not stop.is_set():
            began = loop.time()
            why = await watch(self._connect, self._views, self._service, asked, heard, relisting)
            if stop.is_set():
                return
            if why is not None:
                wait_s = FIRST_WAIT_S if loop.time() - began > WELL_AFTER_S else wait_s
                self.restarts += 1
                self._log.warning("the watches of the Kubernetes API ended", why=why, again_after_s=wait_s)
                await _unless(asked, wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            asked.clear()


async def _unless(asked: asyncio.Event, within_s: float) -> None:
    try:
        async with asyncio.timeout(within_s):
            await asked.wait()
    except TimeoutError:
        return
