"""What our client for providers costs beside aiohttp's: CPU µs a request and a chunk, medians of three.

    python bench/upstream_client.py [SECONDS A RUN]

The server is a process of its own on a loopback port and answers from prepared bytes; only this process's CPU time
counts. Ratios hold on a busy machine, single figures do not.
"""

import asyncio
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from typing import cast

import aiohttp
import uvloop
from byway_proxy.carry.upstream.client import Client, origin_of

CONNECTIONS = 32
CHUNKS = 200
QUESTION = b'{"model":"m","messages":[{"role":"user","content":"hello"}]}'
_HEADERS = (
    b"HTTP/1.1 200 OK\r\nDate: Tue, 24 Nov 2026 12:00:00 GMT\r\nServer: x\r\nX-Request-Id: 0123456789abcdef\r\n"
    b"OpenAI-Processing-Ms: 12\r\nX-RateLimit-Remaining-Requests: 99\r\nCache-Control: no-cache\r\n"
)
_TEXT = b'{"id":"x","object":"chat.completion","choices":[{"index":0,"message":{"content":"' + b"a" * 400 + b'"}}]}'
WHOLE = _HEADERS + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(_TEXT), _TEXT)
_EVENT = (
    b'data: {"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":" word"}}]}\n\n'
)
STREAM = _HEADERS + b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNK = b"%x\r\n%s\r\n" % (len(_EVENT), _EVENT)
Run = Callable[[float], Awaitable[int]]


class Answers(asyncio.Protocol):
    """Whole answers; for /stream, one chunk a millisecond, so that each arrives alone."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport, self.read = cast(asyncio.Transport, transport), b""

    def data_received(self, data: bytes) -> None:
        self.read += data
        if not self.read.endswith(QUESTION):
            return
        streamed, self.read = self.read.startswith(b"POST /stream"), b""
        if streamed:
            self.transport.write(STREAM)
            self.tick(CHUNKS)
        else:
            self.transport.write(WHOLE)

    def tick(self, left: int) -> None:
        if self.transport.is_closing():
            return
        self.transport.write(CHUNK if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(0.004, self.tick, left - 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # ends with its parent
    server.close()


async def many(seconds: float, one: Callable[[], Awaitable[None]]) -> int:
    done = 0
    until = time.monotonic() + seconds

    async def again() -> None:
        nonlocal done
        while time.monotonic() < until:
            await one()
            done += 1

    await asyncio.gather(*[again() for _ in range(CONNECTIONS)])
    return done


def ours(port: int, path: str, poured: bool = False) -> Run:
    origin, _ = origin_of(f"http://127.0.0.1:{port}")
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {origin.authority}\r\nAuthorization: Bearer k\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(QUESTION)}\r\n\r\n"
    ).encode()

    async def run(seconds: float) -> int:
        client = Client()

        async def one() -> None:
            exchange = client.exchange(origin, head, QUESTION, connect_s=3)
            await exchange.begin()
            if poured:
                await exchange.pour(len)
            while await exchange.read():
                pass

        try:
            return await many(seconds, one)
        finally:
            await client.close()

    return run


def theirs(port: int, path: str) -> Run:
    headers = {"Authorization": "Bearer k", "Content-Type": "application/json"}

    async def run(seconds: float) -> int:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout()) as session:

            async def one() -> None:
                async with session.post(f"http://127.0.0.1:{port}{path}", data=QUESTION, headers=headers) as answer:
                    while await answer.content.readany():
                        pass

            return await many(seconds, one)

    return run


def measure(run: Run, seconds: float, each: int) -> float:
    """CPU µs for each request, or chunk."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(0.2))  # type: ignore[arg-type]  # an Awaitable that is a coroutine
        gc.collect()
        before = time.process_time()
        done = runner.run(run(seconds))  # type: ignore[arg-type]  # see above
        return (time.process_time() - before) / (done * each) * 1e6


def main() -> None:
    if "--serve" in sys.argv:
        uvloop.run(serve())
        return
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    gc.set_threshold(50_000, 50, 100)
    with subprocess.Popen(
        [sys.executable, __file__, "--serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        runs: dict[str, tuple[Run, int]] = {
            "aiohttp request": (theirs(port, "/whole"), 1),
            "ours request": (ours(port, "/whole"), 1),
            "aiohttp chunk": (theirs(port, "/stream"), CHUNKS),
            "ours chunk, read": (ours(port, "/stream"), CHUNKS),
            "ours chunk, pour": (ours(port, "/stream", poured=True), CHUNKS),
        }
        figures: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(3):
            for name, (run, each) in runs.items():
                figures[name].append(measure(run, seconds, each))
        for name, found in figures.items():
            print(f"{name:18} {statistics.median(found):8.1f} µs CPU   {' '.join(f'{x:.1f}' for x in found)}")


if __name__ == "__main__":
    main()
