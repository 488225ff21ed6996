"""Ten thousand broken answers: each ends, in a Failure or in what one look at all its bytes says. Nothing leaks."""

import asyncio
import gc
import random
import time
from collections.abc import Callable, Coroutine
from typing import Any, cast

from byway_proxy.carry.upstream.client import Client, Failure, Limits, Origin
from byway_proxy.carry.upstream.failures import Malformed
from byway_proxy.carry.upstream.parsing import Parser

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
CASES = 5_000  # on each of the two loops
AT_MOST_S = 5.0
ABREAST = 25
# Every 50th server says its bytes and stays: there our own deadline ends it, as the wheel would.
STAYS = 50
DEADLINE_S = 0.02

SOUND = [
    b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"ok": true}',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\nT: u\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 Slow\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=9\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
]
SALT = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b":",
    b";",
    b"0",
    b"HTTP/1.1 200 OK\r\n",
    b"Content-Length: 3\r\n",
    b"\r\n\r\n",
]


def mutated(dice: random.Random) -> bytes:
    said = bytearray(dice.choice(SOUND))
    for _ in range(dice.choice((1, 1, 2, 4))):
        at = dice.randrange(len(said) + 1)
        match dice.randrange(6):
            case 0:
                said[at : at + 1] = bytes([dice.randrange(256)])
            case 1:
                del said[at : at + dice.randrange(1, 8)]
            case 2:
                said[at:at] = dice.choice(SALT)
            case 3:
                said[at:at] = said[at : at + dice.randrange(1, 20)]
            case 4:
                del said[at:]
            case _:
                said[at:at] = dice.randbytes(dice.randrange(1, 6))
    return bytes(said)


def at_one_look(said: bytes) -> bytes | None:
    """The body, or None for a failure."""
    parser = Parser(Limits())
    try:
        if said:
            parser.feed(said)
    except Malformed:
        return None
    whole = parser.complete or (parser.head_done and parser.framing == "until_eof")
    body = b"".join(parser.pieces)
    parser.close()
    return body if whole else None


class Babble(asyncio.Protocol):
    """Says the bytes of the case whose number is asked for, in two segments."""

    def __init__(self, cases: list[bytes]) -> None:
        self._cases = cases

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        number = int(data.split(b" ")[1])
        said = self._cases[number]
        half = number % (len(said) + 1)
        self._transport.write(said[:half])
        asyncio.get_running_loop().call_soon(self._rest, said[half:], number % STAYS == 0)

    def _rest(self, said: bytes, stays: bool) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(said)
        if not stays:
            self._transport.close()


class OverdueError(Exception):
    pass


async def outcome(client: Client, origin: Origin, number: int) -> bytes | None:
    exchange = client.exchange(origin, b"GET %d HTTP/1.1\r\nHost: x\r\n\r\n" % number, b"", connect_s=5)
    deadline = asyncio.get_running_loop().call_later(DEADLINE_S, exchange.fail, OverdueError())
    if number % STAYS:
        deadline.cancel()
    try:
        await exchange.begin()
        return await exchange.read_all(1 << 20)
    except Failure:
        return None
    finally:
        deadline.cancel()
        exchange.close()


def test_broken_answers_all_end_and_leave_nothing_behind(run: Run) -> None:
    dice = random.Random(20261124)
    cases = [mutated(dice) for _ in range(CASES)]

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: Babble(cases), "127.0.0.1", 0)
        origin = Origin("http", "127.0.0.1", server.sockets[0].getsockname()[1])
        client = Client()
        until = time.monotonic() + AT_MOST_S
        numbers = iter(range(CASES))
        ended = answered = 0

        async def one_after_another() -> None:
            nonlocal ended, answered
            for number in numbers:
                if time.monotonic() > until:
                    return
                try:
                    got = await outcome(client, origin, number)
                except OverdueError:
                    assert number % STAYS == 0
                    continue
                finally:
                    ended += 1
                if number % STAYS:
                    assert got == at_one_look(cases[number]), cases[number]
                answered += got is not None

        async with asyncio.TaskGroup() as group:
            for _ in range(ABREAST):
                group.create_task(one_after_another())
        await client.close()
        server.close()
        # On a slow machine the clock ends it; then what ran is what was tested.
        assert ended == CASES or time.monotonic() > until
        assert ended * 0.1 < answered < ended * 0.9
        gc.collect()
        assert not [thing for thing in gc.get_objects() if type(thing) is Parser]

    run(main)
