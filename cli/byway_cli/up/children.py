"""Keep child processes alive, in order, and end them in the opposite one.

Tiers start one after the other, each when all of the one before it are ready, and end in reverse, so that a proxy
can still ship its last records to the ledger. A child that dies is started again after a while. Children are in
sessions of their own, so a terminal's Ctrl-C reaches us alone, and the kernel ends them should we be killed.
"""

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from byway_cli.up.backoff import Backoff

LONGEST_LINE = 64 * 1024
START_S = 30.0
"""For a tier to become ready."""
HOPELESS = 4
"""A child that died so often before it was ever ready lacks something that time will not bring."""
_PROBE_EVERY_S, _PROBE_WITHIN_S = 0.05, 1.0
_PR_SET_PDEATHSIG = 1

Address = Path | int
"""Where a child says it is ready: a unix socket, or a port on 127.0.0.1."""


@dataclass(frozen=True)
class Plan:
    """A child: what to run, and where it answers `GET /readyz` with 200."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    ready: Address
    end_within_s: float = 10.0
    """From SIGTERM to SIGKILL."""
    socket: Path | None = None
    """Its unix socket: a life that ended without a word leaves it behind, in the way of the next one."""


class Voice(Protocol):
    """Where it is said what happens."""

    def say(self, level: str, who: str, what: str) -> None: ...

    def line(self, who: str, line: str) -> None:
        """A line the child wrote."""


class NotReadyError(Exception):
    """A child did not become ready in time."""


@dataclass
class Child:
    plan: Plan
    process: asyncio.subprocess.Process | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    """To end."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """It ended and is not started again."""
    deaths: int = 0

    @property
    def pid(self) -> int | None:
        return self.process.pid if self.process and self.process.returncode is None else None

    def signal(self, number: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(number)


class Children:
    """The supervisor. `changed` is called whenever a pid is another one."""

    def __init__(
        self,
        voice: Voice,
        dice: Callable[[], float],
        changed: Callable[[], None],
        start_s: float = START_S,
    ) -> None:
        self._voice = voice
        self._dice = dice
        self._changed = changed
        self._start_s = start_s
        self._tiers: list[list[Child]] = []

    @property
    def all(self) -> list[Child]:
        return [child for tier in self._tiers for child in tier]

    async def run(
        self,
        tiers: Sequence[Sequence[Plan]],
        ready: Callable[[], None],
        drain: asyncio.Event,
        at_once: asyncio.Event,
    ) -> None:
        """Start all, say `ready()`, and after `drain` end all; `at_once` cuts that short. Raises NotReadyError."""
        late: NotReadyError | None = None
        async with asyncio.TaskGroup() as group:
            try:
                if await self._begin(group, tiers, drain):
                    ready()
                    await drain.wait()
            except NotReadyError as error:
                late = error
            finally:
                try:
                    await _first(self._end(), at_once.wait())
                finally:
                    self._kill()
        if late:
            raise late

    async def _begin(self, group: asyncio.TaskGroup, tiers: Sequence[Sequence[Plan]], drain: asyncio.Event) -> bool:
        """Whether all became ready; False if we were asked to end before that."""
        for tier in tiers:
            children = [Child(plan) for plan in tier]
            self._tiers.append(children)
            for child in children:
                group.create_task(self._keep(child), name=child.plan.name)
            try:
                async with asyncio.timeout(self._start_s):
                    for child in children:
                        await _first(_until_ready(child), drain.wait())
            except TimeoutError:
                names = ", ".join(plan.name for plan in tier)
                raise NotReadyError(f"{names}: not ready after {self._start_s:g} s; see above") from None
            if drain.is_set():
                return False
        return True

    async def _keep(self, child: Child) -> None:
        """Run it, and again when it dies, until it is told to end."""
        backoff = Backoff()
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            how = await self._live(child)
            if child.told.is_set():
                break
            wait_s = backoff.after(loop.time() - began, self._dice())
            child.deaths += 1
            self._voice.say("warning", child.plan.name, f"ended ({how}); starting it again in {wait_s:.1f} s")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await child.told.wait()
                    break
        child.gone.set()

    async def _live(self, child: Child) -> str:
        """One life; answers how it ended."""
        plan = child.plan
        try:
            if plan.socket:
                plan.socket.unlink(missing_ok=True)
            child.process = await asyncio.create_subprocess_exec(
                *plan.arguments,
                env=dict(plan.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=end_with_parent(os.getpid()),
            )
        except OSError as error:
            return f"could not start: {error.strerror}"
        self._changed()
        if child.told.is_set():  # told so while it was being started: it has done nothing yet
            child.signal(signal.SIGKILL)
        assert child.process.stdout
        async for line in _lines(child.process.stdout):
            self._voice.line(plan.name, line)
        return _how(await child.process.wait())

    async def _end(self) -> None:
        for tier in reversed(self._tiers):
            async with asyncio.TaskGroup() as group:
                for child in tier:
                    group.create_task(self._end_one(child))

    async def _end_one(self, child: Child) -> None:
        child.told.set()
        child.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(child.plan.end_within_s):
                await child.gone.wait()
        except TimeoutError:
            self._voice.say(
                "warning", child.plan.name, f"still there after {child.plan.end_within_s:g} s; killing it"
            )
            child.signal(signal.SIGKILL)
            await child.gone.wait()

    def _kill(self) -> None:
        for child in self.all:
            child.told.set()
            child.signal(signal.SIGKILL)


def end_with_parent(parent: int) -> Callable[[], None] | None:
    """What a child does between fork and exec: ask the kernel for SIGTERM when its parent is gone.

    It runs before the child's program, so nothing can slip through; Linux only, as the call is.
    """
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:  # gone already, between fork and here
            os._exit(1)

    return ask


async def _lines(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Lines as they come; one longer than LONGEST_LINE comes in pieces, so that nobody can fill our memory."""
    rest = b""
    while piece := await stream.read(LONGEST_LINE):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
        if len(rest) >= LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


async def _until_ready(child: Child) -> None:
    while not await _is_ready(child.plan.ready):
        if child.deaths >= HOPELESS:
            raise NotReadyError(f"{child.plan.name}: ended {child.deaths} times before it was ready; see above")
        await asyncio.sleep(_PROBE_EVERY_S)


async def _is_ready(address: Address) -> bool:
    """A GET by hand: a client library would cost more to import than all of `up` does to start."""
    try:
        async with asyncio.timeout(_PROBE_WITHIN_S):
            if isinstance(address, Path):
                reader, writer = await asyncio.open_unix_connection(address)
            else:
                reader, writer = await asyncio.open_connection("127.0.0.1", address)
            try:
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: byway\r\nConnection: close\r\n\r\n")
                status = await reader.readline()
                await reader.read()  # to its end, or who answers would see a broken pipe
            finally:
                writer.close()
    except (OSError, TimeoutError, ValueError):
        return False
    return status.split()[1:2] == [b"200"]


async def _first(*waits: Coroutine[None, None, object]) -> None:
    """Wait until one of them is done; end the others; raise what it raised."""
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
