"""Places at endpoints, watches and settlements: whatever a request meets, nothing of it stays behind."""

import asyncio
from pathlib import Path

from builders.gateway import gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import Reply, status


def test_a_request_that_nobody_answers_keeps_no_place(tmp_path: Path) -> None:
    async def story() -> None:
        failing = FakeProvider(always=status(500))
        async with failing as a, gateway(tmp_path, one_route(a, max_concurrent=1)) as proxy:
            for _ in range(3):
                assert (await proxy.ask()).status == 502
            assert proxy.means.health.inflight == 0
            a.script.always = Reply()
            assert (await proxy.ask()).status == 200

    asyncio.run(story())


def test_a_stream_that_outlasts_the_drain_ends_with_an_error_its_client_understands(tmp_path: Path) -> None:
    async def story() -> None:
        held = FakeProvider(always=Reply(kind="hold", after=3))
        async with held as a, gateway(tmp_path, one_route(a)) as proxy:
            asking = asyncio.create_task(proxy.ask(stream=True))
            await a.until(lambda: a.holding == 1)
            proxy.means.deadlines.expire_all()
            *_, last, done = (await asking).chunks
            assert (last["error"]["code"], done) == (504, "[DONE]")
            [(_, settle)] = proxy.settled()
            assert (settle.outcome, settle.reason) == ("upstream_cut", "deadline")

    asyncio.run(story())
