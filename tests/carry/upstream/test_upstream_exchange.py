"""Questions and answers over one client: reuse, staleness, back-pressure, and ends from outside."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from byway_proxy.carry.upstream.client import Client, Exchange, Failure, Limits, Origin, origin_of
from byway_proxy.carry.upstream.pool import Pool
from fakes.bare_server import Wire, answering, serving

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
HEAD = b"POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@asynccontextmanager
async def made(**settings: Any) -> AsyncIterator[Client]:
    client = Client(**settings)
    try:
        yield client
    finally:
        await client.close()


def at(wire: Wire) -> Origin:
    return origin_of(wire.url())[0]


def asking(client: Client, wire: Wire, head: bytes = HEAD, body: bytes = b"{}") -> Exchange:
    return client.exchange(at(wire), head, body, connect_s=5)


async def ask(client: Client, wire: Wire, head: bytes = HEAD, body: bytes = b"{}") -> bytes:
    exchange = asking(client, wire, head, body)
    await exchange.begin()
    return await exchange.read_all(1 << 24)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if true():
            return
        await asyncio.sleep(0)
    pytest.fail("it did not come true")


def test_an_answer_is_read_and_its_connection_used_again(run: Run) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello"
        async with answering(answer) as wire, made() as client:
            for _ in range(3):
                exchange = asking(client, wire)
                await exchange.begin()
                assert (exchange.status, exchange.header(b"x-a"), exchange.header(b"y")) == (201, b"1", None)
                assert exchange.headers == [(b"x-a", b"1"), (b"x-a", b"2"), (b"content-length", b"5")]
                assert [await exchange.read(), await exchange.read(), await exchange.read()] == [b"hello", b"", b""]
                exchange.close()
            assert wire.connections == 1
            assert wire.questions == [HEAD + b"{}"] * 3

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 5\r\n\r\nhello",
        OK + b"\r\n",
        OK + b"H",
        OK + OK,
        OK + b"garbage",
        OK + b"HTTP/1.1 200 OK\r\nX: hello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 2",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n0\r\n\r\n",
    ],
)
def test_a_connection_that_is_not_surely_clean_is_not_used_again(run: Run, answer: bytes) -> None:
    async def main() -> None:
        async with answering(answer) as wire, made() as client:
            for _ in range(2):
                assert await ask(client, wire) == b"hello"
            assert wire.connections == 2

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n" + OK,
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 3 + OK,
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: u\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_a_clean_connection_is_used_again(run: Run, answer: bytes) -> None:
    async def main() -> None:
        async with answering(answer) as wire, made() as client:
            for _ in range(2):
                exchange = asking(client, wire)
                await exchange.begin()
                assert exchange.status == 200
                assert exchange.header(b"link") is None
                assert await exchange.read_all(5) == b"hello"
            assert wire.connections == 1

    run(main)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 204 No\r\n\r\n", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n"])
def test_an_answer_that_has_no_body_ends_with_its_head(run: Run, answer: bytes) -> None:
    async def main() -> None:
        async with answering(answer) as wire, made() as client:
            assert [await ask(client, wire), await ask(client, wire)] == [b"", b""]
            assert wire.connections == 1

    run(main)


def test_the_answer_to_a_head_request_has_no_body_whatever_its_length_says(run: Run) -> None:
    async def main() -> None:
        for answer in (OK, OK[:-5]):
            async with answering(answer) as wire, made() as client:
                for _ in range(2):
                    assert await ask(client, wire, b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", b"") == b""

    run(main)


def test_trailers_are_not_headers(run: Run) -> None:
    async def main() -> None:
        chunks = b"5\r\nhello\r\n0\r\nX-Late: 1\r\nStatus: 500\r\n\r\n"
        async with (
            answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks) as wire,
            made() as client,
        ):
            exchange = asking(client, wire)
            await exchange.begin()
            assert await exchange.read_all(9) == b"hello"
            assert exchange.headers == [(b"transfer-encoding", b"chunked")]

    run(main)


# Stale connections


@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_pooled_connection_that_the_provider_closed_is_replaced_unnoticed(run: Run, how: str) -> None:
    """It answers one question, and closes when it sees the second: what an idle timeout looks like in a race."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wires[-1].question(reader)
        writer.write(OK)
        await reader.readexactly(1)
        if how == "reset":
            writer.transport.abort()  # unread bytes make it a RST

    wires: list[Wire] = []

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            for _ in range(3):
                exchange = asking(client, wire)
                await exchange.begin()
                assert await exchange.read_all(5) == b"hello"
            assert wire.connections == 3

    run(main)


def test_a_fresh_connection_that_dies_is_a_failure_and_not_tried_again(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1)

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            with pytest.raises(Failure) as caught:
                await asking(client, wire).begin()
            assert caught.value.kind in ("eof", "reset")
            assert (caught.value.sent, caught.value.answered, wire.connections) == (True, False, 1)

    run(main)


def test_a_pooled_connection_that_dies_after_a_byte_of_an_answer_is_not_tried_again(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await wires[-1].question(reader)
        writer.write(OK)
        await wires[-1].question(reader)
        writer.write(b"H")

    wires: list[Wire] = []

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            assert await ask(client, wire) == b"hello"
            with pytest.raises(Failure) as caught:
                await ask(client, wire)
            assert (caught.value.kind, caught.value.answered, wire.connections) == ("cut", True, 1)

    run(main)


def test_a_provider_that_hangs_up_on_everybody_is_a_failure(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            for _ in range(20):
                with pytest.raises(Failure) as caught:
                    await ask(client, wire)
                assert caught.value.kind in ("eof", "reset")

    run(main)


def test_the_second_try_is_the_last_one(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = wires[-1]
        if wire.connections == 1:
            await wire.question(reader)
            writer.write(OK)
        await reader.readexactly(1)

    wires: list[Wire] = []

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            assert await ask(client, wire) == b"hello"
            with pytest.raises(Failure):
                await ask(client, wire)
            assert wire.connections == 2

    run(main)


@pytest.mark.parametrize("unasked", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
def test_an_idle_connection_that_says_something_or_ends_is_dropped(run: Run, unasked: bytes) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = wires[-1]
        await wire.question(reader)
        writer.write(OK)
        if wire.connections == 1:
            await idle.wait()
            writer.write(unasked)
            if unasked:
                await reader.read()
        else:
            await wire.question(reader)

    wires: list[Wire] = []
    idle = asyncio.Event()

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            assert await ask(client, wire) == b"hello"
            idle.set()
            await until(lambda: not client.idle)
            assert await ask(client, wire) == b"hello"
            assert (wire.connections, len(wire.questions)) == (2, 2)
        wires.clear()
        idle.clear()

    run(main)


def test_idle_connections_are_closed_when_their_time_is_up(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire, made(idle_s=0.05) as client:
            assert await ask(client, wire) == b"hello"
            assert client.idle == 1
            await wire.gone.wait()
            assert client.idle == 0

    run(main)


def test_a_connection_past_its_time_is_closed_and_not_used(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire, made() as client:
            pool = Pool(idle_s=10, most=2)
            connection = await client.open(at(wire), 5)
            pool.put(connection, at(wire), 0)
            assert pool.take(at(wire), 9.9) is connection
            pool.put(connection, at(wire), 0)
            assert pool.take(at(wire), 10.1) is None
            await until(lambda: client.connected == client.idle)

    run(main)


def test_no_more_connections_rest_than_allowed(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire, made(max_idle_per_origin=2) as client:
            await asyncio.gather(*[ask(client, wire) for _ in range(5)])
            assert client.idle == 2

    run(main)


# Bodies


def test_the_end_of_the_connection_ends_an_answer_without_a_length(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            assert await ask(client, wire) == b"hello"
            assert client.idle == 0

    run(main)


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"", "eof"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "cut"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "cut"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "cut"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", "cut"),
        (b"SSH-2.0-x\r\n", "malformed"),
        (b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "malformed"),
        (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", "malformed"),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", "malformed"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
            "malformed",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc", "malformed"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "malformed",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX", "malformed"),
    ],
)
def test_what_is_no_whole_answer_is_a_failure(run: Run, start: bytes, kind: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        writer.write(start)

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            with pytest.raises(Failure) as caught:
                await ask(client, wire)
            assert (caught.value.kind, caught.value.sent, caught.value.answered) == (kind, True, bool(start))

    run(main)


@pytest.mark.parametrize(
    "start",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 2000,
        b"HTTP/1.1 200 " + b"a" * 2000,
        b"HTTP/1.1 200 OK\r\n" + b"a:b\r\n" * 30 + b"\r\n",
        b"HTTP/1.1 100 C\r\n\r\n" * 9,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;" + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX: " + b"x" * 2000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n" + b"a:b\r\n" * 30,
    ],
)
def test_heads_extensions_and_trailers_are_bounded_however_they_arrive(run: Run, start: bytes) -> None:
    """The server goes on and on, so that only the bound can end it."""

    async def main() -> None:
        for step in (len(start), 7):

            async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, step: int = step) -> None:
                await reader.readuntil(b"{}")
                for at in range(0, len(start), step):
                    writer.write(start[at : at + step])
                    await asyncio.sleep(0)
                while True:
                    writer.write(start[-5:] * 50)
                    await writer.drain()

            async with (
                serving(handler) as wire,
                made(limits=Limits(head_bytes=1000, header_lines=20, interim_answers=8)) as client,
            ):
                with pytest.raises(Failure) as caught:
                    await ask(client, wire)
                assert caught.value.kind == "malformed"

    run(main)


def test_an_answer_byte_by_byte_is_the_same_answer(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await wires[-1].question(reader):
            chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
            for byte in b"HTTP/1.1 103 E\r\n\r\n" + chunked:
                writer.write(bytes([byte]))
                await asyncio.sleep(0)

    wires: list[Wire] = []

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            for _ in range(2):
                assert await ask(client, wire) == b"hello"
            assert client.opened == 1

    run(main)


def test_an_answer_longer_than_asked_for_is_too_large(run: Run) -> None:
    async def main() -> None:
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
        for answer in (OK, chunked, OK[:-1]):
            async with answering(answer) as wire, made() as client:
                exchange = asking(client, wire)
                await exchange.begin()
                with pytest.raises(Failure) as caught:
                    await exchange.read_all(4)
                assert caught.value.kind == "too_large"

    run(main)


@pytest.mark.parametrize("poured", [False, True])
def test_a_slow_reader_holds_the_provider_back(run: Run, poured: bool) -> None:
    """Nobody reads at first: what the server can write is bounded by our 256 KiB and the kernel's buffers."""
    size = 64 << 20
    written = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        await reader.readuntil(b"{}")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        written = 0
        while written < size:
            writer.write(bytes(1 << 16))
            await writer.drain()
            written += 1 << 16

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            exchange = asking(client, wire)
            await exchange.begin()
            if poured:
                exchange.pause()
            before, still = -1, 0
            while still < 200:
                still = still + 1 if written == before else 0
                before = written
                await asyncio.sleep(0.0005)
            assert 0 < written < 16 << 20
            got = 0

            def take(piece: bytes) -> None:
                nonlocal got
                got += len(piece)

            if poured:
                exchange.resume()
                await exchange.pour(take)
            else:
                while piece := await exchange.read():
                    take(piece)
            assert got == size
            assert client.idle == 1

    run(main)


def test_a_stream_is_poured_as_it_comes(run: Run) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await wires[-1].question(reader):
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for number in range(20):
                writer.write(b"3\r\n%03d\r\n" % number)
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")

    wires: list[Wire] = []

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            wires.append(wire)
            for _ in range(2):
                pieces: list[bytes] = []
                exchange = asking(client, wire)
                await exchange.begin()
                await exchange.pour(pieces.append)
                assert b"".join(pieces) == b"".join(b"%03d" % n for n in range(20))
                assert await exchange.read() == b""
            assert wire.connections == 1

    run(main)


def test_what_the_receiver_of_a_stream_raises_ends_it(run: Run) -> None:
    async def main() -> None:
        async with answering(OK[:-1]) as wire, made() as client:
            exchange = asking(client, wire)
            await exchange.begin()
            with pytest.raises(ZeroDivisionError):
                await exchange.pour(lambda piece: 1 // 0)
            exchange.close()
            await wire.gone.wait()

    run(main)


# Big questions


def test_a_large_question_arrives_whole(run: Run) -> None:
    body = bytes(range(256)) * 20_000

    async def main() -> None:
        async with answering(OK) as wire, made() as client:
            head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
            for _ in range(2):
                assert await ask(client, wire, head, body) == b"hello"
            assert wire.questions == [head + body] * 2
            assert wire.connections == 1

    run(main)


@pytest.mark.parametrize("lingers", [True, False])
def test_an_answer_that_comes_while_the_question_is_still_being_sent_is_read(run: Run, lingers: bool) -> None:
    body = bytes(30_000_000)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 5\r\n\r\nlarge")
        if lingers:
            await reader.read()

    async def main() -> None:
        async with serving(handler) as wire, made() as client:
            exchange = asking(client, wire, b"POST / HTTP/1.1\r\nContent-Length: 30000000\r\n\r\n", body)
            await exchange.begin()
            assert exchange.status == 413
            assert await exchange.read_all(9) == b"large"
            assert client.idle == 0

    run(main)


# Ends from outside


class LeftError(Exception):
    pass


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()


async def stuck(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"{}")
    writer.write(OK[:-1])
    await reader.read()


def test_a_failure_from_outside_ends_the_wait_for_a_head_and_closes_the_socket(run: Run) -> None:
    async def main() -> None:
        async with serving(silent) as wire, made() as client:
            exchange = asking(client, wire)
            asyncio.get_running_loop().call_later(0.02, exchange.fail, told := LeftError())
            with pytest.raises(LeftError) as caught:
                await exchange.begin()
            assert caught.value is told
            await wire.gone.wait()
            with pytest.raises(LeftError):
                await exchange.read()

    run(main)


def test_a_failure_from_outside_ends_reading_even_if_bytes_are_waiting(run: Run) -> None:
    async def main() -> None:
        async with serving(stuck) as wire, made() as client:
            exchange = asking(client, wire)
            await exchange.begin()
            exchange.fail(LeftError())
            with pytest.raises(LeftError):
                await exchange.read()
            await wire.gone.wait()
            exchange = asking(client, wire)
            await exchange.begin()
            asyncio.get_running_loop().call_later(0.02, exchange.fail, LeftError())
            with pytest.raises(LeftError):
                await exchange.read_all(100)

    run(main)


def test_a_failure_from_outside_before_the_beginning_sends_nothing(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire, made() as client:
            exchange = asking(client, wire)
            exchange.fail(LeftError())
            with pytest.raises(LeftError):
                await exchange.begin()
            assert wire.connections == 0

    run(main)


@pytest.mark.parametrize("after_turns", range(12))
def test_a_failure_from_outside_at_any_turn_while_connecting_leaves_nothing_open(
    run: Run, after_turns: int
) -> None:
    async def main() -> None:
        async with serving(silent) as wire, made() as client:
            exchange = asking(client, wire)
            begin = asyncio.ensure_future(exchange.begin())
            for _ in range(after_turns):
                await asyncio.sleep(0)
            exchange.fail(LeftError())
            with pytest.raises(LeftError):
                await begin
            await until(lambda: client.connected == client.idle)

    run(main)


@pytest.mark.parametrize("after_turns", [*range(12), 50])
def test_cancelling_at_any_turn_passes_through_and_leaves_nothing_open(run: Run, after_turns: int) -> None:
    async def main() -> None:
        async with serving(stuck) as wire, made() as client:
            task = asyncio.ensure_future(ask(client, wire))
            for _ in range(after_turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await until(lambda: client.connected == client.idle)

    run(main)


def test_closing_an_unfinished_exchange_closes_its_socket_and_twice_is_once(run: Run) -> None:
    async def main() -> None:
        async with serving(stuck) as wire, made() as client:
            exchange = asking(client, wire)
            await exchange.begin()
            exchange.close()
            exchange.close()
            await wire.gone.wait()
            with pytest.raises(Failure):
                await exchange.read()

    run(main)


def test_closing_the_client_ends_what_is_in_flight(run: Run) -> None:
    async def main() -> None:
        async with serving(silent) as wire:
            client = Client()
            begin = asyncio.ensure_future(asking(client, wire).begin())
            await until(lambda: wire.connections > 0)
            await client.close()
            with pytest.raises(Failure):
                await begin
            with pytest.raises(Failure):
                await asking(client, wire).begin()

    run(main)
