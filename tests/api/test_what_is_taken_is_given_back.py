"""Places at endpoints, watches and settlements: whatever a request meets, nothing of it stays behind."""

import asyncio
from pathlib import Path

from builders.gateway import gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import Reply


def test_a_request_refused_by_a_routes_own_cap_takes_no_place(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider() as a:
            table = one_route(a, route={"max_output_tokens": 10}, max_concurrent=1)
            async with gateway(tmp_path, table) as proxy:
                for _ in range(3):
                    answer = await proxy.ask(max_tokens=11)
                    assert (answer.status, answer.json["error"]["param"]) == (400, "max_tokens")
                assert (await proxy.ask(max_tokens=10)).status == 200
                assert proxy.means.health.inflight == 0

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
