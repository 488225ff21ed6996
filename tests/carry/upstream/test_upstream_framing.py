"""The same bytes give the same answer: however they are split, and as aiohttp's client reads them (our oracle)."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import pytest
import uvloop
from byway_proxy.carry.upstream.client import Client, Failure, origin_of
from fakes.bare_server import Wire, serving
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HEAD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
Answer = tuple[int, list[tuple[bytes, bytes]], bytes]


@dataclass
class World:
    """A server that says the bytes it is told, in the pieces it is told, and hangs up; and both clients."""

    runner: asyncio.Runner
    wire: Wire
    ours: Client
    theirs: aiohttp.ClientSession
    pieces: list[bytes] = field(default_factory=list)

    def answers(self, pieces: list[bytes]) -> tuple[Answer | str, Answer | str]:
        """Ours and theirs; the kind of the failure where there is no answer."""
        self.pieces = pieces

        async def both() -> tuple[Answer | str, Answer | str]:
            async with asyncio.timeout(10):
                ours = await self._ask_ours()
                # The oracle waits for ever on some broken chunks; patience only where there is something to get.
                return ours, await self._ask_theirs(0.1 if isinstance(ours, str) else 5)

        return self.runner.run(both())

    async def _ask_ours(self) -> Answer | str:
        exchange = self.ours.exchange(origin_of(self.wire.url())[0], HEAD, b"{}", connect_s=5)
        try:
            await exchange.begin()
            return exchange.status, exchange.headers, await exchange.read_all(1 << 24)
        except Failure as failure:
            return failure.kind

    async def _ask_theirs(self, patience_s: float) -> Answer | str:
        patience = aiohttp.ClientTimeout(patience_s)
        try:
            async with self.theirs.post(
                self.wire.url(), data=b"{}", allow_redirects=False, timeout=patience
            ) as answer:
                headers = [(name.lower(), value) for name, value in answer.raw_headers]
                return answer.status, headers, await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            return type(error).__name__


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            for piece in made.pieces:
                writer.write(piece)
                await asyncio.sleep(0)

        async def setup() -> Any:
            server = serving(handler)
            wire = await server.__aenter__()
            connector = aiohttp.TCPConnector(force_close=True)
            session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
            return server, World(runner, wire, Client(), session)

        async def teardown() -> None:
            await made.ours.close()
            await made.theirs.close()
            await server.__aexit__(None, None, None)

        server, made = runner.run(setup())
        yield made
        runner.run(teardown())


def same(answer: Answer | str, other: Answer | str) -> bool:
    return (isinstance(answer, str) and isinstance(other, str)) or answer == other


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: "


@pytest.mark.parametrize(
    "said",
    [
        LENGTH + b"5\r\n\r\nhello",
        LENGTH + b"5\r\n\r\nhell",
        LENGTH + b"0\r\n\r\n",
        LENGTH + b"+5\r\n\r\nhello",
        LENGTH + b"-5\r\n\r\nhello",
        LENGTH + b"5, 5\r\n\r\nhello",
        LENGTH + b"\r\n\r\nhello",
        LENGTH + b"0x5\r\n\r\nhello",
        LENGTH + b"99999999999999999999999999\r\n\r\nhello",
        LENGTH + b"5\r\nContent-Length: 5\r\n\r\nhello",
        LENGTH + b"5\r\nContent-Length: 6\r\n\r\nhello",
        LENGTH + b"5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\nX: y\r\n\r\n",
        CHUNKED + b"05\r\nhello\r\n000\r\n\r\n",
        CHUNKED + b"5\r\nhello\r\n0\r\n",
        CHUNKED + b"5\r\nhello\r\n",
        CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n",
        CHUNKED + b"g\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        CHUNKED + b"5\nhello\n0\n\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://192.0.2.1/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n" + LENGTH + b"2\r\n\r\nok",
        b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + LENGTH + b"2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nEmpty:\r\nSpaced:   a b  \r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: \xff\xfe\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA: b\x00c\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA : b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n: b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nA\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/x 200 OK\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"",
    ],
)
def test_we_and_the_oracle_read_the_same_answer_or_both_fail(world: World, said: bytes) -> None:
    ours, theirs = world.answers([said])
    assert same(ours, theirs), (ours, theirs)
    by_bytes, _ = world.answers([bytes([b]) for b in said])
    assert same(by_bytes, ours), (by_bytes, ours)


@pytest.mark.parametrize(
    "said",
    [
        CHUNKED + b"5 \r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    ],
)
def test_where_the_oracle_is_lenient_we_are_not(world: World, said: bytes) -> None:
    ours, theirs = world.answers([said])
    assert (ours, type(theirs)) == ("malformed", tuple)


TOKENS = st.text("abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=12).filter(
    lambda name: name not in ("connection", "upgrade", "transfer-encoding", "content-length", "keep-alive")
)
VALUES = st.text("abc XYZ0123;=,/\"'", max_size=30).map(str.strip)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[bytes], Answer]:
    """An answer in one of the framings, cut into pieces anywhere, and what it says."""
    status = draw(st.sampled_from([200, 201, 400, 401, 404, 429, 500, 503, 529]))
    headers = [(f"x-{n}".encode(), v.encode()) for n, v in draw(st.lists(st.tuples(TOKENS, VALUES), max_size=6))]
    body_pieces = draw(st.lists(st.binary(min_size=1, max_size=200), max_size=8))
    body = b"".join(body_pieces)
    framing = draw(st.sampled_from(["length", "chunked", "until_eof"]))
    tail = body
    if framing == "length":
        headers.append((b"content-length", str(len(body)).encode()))
    elif framing == "chunked":
        headers.append((b"transfer-encoding", b"chunked"))
        extension = draw(st.sampled_from([b"", b";a=b", b';a="b c"']))
        trailers = draw(st.sampled_from([b"", b"X-T: 1\r\n", b"X-T: 1\r\nStatus: 9\r\n"]))
        tail = (
            b"".join([b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in body_pieces])
            + b"0\r\n"
            + trailers
            + b"\r\n"
        )
    interim = draw(st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nA: b\r\n\r\n"]))
    said = interim + b"HTTP/1.1 %d Reason\r\n" % status
    said += b"".join([name.title() + b": " + value + b"\r\n" for name, value in headers]) + b"\r\n" + tail
    cuts = sorted(draw(st.lists(st.integers(1, max(1, len(said) - 1)), max_size=12)))
    pieces = [said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True) if a < b]
    return pieces, (status, headers, body)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=answers())
def test_an_answer_split_anywhere_is_what_was_said_and_what_the_oracle_reads(
    world: World, case: tuple[list[bytes], Answer]
) -> None:
    pieces, truth = case
    ours, theirs = world.answers(pieces)
    assert ours == truth
    assert theirs == truth
