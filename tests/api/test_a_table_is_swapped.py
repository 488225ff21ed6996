"""A new table under traffic: what runs finishes on the old one, what comes next obeys the new one."""

import asyncio
from pathlib import Path

from builders.gateway import gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import Reply


def test_a_running_stream_finishes_though_its_endpoint_is_gone_from_the_table(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider() as a, FakeProvider() as b, gateway(tmp_path, one_route(a)) as proxy:
            a.script.always = Reply(kind="hold", after=2)
            asking = asyncio.create_task(proxy.ask(stream=True))
            await a.until(lambda: a.holding == 1)
            proxy.serving.swap(one_route(b))
            proxy.means.health.retain(set(), set())
            a.release()
            answer = await asking
            assert answer.text == "Hello from the fake provider."
            assert answer.chunks[-1] == "[DONE]"
            [(_, settle)] = proxy.settled()
            assert settle.outcome == "ok"
            assert proxy.means.health.inflight == 0

    asyncio.run(story())


def test_the_next_request_obeys_the_new_table(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider() as a, FakeProvider() as b, gateway(tmp_path, one_route(a)) as proxy:
            assert (await proxy.ask()).json["provider"] == "Provider A"
            proxy.serving.swap(one_route(b, a))
            assert (await proxy.ask()).json["provider"] == "Provider A"
            assert (len(a.served), len(b.served)) == (1, 1)

    asyncio.run(story())
