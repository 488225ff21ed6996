"""A world's own time: an asyncio loop whose clock leaps to whatever is due next, and that knows whose each step is.

A step (a callback, a turn of a task) belongs to the process in whose context it was made. The steps of a process
that was killed are never taken, not even their `finally`; those of a process that is stopped wait until it goes on.
Work for other threads is done at once, in the loop's own.
"""

import asyncio
import contextvars
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


class Process:
    """Whose a step is."""

    def __init__(self, name: str) -> None:
        self.name, self.alive, self.stopped = name, True, False
        self.waiting: list[asyncio.Handle] = []
        """What came due while it was stopped, or after its death."""
        self.tasks: set[asyncio.Task[Any]] = set()


_whose: ContextVar[Process | None] = ContextVar("whose", default=None)


class Stuck(Exception):
    """Nothing is left that could happen."""


class VirtualLoop(asyncio.AbstractEventLoop):
    def __init__(self) -> None:
        self._now, self._count = 0.0, 0
        self._ready: deque[asyncio.Handle] = deque()
        self._due: list[tuple[float, int, asyncio.TimerHandle]] = []
        self.broken: list[str] = []
        """Exceptions that nobody waited for."""
        self.steps = 0

    def time(self) -> float:
        return self._now

    def spawn(self, process: Process, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A task of that process."""
        context = contextvars.copy_context()
        context.run(_whose.set, process)
        return context.run(self.create_task, work)

    def in_nature(self, when: float, callback: Callable[[], object]) -> None:
        """What happens then, whoever lives."""
        context = contextvars.copy_context()
        context.run(_whose.set, None)
        self.call_at(when, callback, context=context)

    def kill(self, process: Process) -> None:
        process.alive = False

    def stop_process(self, process: Process) -> None:
        process.stopped = True

    def go_on(self, process: Process) -> None:
        process.stopped = False
        self._ready.extend(process.waiting)
        process.waiting.clear()

    def run_until(self, work: asyncio.Task[T]) -> T:
        """Raises Stuck."""
        asyncio._set_running_loop(self)
        try:
            while not work.done():
                self._step()
        finally:
            asyncio._set_running_loop(None)
        return work.result()

    def bury(self, processes: list[Process]) -> None:
        """End all their tasks properly, so that nothing of them is found by the collector of garbage."""
        asyncio._set_running_loop(self)
        try:
            for process in processes:
                process.alive = True
                self.go_on(process)
                for task in process.tasks:
                    task.cancel()
            for _ in range(10_000):
                if not any(not task.done() for process in processes for task in process.tasks):
                    return
                self._step()
        finally:
            asyncio._set_running_loop(None)

    def _step(self) -> None:
        if not self._ready:
            self._leap()
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(_whose)
        if process is not None and (process.stopped or not process.alive):
            process.waiting.append(handle)
            return
        self.steps += 1
        handle._run()

    def _leap(self) -> None:
        while self._due:
            when, _, handle = heapq.heappop(self._due)
            if not handle._cancelled:
                self._now = when
                self._ready.append(handle)
                return
        raise Stuck(f"at {self._now:.3f} s nothing is left that could happen")

    # What asyncio asks of a loop.

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # there is one thread

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._count += 1
        heapq.heappush(self._due, (max(when, self._now), self._count, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        process = _whose.get()
        if process is not None:
            process.tasks.add(task)
            task.add_done_callback(process.tasks.discard)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> asyncio.Future[T]:  # type: ignore[override] # TypeVarTuple is of 3.11's typing, and this is called with plain arguments
        done: asyncio.Future[T] = asyncio.Future(loop=self)
        try:
            done.set_result(func(*args))
        except Exception as error:
            done.set_exception(error)
        return done

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.broken.append(f"{context.get('message')}: {type(error).__name__}: {error}" if error else str(context))
