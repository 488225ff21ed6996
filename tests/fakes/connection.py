"""One client's connection to the fake provider: requests in, raw bytes out, and the moment the client leaves."""

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

T = TypeVar("T")
TLS_HANDSHAKE = 0x16
HEAD_AT_MOST = 64 * 1024


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes = field(repr=False)

    @property
    def json(self) -> dict[str, Any]:
        """The body, or {} where it is no JSON object."""
        try:
            body = json.loads(self.body) if self.body else {}
        except ValueError:
            return {}
        return body if isinstance(body, dict) else {}


class Connection(asyncio.Protocol):
    def __init__(self, begin: Callable[["Connection"], None]) -> None:
        self.gone = asyncio.Event()
        """Set when the client has closed, or half-closed: clients of HTTP do not half-close and wait."""
        self.stale = False
        """Close it when the next request comes, unanswered."""
        self._begin = begin
        self._reader = asyncio.StreamReader(limit=HEAD_AT_MOST)
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._reader.set_transport(self._transport)
        self._begin(self)

    def data_received(self, data: bytes) -> None:
        if data[0] == TLS_HANDSHAKE:  # somebody speaks TLS to a plain port: be what a plain server is
            self.write(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")
            self.close()
            return
        self._reader.feed_data(data)

    def eof_received(self) -> bool:
        self._reader.feed_eof()
        self.gone.set()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._reader.feed_eof()
        self.gone.set()
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def write(self, data: bytes) -> None:
        if not self.gone.is_set():
            self._transport.write(data)

    async def drain(self) -> None:
        await self._writable.wait()

    def close(self) -> None:
        self._transport.close()

    def reset(self) -> None:
        """Close with an RST, throwing away what was not sent yet."""
        sock: socket.socket | None = self._transport.get_extra_info("socket")
        if sock is not None:
            with contextlib.suppress(OSError, ValueError):  # the client was faster
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    async def unless_gone(self, doing: Coroutine[Any, Any, T]) -> T | None:
        """Do it, but stop when the client leaves; None then."""
        task = asyncio.ensure_future(doing)
        gone = asyncio.ensure_future(self.gone.wait())
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for each in (task, gone):
                each.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)

    async def request(self) -> Request | None:
        """The next one; None when the client has left, or sends what is no request."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ")
            headers = {
                name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in head[1:-2])
            }
            if headers.get("expect", "").lower() == "100-continue":
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return Request(method, path, headers, await self._body(headers))
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            return None

    async def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding", "").lower() != "chunked":
            return await self._reader.readexactly(int(headers.get("content-length", "0")))
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readline()
        return body
