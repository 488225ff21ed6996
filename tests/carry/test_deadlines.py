"""Every wait for a provider has an end: to connect, to begin, between two words, and for the whole request."""

import asyncio
import socket
from pathlib import Path

import pytest
from builders.gateway import gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import Reply


@pytest.mark.parametrize("stream", [False, True])
def test_whoever_does_not_finish_connecting_is_passed_over(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing to TLS
            a = FakeProvider(tls="good", port=silent.getsockname()[1])
            async with FakeProvider() as b, gateway(tmp_path, one_route(a, b), connect_s=0.1) as proxy:
                assert (await proxy.ask(stream=stream)).status == 200
                *refused, (_, last) = proxy.settled()
        assert {(settle.outcome, settle.reason, settle.billed) for _, settle in refused} == {
            ("failed", "connect", 0)
        }
        assert last.outcome == "ok"

    asyncio.run(story())


@pytest.mark.parametrize("stream", [False, True])
def test_a_deadline_that_passes_before_the_first_word_is_a_504_and_nobody_else_is_asked(
    tmp_path: Path, stream: bool
) -> None:
    async def story() -> None:
        async with FakeProvider(always=Reply(kind="hold_before_head")) as a, FakeProvider() as b:
            async with gateway(tmp_path, one_route(a, b), request_s=0.2) as proxy:
                answer = await proxy.ask(stream=stream)
                [(_, settle)] = proxy.settled()
            assert (answer.status, answer.json["error"]["code"]) == (504, 504)
            assert (settle.outcome, settle.reason, settle.billed) == ("failed", "deadline", 0)
            assert (len(a.served), len(b.served)) == (1, 0)

    asyncio.run(story())


@pytest.mark.parametrize(("stream", "reply"), [(True, Reply(kind="hold")), (False, Reply(kind="hold", after=1))])
def test_a_provider_that_falls_silent_is_a_504_where_there_is_no_other(
    tmp_path: Path, stream: bool, reply: Reply
) -> None:
    """A first word that does not come, or a whole answer that stops half way."""

    async def story() -> None:
        async with (
            FakeProvider(always=reply) as a,
            gateway(tmp_path, one_route(a), first_token_s=0.1, idle_s=0.1) as proxy,
        ):
            answer = await proxy.ask(stream=stream)
            settled = proxy.settled()
        assert (answer.status, answer.json["error"]["code"]) == (504, 504)
        assert {(settle.outcome, settle.billed) for _, settle in settled} == {("failed", 0)}
        assert len(settled) == len(a.served)

    asyncio.run(story())
