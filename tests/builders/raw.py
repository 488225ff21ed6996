"""A client that sends bytes as they are: what no HTTP library would send, and what came back, read strictly."""

import asyncio
import json
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")


@dataclass(frozen=True)
class Heard:
    """One answer, as its bytes say it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Talk:
    """Everything that came back on one connection, until the other side ended it."""

    data: bytes
    reset: bool = False

    def answers(self, *methods: str) -> list[Heard]:
        """In order; `methods` are the requests', where one was HEAD. Fails on a byte that belongs to no answer."""
        found, rest = [], self.data
        while rest:
            head, end, rest = rest.partition(b"\r\n\r\n")
            assert end, f"a head without an end: {head[:200]!r}"
            start, *lines = head.decode("ascii").split("\r\n")
            status = int(start.removeprefix("HTTP/1.1 ")[:3])
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            if status == 100:
                continue
            method = methods[len(found)] if len(found) < len(methods) else "GET"
            body, rest = _body(headers, rest) if method != "HEAD" else (b"", rest)
            found.append(Heard(status, headers, body))
        return found


def run_as_served(story: Coroutine[Any, Any, T]) -> T:
    """On the loop that our processes run on: how it closes and what it buffers is not as asyncio's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(story)


async def talk(url: str, *parts: bytes, half_close: bool = False, within_s: float = 10.0) -> Talk:
    """Send `parts`, each when something has come back for the one before it, and hear until the end."""
    reader, writer = await _connected(url)
    data, reset = b"", False
    try:
        async with asyncio.timeout(within_s):
            with suppress(ConnectionError):
                for part in parts[:-1]:
                    writer.write(part)
                    data += await reader.read(65536)
                writer.write(parts[-1])
                if half_close:
                    writer.write_eof()
            try:
                while more := await reader.read(65536):
                    data += more
            except ConnectionError:
                reset = True
    finally:
        writer.transport.abort()
    return Talk(data, reset)


async def dribble(url: str, data: bytes, every_s: float, first: bytes = b"", within_s: float = 10.0) -> float:
    """Send a byte at a time until the other side hangs up; after how many seconds it did."""
    reader, writer = await _connected(url)
    loop = asyncio.get_running_loop()
    began = loop.time()
    writer.write(first)
    hung_up = loop.create_task(_until_end(reader))
    try:
        async with asyncio.timeout(within_s):
            for byte in data:
                if hung_up.done() or writer.transport.is_closing():
                    break
                writer.write(bytes([byte]))
                await asyncio.wait([hung_up], timeout=every_s)
            await hung_up
    finally:
        hung_up.cancel()
        writer.transport.abort()
    return loop.time() - began


async def _connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = url.removeprefix("http://").partition(":")
    return await asyncio.open_connection(host, int(port))


async def _until_end(reader: asyncio.StreamReader) -> None:
    with suppress(ConnectionError):
        while await reader.read(65536):
            pass


def _body(headers: dict[str, str], rest: bytes) -> tuple[bytes, bytes]:
    if headers.get("transfer-encoding") != "chunked":
        length = int(headers["content-length"])
        assert len(rest) >= length, "a body shorter than its length"
        return rest[:length], rest[length:]
    body = b""
    while True:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        assert rest[length : length + 2] == b"\r\n", "a chunk that ends elsewhere"
        if not length:
            return body, rest[2:]
        body, rest = body + rest[:length], rest[length + 2 :]
