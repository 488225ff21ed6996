"""Requests that came whole are taken from aiohttp's parser; everything else goes aiohttp's way. Both must hold."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest
from aiohttp.web_protocol import RequestHandler
from builders.gateway import Gateway, gateway, one_route
from byway_proxy.api.connection import SHAPE, SHAPE_OF_BODIES
from byway_proxy.api.server import Limits
from fakes.provider import FakeProvider
from fakes.reply import Reply

Story = Callable[[Gateway, FakeProvider, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def told(story: Story, folder: Path, limits: Limits | None = None) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(folder, one_route(a), limits=limits) as proxy, asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1]))
            try:
                await story(proxy, a, reader, writer)
            finally:
                writer.close()

    asyncio.run(tell())


def request(words: str = "hi", more: bytes = b"") -> bytes:
    body = json.dumps({"model": "smart", "messages": [{"role": "user", "content": words}]}).encode()
    return b"POST /v1/chat/completions HTTP/1.1\r\nHost: me\r\nContent-Length: %d\r\n%s\r\n%s" % (
        len(body), more, body,
    )  # fmt: skip


async def status_of_next(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(head.split()[1])


def test_aiohttp_still_has_the_names_that_the_short_way_leans_on(tmp_path: Path) -> None:
    async def story(_p: Gateway, _a: FakeProvider, _r: asyncio.StreamReader, _w: asyncio.StreamWriter) -> None:
        assert {name for name in SHAPE if not hasattr(RequestHandler, name)} == set()
        assert {name for name in SHAPE_OF_BODIES if not hasattr(aiohttp.StreamReader, name)} == set()

    told(story, tmp_path)


def test_requests_sent_on_top_of_each_other_are_each_answered(tmp_path: Path) -> None:
    async def story(_p: Gateway, a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(request() + request() + b"GET /v1/models HTTP/1.1\r\nHost: me\r\n\r\n")
        assert [await status_of_next(reader) for _ in range(3)] == [200, 200, 200]
        w.write(request())
        assert await status_of_next(reader) == 200
        assert len(a.served) == 3

    told(story, tmp_path)


def test_a_request_that_comes_while_another_is_answered_waits_for_it(tmp_path: Path) -> None:
    async def story(_p: Gateway, a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        a.script.always = Reply(head_after_s=0.1)
        w.write(request())
        await a.until(lambda: len(a.served) == 1)
        w.write(request()[:60])
        assert await status_of_next(reader) == 200
        w.write(request()[60:])
        assert await status_of_next(reader) == 200
        w.write(request())
        assert await status_of_next(reader) == 200

    told(story, tmp_path)


@pytest.mark.parametrize("at", [1, 40, 80, 120])
def test_a_request_in_two_pieces_is_one_request(tmp_path: Path, at: int) -> None:
    async def story(_p: Gateway, _a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        for _ in range(2):
            w.write(request()[:at])
            await w.drain()
            await asyncio.sleep(0)
            w.write(request()[at:])
            assert await status_of_next(reader) == 200

    told(story, tmp_path)


def test_garbage_behind_an_answered_request_is_told_so(tmp_path: Path) -> None:
    async def story(_p: Gateway, _a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(request())
        assert await status_of_next(reader) == 200
        w.write(b"\x00\x01 garbage\r\n\r\n")
        assert await status_of_next(reader) == 400
        assert await reader.read() == b""

    told(story, tmp_path)


def test_a_client_that_wants_its_connection_closed_has_it_closed(tmp_path: Path) -> None:
    async def story(_p: Gateway, _a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        w.write(request(more=b"Connection: close\r\n"))
        assert await status_of_next(reader) == 200
        assert await reader.read() == b""

    told(story, tmp_path)


def test_an_idle_connection_is_closed_and_a_busy_one_is_not(tmp_path: Path) -> None:
    async def story(_p: Gateway, a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        a.script.always = Reply(head_after_s=0.5)
        w.write(request())
        assert await status_of_next(reader) == 200
        assert await reader.read() == b""

    told(story, tmp_path, Limits(head_s=0.2))


def test_shutting_down_ends_a_request_that_outlasts_its_time(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        a.script.always = Reply(kind="hold_before_head")
        w.write(request())
        await a.until(lambda: a.holding == 1)
        proxy.server.close_idle()
        await proxy.server.shut_down(0.1)
        assert await reader.read() == b""
        await proxy.server.idle.wait()
        [(_, settle)] = proxy.settled()
        assert settle.outcome == "client_cancel"

    told(story, tmp_path)


def test_a_request_under_way_is_answered_before_its_connection_closes(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, reader: asyncio.StreamReader, w: asyncio.StreamWriter) -> None:
        a.script.always = Reply(head_after_s=0.1)
        w.write(request())
        await a.until(lambda: len(a.served) == 1)
        proxy.server.draining = True
        proxy.server.close_idle()
        assert await status_of_next(reader) == 200
        assert await reader.read() == b""

    told(story, tmp_path)
