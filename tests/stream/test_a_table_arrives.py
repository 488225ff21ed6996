"""What a proxy makes of the frames it is sent: damaged, old, of another shape, or large."""

import asyncio
import gc
import gzip
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import WSMsgType, web
from byway_contract.money import Price
from byway_contract.stream import (
    PATH,
    SUBPROTOCOL,
    Ack,
    Drain,
    FromProxy,
    Hello,
    Nack,
    Reported,
    Same,
    Snapshot,
    Welcome,
    decode_from_proxy,
    encode,
    encode_snapshot,
)
from byway_contract.table import (
    Account,
    Endpoint,
    Route,
    RouteEndpoint,
    Sections,
    canonical,
    table_hash,
)
from byway_operator.push.door import not_leading
from byway_proxy.control.control import ControlSettings
from byway_proxy.control.redial import Redial
from byway_proxy.control.stream import Address
from stream.parts import a_proxy, an_operator, compiled, sections, until


def a_frame(table: Sections, term: int = 1, seq: int = 1, **changed: object) -> bytes:
    snapshot = Snapshot(
        f"{term}-{seq}", term, seq, table_hash(table), 1, "now", {name: dict(o) for name, o in table.items()}
    )
    return encode_snapshot(msgspec.structs.replace(snapshot, **changed))


@dataclass
class Teller:
    """An operator that sends these frames, whatever they are, and writes down what it is answered."""

    socket: Path
    heard: list[FromProxy]
    ws: list[web.WebSocketResponse]

    @property
    def answers(self) -> list[Ack | Nack]:
        return [message for message in self.heard if isinstance(message, (Ack, Nack))]

    @property
    def hellos(self) -> list[Hello]:
        return [message for message in self.heard if isinstance(message, Hello)]


@asynccontextmanager
async def a_teller(frames: Sequence[bytes | str]) -> AsyncIterator[Teller]:
    with tempfile.TemporaryDirectory(prefix="by") as folder:
        teller = Teller(Path(folder) / "s", [], [])

        async def stream(request: web.Request) -> web.WebSocketResponse:
            ws = web.WebSocketResponse(protocols=(SUBPROTOCOL,), compress=False)
            await ws.prepare(request)
            teller.ws.append(ws)
            teller.heard.append(decode_from_proxy((await ws.receive()).data))
            await ws.send_str(encode(Welcome(1, "op")))
            for frame in frames:
                await (ws.send_bytes(frame) if isinstance(frame, bytes) else ws.send_str(frame))
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    teller.heard.append(decode_from_proxy(message.data))
            return ws

        app = web.Application()
        app.add_routes([web.get(PATH, stream)])
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(teller.socket)).start()
        try:
            yield teller
        finally:
            for ws in teller.ws:
                await ws.close()
            await runner.cleanup()


def test_a_table_whose_bytes_were_altered_is_refused_and_the_old_one_serves_on() -> None:
    async def story() -> None:
        good, better = sections("smart"), sections("smart", "fast")
        altered = gzip.compress(gzip.decompress(a_frame(better, seq=2)).replace(b'"fast"', b'"fist"', 1), mtime=0)
        flipped = bytearray(a_frame(better, seq=3))
        flipped[len(flipped) // 2] ^= 1
        torn = a_frame(better, seq=4)[:-20]
        async with (
            a_teller([a_frame(good), altered, bytes(flipped), torn, a_frame(better, seq=5)]) as teller,
            a_proxy(teller.socket) as proxy,
        ):
            await until(lambda: len(teller.answers) == 5)
            first, *refused, last = teller.answers
            assert isinstance(first, Ack)
            for answer in refused:
                assert isinstance(answer, Nack)
                assert (answer.code, answer.serving) == ("Hash", table_hash(good))
            assert isinstance(last, Ack)
            assert [table.hash for table in proxy.applied] == [table_hash(good), table_hash(better)]

    asyncio.run(story())


def test_an_object_that_cannot_be_obeyed_is_named() -> None:
    async def story() -> None:
        dangling = {**sections("smart"), "endpoints": {}}
        wrong = {**sections("smart"), "routes": {"team-a/smart": msgspec.Raw(b'{"namespace":7}')}}
        frames = [a_frame(dangling), a_frame(wrong, seq=2), a_frame(sections("smart"), seq=3)]  # type: ignore[arg-type]
        async with a_teller(frames) as teller, a_proxy(teller.socket):
            await until(lambda: len(teller.answers) == 3)
            for answer in teller.answers[:2]:
                assert isinstance(answer, Nack)
                assert (answer.code, answer.path, answer.serving) == ("Resources", "routes/team-a/smart", None)
            assert isinstance(teller.answers[2], Ack)

    asyncio.run(story())


def test_a_table_of_a_shape_that_is_not_ours_is_refused_as_such() -> None:
    async def story() -> None:
        table = sections("smart")
        newer = gzip.compress(gzip.decompress(a_frame(table)).replace(b'"accounts":', b'"wormholes":'), mtime=0)
        async with a_teller([a_frame(table, schema=2), newer]) as teller, a_proxy(teller.socket):
            await until(lambda: len(teller.answers) == 2)
            assert [answer.code for answer in teller.answers if isinstance(answer, Nack)] == ["Schema", "Schema"]

    asyncio.run(story())


def test_a_table_that_is_not_newer_is_never_taken() -> None:
    async def story() -> None:
        live, old = sections("smart"), sections("smart", secret="sk-revoked")
        frames = [a_frame(live, 5, 2), a_frame(old, 5, 1), a_frame(old, 4, 9), a_frame(old, 5, 2)]
        async with a_teller(frames) as teller, a_proxy(teller.socket) as proxy:
            await until(lambda: len(teller.answers) == 4)
            assert all(isinstance(answer, Nack) and answer.path == "" for answer in teller.answers[1:])
            assert proxy.serving == table_hash(live)
            assert len(proxy.applied) == 1

    asyncio.run(story())


def test_a_frame_that_is_not_of_this_protocol_ends_the_stream_and_nothing_else() -> None:
    async def story() -> None:
        frames = [a_frame(sections("smart")), '{"type":"dance"}']
        async with a_teller(frames) as teller, a_proxy(teller.socket) as proxy:
            await until(lambda: len(teller.hellos) >= 2)
            assert teller.ws[0].close_code == 1002
            assert proxy.control.ready
            assert teller.hellos[1].have.hash == table_hash(sections("smart"))
            assert teller.hellos[1].have.origin == "memory"

    asyncio.run(story())


def test_same_for_a_table_that_is_not_here_is_refused() -> None:
    async def story() -> None:
        async with a_teller([encode(Same("n", 1, 1, "nowhere"))]) as teller, a_proxy(teller.socket):
            await until(lambda: teller.answers)
            assert isinstance(teller.answers[0], Nack)

    asyncio.run(story())


def test_a_drained_proxy_dials_again_at_a_moment_of_its_own() -> None:
    async def story() -> None:
        frames = [a_frame(sections("smart")), encode(Drain("shutdown", after_ms=10, jitter_ms=20))]
        async with a_teller(frames) as teller, a_proxy(teller.socket) as proxy:
            await until(lambda: len(teller.hellos) >= 2)
            assert len(proxy.applied) == 1

    asyncio.run(story())


def test_a_bug_that_a_table_brings_to_light_is_a_nack_and_no_crash() -> None:
    async def story() -> None:
        async with a_teller([a_frame(sections("smart"))]) as teller, a_proxy(teller.socket) as proxy:
            proxy.refuse["nowhere/x"] = "makes the apply of these tests raise AttributeError"
            await until(lambda: teller.answers)
            (answer,) = teller.answers
            assert isinstance(answer, Nack)
            assert (answer.code, answer.message) == ("Build", "AttributeError while building")

    asyncio.run(story())


def test_a_replica_that_does_not_lead_points_to_the_one_that_does() -> None:
    async def story() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            leader = web.AppRunner(_app(operator.hub.stream), access_log=None, shutdown_timeout=0.1)
            await leader.setup()
            led = web.TCPSite(leader, "127.0.0.1", 0)
            await led.start()
            host, port = leader.addresses[0][:2]

            async def standby(_request: web.Request) -> web.Response:
                return not_leading(f"{host}:{port}")

            other = web.AppRunner(_app(standby), access_log=None)
            await other.setup()
            await web.TCPSite(other, "127.0.0.1", 0).start()
            url = "http://{}:{}".format(*other.addresses[0][:2])
            async with a_proxy(operator.socket, address=Address(url)) as proxy:
                await until(lambda: proxy.control.ready)
                await operator.hub.drain("shutdown", 0.01)
            await other.cleanup()
            await leader.cleanup()

    asyncio.run(story())


def test_waiting_to_dial_again_doubles_is_spread_out_and_bounded() -> None:
    redial = Redial(0.2, 10.0)
    assert [redial.wait_s(n, lambda: 1.0) for n in (1, 2, 3, 7, 99)] == [0.2, 0.4, 0.8, 10.0, 10.0]
    assert redial.wait_s(5, lambda: 0.0) == 0.0
    assert redial.wait_s(1, lambda: 0.5, at_least_s=1.0) == 1.0
    assert redial.wait_s(1, lambda: 0.5, at_least_s=9999.0) == 10.0
    assert ControlSettings(Address("unix:/x")).redial == redial


def a_large_table(changed: str = "") -> Sections:
    """2,000 routes of three members over 2,000 endpoints of 100 accounts."""
    accounts = {
        f"n/key{n}": canonical(Account("n", f"key{n}", "openai", "OpenAI", "https://api.example.com/v1"))
        for n in range(100)
    }
    names = [f"n/key{n % 100}:m{n}" for n in range(2000)]
    endpoints = {
        name: canonical(
            Endpoint(
                name.partition(":")[0],
                f"openai/m{n}",
                f"m{n}",
                Price(220_000_000, 1_800_000_000, 20_000_000),
                "Catalogue",
                "2026-11-01",
                context_length=400_000,
                max_output_tokens=128_000,
                features=("tools", "reasoning"),
            )
        )
        for n, name in enumerate(names)
    }
    routes = {
        f"n/r{n}": canonical(
            Route(
                "n",
                f"r{n}",
                (f"r{n}",),
                changed if n == 7 else "",
                tuple(RouteEndpoint(f"e{m}", names[(n + m) % 2000], order=m) for m in range(3)),
            )
        )
        for n in range(2000)
    }
    return {"accounts": accounts, "endpoints": endpoints, "routes": routes}


def test_a_table_of_two_thousand_routes_is_taken_in_steps_of_a_few_milliseconds() -> None:
    """The longest turn of the loop, in CPU time of this thread, so that a busy machine does not count."""

    async def longest_turn_ms() -> float:
        frame = a_frame(a_large_table())
        longest, ending = 0.0, False

        async def watch() -> None:
            nonlocal longest
            before = time.thread_time()
            while not ending:
                await asyncio.sleep(0)
                now = time.thread_time()
                longest, before = max(longest, now - before), now

        async with a_teller([frame]) as teller, a_proxy(teller.socket) as proxy:
            gc.collect()
            gc.freeze()
            watching = asyncio.create_task(watch())
            await until(lambda: teller.answers)
            ending = True
            await watching
            gc.unfreeze()
            assert len(proxy.applied[0].routes) == 2000
            assert isinstance(teller.answers[0], Ack)
        return longest * 1000

    longest = min(asyncio.run(longest_turn_ms()) for _ in range(3))
    print(f"longest turn: {longest:.2f} ms")
    assert longest < 5.0


def _app(handler: object) -> web.Application:
    app = web.Application()
    app.router.add_get(PATH, handler)  # type: ignore[arg-type]
    return app


def test_only_reports_and_answers_come_from_a_proxy() -> None:
    async def story() -> None:
        async with a_teller([a_frame(sections("smart"))]) as teller, a_proxy(teller.socket):
            await until(lambda: any(isinstance(message, Reported) for message in teller.heard))
            reported = next(message for message in teller.heard if isinstance(message, Reported))
            assert (reported.report.serving, reported.report.ready) == (table_hash(sections("smart")), True)

    asyncio.run(story())
