"""A TCP proxy to put between two processes and change while they talk: networks fail in more ways than peers.

    async with FaultProxy(provider.port) as network:
        network.port                        # dial this instead
        network.now = Faults(delay_s=0.2)   # from here on, also for connections that are open
        network.now = BLACK_HOLE            # taken and never passed on, either way
        network.reset_all()                 # every open connection ends with an RST

A connection has two directions: `up` from who dialled, `down` back. What is held back by a fault is passed on when
the fault is over, as a network would; what is dropped is dropped with its connection, as TCP knows no holes.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Self

Direction = Literal["up", "down"]
PIECE = 16 * 1024


@dataclass(frozen=True)
class Faults:
    """How the network is."""

    delay_s: float = 0.0
    """Before each piece is passed on, either way."""
    bytes_per_s: int = 0
    """Throttled to so much, each way; 0: not."""
    silent: frozenset[Direction] = frozenset()
    """Directions in which nothing arrives any more, end of file included."""
    refuse: bool = False
    """New connections are reset at once."""
    accept_only: bool = False
    """New connections are taken and not carried on to the other side: half-open."""
    reset_after: int = 0
    """RST for both sides once so many bytes went down; 0: not."""
    close_after: int = 0
    """The same with a clean close."""


FINE = Faults()
BLACK_HOLE = Faults(silent=frozenset({"up", "down"}))
NO_ANSWERS = Faults(silent=frozenset({"down"}))
HALF_OPEN = Faults(accept_only=True)


@dataclass
class Link:
    """One connection through the proxy."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter | None = None
    passed: dict[Direction, int] = field(default_factory=lambda: {"up": 0, "down": 0})

    def end(self, *, reset: bool) -> None:
        for writer in (self.near, self.far):
            if writer is None:
                continue
            if reset:
                _linger_not(writer)
                writer.transport.abort()
            else:
                writer.close()


class FaultProxy:
    """Listens on 127.0.0.1 while entered, and passes on to `target` there."""

    def __init__(self, target: int, now: Faults = FINE, *, port: int = 0) -> None:
        self.port = port
        self.links: list[Link] = []
        """Those that are open."""
        self.accepted = 0
        self._target = target
        self._now = now
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def now(self) -> Faults:
        return self._now

    @now.setter
    def now(self, faults: Faults) -> None:
        self._now = faults
        self._tell()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.reset_all()
        for task in list(self._tasks):
            task.cancel()
        for outcome in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome

    def reset_all(self) -> None:
        for link in self.links:
            link.end(reset=True)

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until what passed here makes `condition` true."""
        async with asyncio.timeout(within_s):
            while not condition():
                await self._changed.wait()

    def _tell(self) -> None:
        """Wake everybody who waits for a change, once."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        link = Link(writer)
        self.links.append(link)
        self.accepted += 1
        self._tell()
        try:
            # A reset of either side, ours included, is what this proxy is for.
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await self._carry(link, reader)
        finally:
            self.links.remove(link)
            self._tasks.discard(task)
            link.end(reset=False)
            self._tell()

    async def _carry(self, link: Link, reader: asyncio.StreamReader) -> None:
        if self.now.refuse:
            link.end(reset=True)
            return
        while self.now.accept_only:
            await self._changed.wait()
        answers, link.far = await asyncio.open_connection("127.0.0.1", self._target)
        ways = (self._pass(link, reader, link.far, "up"), self._pass(link, answers, link.near, "down"))
        tasks = [asyncio.ensure_future(way) for way in ways]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _pass(
        self, link: Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: Direction
    ) -> None:
        while piece := await reader.read(PIECE):
            await self._wait(way, len(piece))
            limit = self.now.reset_after or self.now.close_after
            if way == "down" and limit and link.passed[way] + len(piece) >= limit:
                await self._last(link, piece[: max(0, limit - link.passed[way])])
                return
            writer.write(piece)
            await writer.drain()
            link.passed[way] += len(piece)
            self._tell()
        await self._wait(way, 0)
        if writer.can_write_eof() and not writer.is_closing():
            writer.write_eof()

    async def _wait(self, way: Direction, size: int) -> None:
        """For as long as the network takes, with so many bytes."""
        while way in self.now.silent:
            await self._changed.wait()
        pace_s = size / self.now.bytes_per_s if self.now.bytes_per_s else 0.0
        if self.now.delay_s or pace_s:
            await asyncio.sleep(self.now.delay_s + pace_s)

    async def _last(self, link: Link, piece: bytes) -> None:
        link.near.write(piece)
        await link.near.drain()
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # uvloop writes at the end of a turn, and a reset throws away what is not written
        link.end(reset=bool(self.now.reset_after))


def _linger_not(writer: asyncio.StreamWriter) -> None:
    """Make the close that follows an RST."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        with contextlib.suppress(OSError, ValueError):  # gone already
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
