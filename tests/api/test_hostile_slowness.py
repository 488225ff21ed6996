"""Clients that take a connection and do nothing good with it: each is let go within the limit set for it."""

import asyncio
import contextlib
import json
import socket
import tracemalloc
from pathlib import Path

import pytest
from builders.gateway import Gateway, gateway, one_route
from builders.raw import dribble, run_as_served
from byway_proxy.api.server import Limits
from fakes.provider import FakeProvider
from fakes.reply import Reply

MANY = 40
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
FIRST = b"GET /v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
LIMITS = Limits(head_s=0.4, body_s=0.6, unread_s=0.5)
AT_MOST_S = 5.0
"""Far from the limits, so that a busy machine does not fail; near enough that no limit would."""


def test_slow_heads_and_bodies_are_hung_up_on(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, one_route(a), limits=LIMITS) as proxy:
            slow = [
                *(dribble(proxy.url, b"GET / HTTP/1.1\r\nX-A: " + b"a" * 5000, 0.02) for _ in range(MANY)),
                *(dribble(proxy.url, b"", 0.02) for _ in range(MANY)),
                *(dribble(proxy.url, b"a" * 900, 0.02, first=HEAD) for _ in range(MANY)),
                *(dribble(proxy.url, b"GET /" + b"a" * 5000, 0.02, first=FIRST) for _ in range(MANY)),
            ]
            took = await asyncio.wait_for(asyncio.gather(*slow), 30)
            assert max(took) < AT_MOST_S
            assert min(took) > 0.3
            assert proxy.server.inflight == 0
            assert (await proxy.ask()).status == 200

    run_as_served(tell())


def test_a_stream_outlives_the_limits_of_a_head(tmp_path: Path) -> None:
    async def tell() -> None:
        words = Reply(text="word " * 12, gap_s=0.1)
        async with FakeProvider(always=words) as a, gateway(tmp_path, one_route(a), limits=LIMITS) as proxy:
            assert (await proxy.ask(stream=True)).chunks[-1] == "[DONE]"

    run_as_served(tell())


@pytest.mark.parametrize("more", ["", "Connection: close\r\n"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_never_reads_its_answer_is_not_kept(tmp_path: Path, more: str, stream: bool) -> None:
    """It waits in our memory: for a while, and no longer."""

    async def tell() -> None:
        large = Reply(text="word " * (20_000 if stream else 600_000), per_write=1000)
        async with (
            FakeProvider(always=large) as a,
            gateway(tmp_path, one_route(a), limits=LIMITS, blocked_s=0.3) as proxy,
        ):
            with deaf(proxy.url) as client:
                client.sendall(asked(stream, more))
                await a.until(lambda: len(a.served) == 1)
                await gone(proxy)

    run_as_served(tell())


def test_nobody_is_answered_more_than_it_reads(tmp_path: Path) -> None:
    async def tell() -> None:
        large = Reply(text="word " * 600_000)
        async with FakeProvider(always=large) as a, gateway(tmp_path, one_route(a), limits=LIMITS) as proxy:
            with deaf(proxy.url) as client:
                client.sendall(asked() * 5)
                await a.until(lambda: len(a.served) >= 1)
                await gone(proxy)
            assert len(a.served) == 1

    run_as_served(tell())


def test_a_slow_reader_gets_all_of_it(tmp_path: Path) -> None:
    async def tell() -> None:
        large = Reply(text="word " * 400_000)
        async with FakeProvider(always=large) as a, gateway(tmp_path, one_route(a), limits=LIMITS) as proxy:
            reader, writer = await asyncio.open_connection(
                *proxy.url.removeprefix("http://").split(":"), limit=1000
            )
            writer.write(asked() * 2)
            heard = 0
            with contextlib.suppress(asyncio.IncompleteReadError):
                while heard < 4_000_000:
                    heard += len(await reader.readexactly(400_000))
                    await asyncio.sleep(0.02)
            writer.transport.abort()
            assert len(a.served) == 2
            assert heard >= 4_000_000

    run_as_served(tell())


def asked(stream: bool = False, more: str = "") -> bytes:
    body = json.dumps({"model": "smart", "stream": stream, "messages": [{"role": "user", "content": "hi"}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(body)}\r\n\r\n"
    return (head + body).encode()


async def gone(proxy: Gateway) -> None:
    async with asyncio.timeout(AT_MOST_S):
        while proxy.server.connections:  # noqa: ASYNC110 # a transport tells only its protocol that it is gone
            await asyncio.sleep(0.01)


def address(url: str) -> tuple[str, str]:
    host, _, port = url.removeprefix("http://").partition(":")
    return host, port


def deaf(url: str) -> socket.socket:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", int(url.rsplit(":", 1)[1])))
    return client


def test_what_an_idle_connection_and_an_open_stream_cost(tmp_path: Path) -> None:
    """Printed for whoever looks (`pytest -s`); only an order of magnitude is held."""

    async def tell() -> None:
        waits = Reply(kind="hold", after=1)
        async with FakeProvider(always=waits) as a, gateway(tmp_path, one_route(a)) as proxy:
            count, streams = 200, 100
            await proxy.get("/v1/models")
            tracemalloc.start()
            idle = [await asyncio.open_connection(*address(proxy.url)) for _ in range(count)]
            per_idle = tracemalloc.get_traced_memory()[0] / count
            asked = [asyncio.create_task(proxy.ask(stream=True)) for _ in range(streams)]
            await a.until(lambda: a.holding == streams)
            per_stream = (tracemalloc.get_traced_memory()[0] - per_idle * count) / streams
            tracemalloc.stop()
            a.release()
            await asyncio.gather(*asked)
            for _, writer in idle:
                writer.transport.abort()
            print(f"all three sides: {per_idle / 1024:.1f} KiB a connection, {per_stream / 1024:.1f} a stream")
            assert per_idle < 100_000
            assert per_stream < 400_000

    run_as_served(tell())
