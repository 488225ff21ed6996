"""The fault proxy breaks what it is told to break, and nothing else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import uvloop
from fakes.faults import BLACK_HOLE, FINE, HALF_OPEN, NO_ANSWERS, FaultProxy, Faults

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Story = Callable[[FaultProxy, Ends], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.CancelledError):
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    writer.close()


@contextlib.asynccontextmanager
async def _echoing() -> AsyncIterator[int]:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def tell(story: Story, loop: Any, now: Faults = FINE) -> None:
    async def told() -> None:
        async with asyncio.timeout(5), _echoing() as port, FaultProxy(port, now) as network:
            reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
            try:
                await story(network, (reader, writer))
            finally:
                writer.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(told())


async def said_back(ends: Ends, text: bytes) -> bytes:
    ends[1].write(text)
    return await ends[0].readexactly(len(text))


def test_a_fine_network_passes_everything_on_and_the_end_too(loop: Any) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        assert await said_back(ends, b"x" * 300_000) == b"x" * 300_000
        ends[1].write_eof()
        assert await ends[0].read() == b""
        await network.until(lambda: network.links == [])

    tell(story, loop)


@pytest.mark.parametrize(("hole", "arrived"), [(BLACK_HOLE, 2), (NO_ANSWERS, 6)])
def test_a_silent_network_says_it_later(loop: Any, hole: Faults, arrived: int) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        assert await said_back(ends, b"hi") == b"hi"
        network.now = hole
        answering = asyncio.create_task(said_back(ends, b"ho h"))
        if arrived > 2:
            await network.until(lambda: network.links[0].passed["up"] == arrived)
        else:
            with pytest.raises(TimeoutError):
                await network.until(lambda: network.links[0].passed["up"] > arrived, within_s=0.05)
        assert not answering.done()
        network.now = FINE
        assert await answering == b"ho h"

    tell(story, loop)


def test_a_half_open_connection_is_taken_and_goes_on_later(loop: Any) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        await network.until(lambda: network.accepted == 1)
        assert network.links[0].far is None
        network.now = FINE
        assert await said_back(ends, b"hi") == b"hi"

    tell(story, loop, HALF_OPEN)


def test_resets_reach_who_is_connected(loop: Any) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        assert await said_back(ends, b"hi") == b"hi"
        network.reset_all()
        assert await _end(ends) == b""
        await network.until(lambda: network.links == [])

    tell(story, loop)


@pytest.mark.parametrize("faults", [Faults(reset_after=5), Faults(close_after=5)])
def test_an_answer_is_cut_after_so_many_bytes(loop: Any, faults: Faults) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        ends[1].write(b"0123456789")
        assert await _end(ends) == b"01234"

    tell(story, loop, faults)


def test_a_refused_connection_is_over_before_it_began(loop: Any) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        assert await _end(ends) == b""

    tell(story, loop, Faults(refuse=True))


@pytest.mark.parametrize("faults", [Faults(delay_s=0.03), Faults(bytes_per_s=200)])
def test_a_slow_network_takes_its_time(loop: Any, faults: Faults) -> None:
    async def story(network: FaultProxy, ends: Ends) -> None:
        began = time.monotonic()
        assert await said_back(ends, b"hello!") == b"hello!"
        assert time.monotonic() - began >= 0.055  # there and back, less a clock of 1 ms

    tell(story, loop, faults)


async def _end(ends: Ends) -> bytes:
    """All that still comes, however it ends: the loops differ in what they tell of a reset."""
    got = b""
    with contextlib.suppress(ConnectionError):
        while piece := await ends[0].read(65536):
            got += piece
    return got
