"""A whole proxy with a Valkey: it serves with and without it, and tells its cluster which."""

import asyncio
from pathlib import Path

import aiohttp
from builders.gateway import one_route
from builders.rates import a_minute, with_budgets
from builders.unattended import proxy_without_operator, until_it_is
from byway_contract.table import Egress, canonical, decode
from fakes.provider import FakeProvider
from fakes.valkey import valkey_server

ASKED = {"model": "smart", "messages": [{"role": "user", "content": "hi"}]}


def test_a_proxy_serves_on_when_its_valkey_is_gone_and_says_so(tmp_path: Path) -> None:
    async def story(url: str) -> None:
        async with (
            FakeProvider() as provider,
            aiohttp.ClientSession() as session,
            proxy_without_operator(tmp_path, url) as (proxy, at),
        ):

            async def ask() -> int:
                async with session.post(f"http://{at.listen}/v1/chat/completions", json=ASKED) as answer:
                    return answer.status

            async def metrics() -> str:
                async with session.get(f"http://{at.admin}/metrics") as answer:
                    return await answer.text()

            table = with_budgets(one_route(provider), a_minute(requests=2, namespace="default"))
            policies = {**table.raw["policies"], "egress": canonical(Egress(loopback=True))}
            await proxy._apply(decode({**table.raw, "policies": policies}))
            await until_it_is(200, session, at.listen, "/v1/models")
            while "byway_valkey_connected 1.0" not in await metrics():
                pass
            assert await ask() == 200
            assert proxy._report().valkey
            server.kill()
            while "byway_valkey_connected 0.0" not in await metrics():
                pass
            assert [await ask(), await ask()] == [200, 429]
            report = proxy._report()
            assert not report.valkey
            assert report.budgets["default/rate"].used == {"requests": {"": 2}}
            assert 'byway_over_rate_total{limit_of="budget"} 1.0' in await metrics()

    with valkey_server() as server:
        asyncio.run(story(server.url))
