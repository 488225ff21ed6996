"""A client may leave, or stay and not read: it holds little, disturbs nobody, and its provider stops being paid."""

import asyncio
import json
import os
import random
import socket
from pathlib import Path

import pytest
from builders.gateway import Gateway, gateway, one_route
from byway_proxy.carry.draining import Draining
from fakes.process import provider
from fakes.provider import FakeProvider
from fakes.reply import Reply

MIB = 1024 * 1024
UNREAD, WORDS = 20, 50_000


def _request(**fields: object) -> bytes:
    body = json.dumps({"model": "smart", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: byway\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )


async def _nobody_is_served(proxy: Gateway) -> None:
    async with asyncio.timeout(5):
        await proxy.server.idle.wait()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("after", [-1, 2])
def test_a_client_that_leaves_before_the_end_frees_the_provider_and_is_booked_once(
    tmp_path: Path, stream: bool, after: int
) -> None:
    """-1: before the provider's head; 2: in the middle of its answer."""

    async def story() -> None:
        held = Reply(kind="hold_before_head") if after < 0 else Reply(kind="hold", after=after)
        async with FakeProvider(always=held) as a, FakeProvider() as b, gateway(tmp_path, one_route(a, b)) as proxy:
            asking = asyncio.create_task(proxy.ask(stream=stream))
            await a.until(lambda: a.holding == 1)
            asking.cancel()
            await a.until(lambda: a.served[0].ended == "client_gone")
            await _nobody_is_served(proxy)
            [(_, settle)] = proxy.settled()
            assert settle.outcome == "client_cancel"
            assert settle.usage.completion <= a.served[0].completion_tokens
            assert b.served == []
            # Leaving says nothing of the provider.
            a.script.always = Reply()
            assert (await proxy.ask()).json["provider"] == "Provider A"

    asyncio.run(story())


def test_a_client_that_has_read_its_answer_and_leaves_has_had_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider() as a, gateway(tmp_path, one_route(a)) as proxy:
            for _ in range(10):
                reader, writer = await _connected(proxy)
                writer.write(_request(stream=True))
                await reader.readuntil(b"data: [DONE]\n\n")
                writer.transport.abort()
            await _nobody_is_served(proxy)
            settled = proxy.settled()
        assert [settle.outcome for _, settle in settled] == ["ok"] * 10
        assert {settle.usage.completion for _, settle in settled} == {5}

    asyncio.run(story())


def test_clients_that_leave_at_any_moment_are_each_booked_once(tmp_path: Path) -> None:
    async def story() -> None:
        dice = random.Random(7)
        drip = Reply(text="one two three four five six seven", gap_s=0.002)
        async with FakeProvider(always=drip) as a, gateway(tmp_path, one_route(a)) as proxy:

            async def leave(after_bytes: int) -> None:
                reader, writer = await _connected(proxy)
                writer.write(_request(stream=True))
                while after_bytes > 0 and (piece := await reader.read(256)):
                    after_bytes -= len(piece)
                    if b"[DONE]" in piece:
                        break
                writer.transport.abort()

            async with asyncio.timeout(20):
                await asyncio.gather(*(leave(dice.randrange(4000)) for _ in range(80)))
            await _nobody_is_served(proxy)
            settled = proxy.settled()
            await a.until(lambda: all(one.ended for one in a.served))
        outcomes = [settle.outcome for _, settle in settled]
        assert set(outcomes) == {"ok", "client_cancel"}
        served = {f"chatcmpl-fake{one.number}": one for one in a.served}
        for _, settle in settled:
            if settle.upstream_id:
                assert settle.usage.completion <= served[settle.upstream_id].completion_tokens
            if settle.outcome == "ok":
                assert settle.usage.completion == served[settle.upstream_id].completion_tokens

    asyncio.run(story())


def test_clients_that_never_read_hold_little_and_are_given_up_on(tmp_path: Path) -> None:
    """Each asks for ten MiB. Their providers are held back, the others are served, and all are booked."""

    async def story(url: str) -> None:
        async with FakeProvider() as quick:
            table = one_route(quick, FakeProvider(port=int(url.split(":")[2].split("/")[0])))
            async with gateway(tmp_path, table, blocked_s=1.0) as proxy:
                before = _resident()
                clients = [await _deaf(proxy) for _ in range(UNREAD)]
                most = 0
                async with asyncio.timeout(20):
                    while proxy.means.health.inflight < UNREAD:
                        await _undisturbed(proxy)
                    while proxy.means.health.inflight:
                        await _undisturbed(proxy)
                        most = max(most, _resident() - before)
                await _nobody_is_served(proxy)
                for client in clients:
                    client.close()
                settled = [s for i, s in proxy.settled() if i.account == "default/b"]
        assert most <= UNREAD * MIB // 2
        assert [(s.outcome, s.reason) for s in settled] == [("client_cancel", "blocked")] * UNREAD
        assert all(0 < s.usage.completion < WORDS and s.billed == s.cost > 0 for s in settled)

    with provider(tmp_path, "endless", text=" ".join(["word"] * WORDS)) as (url, _):
        asyncio.run(story(url))


WORDS_OF_IT = "one two three four five six seven eight"
BILLS = ("bills", True), ("bills", False), ("streams", False)


@pytest.mark.parametrize(("leaving", "stream"), BILLS)
@pytest.mark.parametrize("after", [-1, 3])
def test_where_leaving_does_not_end_the_bill_the_answer_is_read_to_its_exact_usage(
    tmp_path: Path, leaving: str, stream: bool, after: int
) -> None:
    async def story() -> None:
        kind = {"kind": "hold_before_head"} if after < 0 else {"kind": "hold", "after": after}
        held = Reply(text=WORDS_OF_IT, **kind)  # type: ignore[arg-type]  # a kind of its
        async with FakeProvider(always=held) as a, gateway(tmp_path, one_route(a, leaving=leaving)) as proxy:
            asking = asyncio.create_task(proxy.ask(stream=stream))
            await a.until(lambda: a.holding == 1)
            asking.cancel()
            await _nobody_is_served(proxy)
            assert proxy.means.health.inflight == 1, "it holds its place until its provider is done"
            a.release()
            await a.until(lambda: a.served[0].ended not in ("", "held"))
            async with asyncio.timeout(5):
                await proxy.means.draining.end(5)
            [(_, settle)] = proxy.settled()
            assert (settle.outcome, settle.usage_from) == ("client_cancel", "provider")
            assert settle.usage.completion == a.served[0].completion_tokens == 8
            assert settle.billed == settle.cost > 0
            assert proxy.means.health.inflight == 0
            assert proxy.means.draining.counts == {"drained": 1, "aborted": 0}

    asyncio.run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_where_there_is_no_room_or_no_time_to_read_on_it_is_billed_as_far_as_it_came(
    tmp_path: Path, stream: bool
) -> None:
    async def story(name: str, draining: Draining, counts: dict[str, int]) -> None:
        held = Reply(kind="hold", after=3, text=WORDS_OF_IT)
        async with (
            FakeProvider(always=held) as a,
            gateway(tmp_path / name, one_route(a, leaving="bills"), draining=draining) as proxy,
        ):
            asking = asyncio.create_task(proxy.ask(stream=stream))
            await a.until(lambda: a.holding == 1)
            asking.cancel()
            await a.until(lambda: a.served[0].ended == "client_gone")
            await _nobody_is_served(proxy)
            async with asyncio.timeout(5):
                await proxy.means.draining.end(5)
            [(_, settle)] = proxy.settled()
            assert settle.outcome == "client_cancel"
            assert settle.usage.completion < 8
            assert proxy.means.draining.counts == counts

    async def both() -> None:
        now = asyncio.get_running_loop().time
        await story("no room", Draining(now, most=0), {"drained": 0, "aborted": 1})
        await story("no time", Draining(now, at_most_s=0.05), {"drained": 1, "aborted": 0})

    asyncio.run(both())


def test_a_failure_that_nobody_waits_for_costs_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        held = Reply(kind="hold_before_head", status=503)
        async with FakeProvider(always=held) as a, gateway(tmp_path, one_route(a, leaving="bills")) as proxy:
            asking = asyncio.create_task(proxy.ask())
            await a.until(lambda: a.holding == 1)
            asking.cancel()
            await _nobody_is_served(proxy)
            a.release()
            await a.refuse()
            await proxy.means.draining.end(5)
            [(_, settle)] = proxy.settled()
            assert (settle.billed, settle.cost) == (0, 0)

    asyncio.run(story())


async def _connected(proxy: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1]))


async def _undisturbed(proxy: Gateway) -> None:
    answer = await proxy.ask(stream=True, provider={"only": ["a"]})
    assert answer.text == "Hello from the fake provider."


async def _deaf(proxy: Gateway) -> socket.socket:
    """A client that asks and does not read; its own buffer is small."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", int(proxy.url.rsplit(":", 1)[1])))
    await loop.sock_sendall(client, _request(stream=True, provider={"only": ["b"]}))
    return client


def _resident() -> int:
    """Bytes of memory this process holds."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
