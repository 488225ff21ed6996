"""A proxy before a real ledger: what a budget has left decides who is served, and the books say the same."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from builders.gateway import Gateway, gateway, one_route
from builders.purses import budget, counters, line, priced, rule, under
from byway_contract.budget import Budget
from byway_contract.money import NANO, Price
from byway_contract.table import Table
from fakes.provider import FakeProvider
from fakes.reply import Reply
from fakes.usage import ledger_at

MONEY = "default/team/Month/nanodollars"


@asynccontextmanager
async def held(folder: Path, table: Table, *budgets: Budget, **settings: Any) -> AsyncIterator[tuple[Gateway, str]]:
    async with ledger_at(folder) as ledger:
        await rule(ledger, *budgets)
        async with gateway(folder, under(table, *budgets), ledger=ledger, **settings) as proxy:
            yield proxy, ledger


async def booked(proxy: Gateway) -> None:
    assert await proxy.shipper.flush(5.0)


def told(story: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(_run(story), 30))


async def _run(story: Callable[[], Awaitable[None]]) -> None:
    await story()


def test_what_a_request_held_and_what_it_cost_is_in_the_books_to_the_nanodollar(tmp_path: Path) -> None:
    async def story() -> None:
        always = Reply(text="one two three", prompt_tokens=7)
        team = budget(line(NANO))
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, one_route(provider), team) as (proxy, ledger),
        ):
            answer = await proxy.ask(max_tokens=100)
            assert answer.status == 200, answer.body
            [(intent, settle)] = proxy.settled()
            cost = 7 * 1000 + 3 * 2000
            [(grant, drawn)] = settle.legs
            assert (drawn, settle.billed) == (cost, cost)
            [(named, set_aside)] = intent.legs
            assert named == grant
            assert set_aside >= 7 * 1000 + 100 * 2000
            await booked(proxy)
            counter = (await counters(ledger))[MONEY]
            assert (counter.spent, counter.metered, counter.unmetered, counter.overrun) == (cost, 1, 0, 0)

    told(story)


def test_a_budget_that_is_spent_refuses_with_403_and_says_when_it_resets(tmp_path: Path) -> None:
    async def story() -> None:
        always = Reply(text="one two three", prompt_tokens=7)
        team = budget(line(2, "Day", "requests"))
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, one_route(provider), team) as (proxy, _),
        ):
            assert [(await proxy.ask()).status for _ in range(3)] == [200, 200, 403]
            error = (await proxy.ask()).json["error"]
            assert error["metadata"]["reason"] == "budget_spent"
            assert error["metadata"]["scope"] == "default/team"
            assert error["metadata"]["resets_at"].endswith("T00:00:00Z")
            assert 'budget "default/team" is spent: 2 of 2 requests a day' in error["message"]
            assert len(provider.served) == 2

    told(story)


def test_what_does_not_fit_is_402_and_told_what_would(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(1_000_000))
        async with FakeProvider() as provider, held(tmp_path, one_route(provider), team) as (proxy, _):
            refused = await proxy.ask(max_tokens=5000)
            assert refused.status == 402
            error = refused.json["error"]
            assert "You requested up to" in error["message"]
            assert "Retry-After" not in refused.headers
            fits = error["metadata"]["max_tokens"]
            assert not provider.served
            assert (await proxy.ask(max_tokens=fits + 2)).status == 402
            assert (await proxy.ask(max_tokens=fits)).status == 200

    told(story)


def test_ten_proxies_and_a_thousand_requests_at_once_never_spend_more_than_a_budget_of_twenty(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        # What it costs is what is held: the prompt is free and the answer as long as it may be.
        always = Reply(text="one two three four five", finish="length", head_after_s=0.05)
        cost = 5 * 2000
        team = budget(line(20 * cost))
        async with FakeProvider(always=always) as provider, AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(ledger_at(tmp_path))
            await rule(ledger, team)
            table = under(priced(one_route(provider), Price(0, 2 * NANO)), team)
            proxies = [
                await stack.enter_async_context(gateway(tmp_path / f"p{n}", table, ledger=ledger)) for n in range(10)
            ]
            asked = [proxy.ask(max_tokens=5) for proxy in proxies for _ in range(100)]
            statuses = Counter(answer.status for answer in await asyncio.gather(*asked))
            assert statuses.keys() <= {200, 402, 403}
            assert statuses[200] == len(provider.served) == 20
            for proxy in proxies:
                await booked(proxy)
            counter = (await counters(ledger))[MONEY]
            assert (counter.spent, counter.reserved, counter.overrun) == (20 * cost, 0, 0)

    told(story)
