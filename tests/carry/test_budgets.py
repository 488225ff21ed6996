"""A proxy before a real ledger: what a budget has left decides who is served, and the books say the same."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest
from builders.gateway import Gateway, gateway, one_route
from builders.purses import budget, counters, floored, held, line, priced, rule, under
from byway_contract.budget import Downgrade
from byway_contract.grants import Match
from byway_contract.money import NANO, Price
from byway_contract.table import Account, Endpoint, Floor, SectionName, Table, canonical, decode
from fakes.provider import FakeProvider
from fakes.reply import FAULTS, Reply
from fakes.usage import ledger_at, until

MONEY = "default/team/Month/nanodollars"


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
                await stack.enter_async_context(gateway(tmp_path / f"p{n}", table, ledger=ledger))
                for n in range(10)
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


def test_a_budget_that_is_all_in_flight_is_402_also_where_a_second_endpoint_could_answer(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            FakeProvider(always=Reply(kind="hold_before_head")) as a,
            FakeProvider() as b,
            held(tmp_path, one_route(a, b), budget(line(500_000)), wait_s=0.2) as (proxy, _),
        ):
            first = asyncio.create_task(proxy.ask(max_tokens=100))
            await a.until(lambda: a.holding == 1)
            refused = await proxy.ask(max_tokens=100)
            assert refused.status == 402, refused.body
            assert refused.json["error"]["metadata"]["reason"] == "in_flight_budget_exhausted"
            a.release()
            assert (await first).status == 200
            assert not b.served

    told(story)


def test_who_has_waited_for_one_budget_may_still_be_served_by_another(tmp_path: Path) -> None:
    async def story() -> None:
        full = budget(line(500_000), name="full", match=Match(accounts=("default/a",)))
        other = budget(line(NANO), name="other", match=Match(accounts=("default/b",)))
        async with (
            FakeProvider(always=Reply(kind="hold_before_head")) as a,
            FakeProvider() as b,
            held(tmp_path, one_route(a, b), full, other, wait_s=0.2) as (proxy, _),
        ):
            first = asyncio.create_task(proxy.ask(max_tokens=100))
            await a.until(lambda: a.holding == 1)
            answer = await proxy.ask(max_tokens=100)
            assert (answer.status, answer.json.get("provider")) == (200, "Provider B")
            a.release()
            assert (await first).status == 200

    told(story)


def test_what_was_not_needed_can_be_spent_by_others_at_once(tmp_path: Path) -> None:
    """Each holds far more than it costs, so only what comes back makes the budget usable."""

    async def story() -> None:
        always = Reply(text="one two three four five", prompt_tokens=10)
        cost = 10 * 1000 + 5 * 2000
        team = budget(line(100 * cost))
        async with FakeProvider(always=always) as provider, AsyncExitStack() as stack:
            ledger = await stack.enter_async_context(ledger_at(tmp_path))
            await rule(ledger, team)
            table = under(one_route(provider), team)
            proxies = [
                await stack.enter_async_context(gateway(tmp_path / f"p-{n}", table, ledger=ledger))
                for n in range(3)
            ]
            # A hold is some sixteen times the cost, so six fit at once.
            clients = [_asks_until_refused(proxy) for proxy in proxies for _ in range(3)]
            statuses = sum(await asyncio.gather(*clients), Counter[int]())
            assert statuses.keys() == {200, 402} or statuses.keys() == {200, 402, 403}
            for proxy in proxies:
                await booked(proxy)
            spent = (await counters(ledger))[MONEY].spent
            hold = sum(amount for _, amount in proxies[0].settled()[0][0].legs)
            assert spent == cost * statuses[200]
            assert 100 * cost - hold < spent <= 100 * cost

    told(story)


async def _asks_until_refused(proxy: Gateway) -> Counter[int]:
    seen: Counter[int] = Counter()
    while not (seen[402] or seen[403]):
        seen[(await proxy.ask(max_tokens=100)).status] += 1
    return seen


def test_a_failed_attempt_is_counted_as_a_request_and_as_nothing_else(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO), line(10**6, "Day", "tokens"), line(5, "Day", "requests"))
        bad, good = FAULTS["503"], Reply(text="one two", prompt_tokens=3)
        async with (
            FakeProvider(always=bad) as a,
            FakeProvider(always=good) as b,
            held(tmp_path, one_route(a, b), team) as (proxy, ledger),
        ):
            assert (await proxy.ask(max_tokens=10)).status == 200
            await booked(proxy)
            found = {one.limit.rsplit("/", 1)[1]: one for one in (await counters(ledger)).values()}
            assert {unit: one.spent for unit, one in found.items()} == {
                "nanodollars": 3 * 1000 + 2 * 2000,
                "tokens": 5,
                "requests": 1,
            }
            assert not any(one.unmetered or one.overrun for one in found.values())

    told(story)


def test_a_candidate_that_was_not_asked_is_no_attempt(tmp_path: Path) -> None:
    async def story() -> None:
        dear = budget(line(1), name="dear", match=Match(accounts=("default/a",)))
        requests = budget(line(5, "Day", "requests"), name="all")
        async with (
            FakeProvider() as a,
            FakeProvider() as b,
            held(tmp_path, one_route(a, b), dear, requests) as (proxy, ledger),
        ):
            answer = await proxy.ask(max_tokens=10)
            assert (answer.status, answer.json["provider"]) == (200, "Provider B")
            [(intent, _)] = proxy.settled()
            assert intent.attempt_no == 1
            await booked(proxy)
            assert (await counters(ledger))["default/all/Day/requests"].spent == 1

    told(story)


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_of_untold_usage_is_never_charged_more_than_was_set_aside(tmp_path: Path, stream: bool) -> None:
    async def story() -> None:
        always = Reply(text="extraordinarily longwinded", usage="never", finish="length")
        team = budget(line(NANO))
        free_prompts = Price(0, 2 * NANO)
        async with FakeProvider(always=always) as provider:
            table = priced(one_route(provider), free_prompts)
            async with held(tmp_path, table, team) as (proxy, ledger):
                assert (await proxy.ask(max_tokens=2, stream=stream)).status == 200
                [(intent, settle)] = proxy.settled()
                [(_, set_aside)] = intent.legs
                assert (settle.usage_from, settle.billed) == ("estimated", set_aside)
                await booked(proxy)
                counter = (await counters(ledger))[MONEY]
                assert (counter.spent, counter.overrun) == (set_aside, 0)

    told(story)


def test_what_providers_told_of_other_answers_is_what_an_untold_one_is_charged(tmp_path: Path) -> None:
    async def story() -> None:
        telling = Reply(text="one two three", prompt_tokens=40)
        async with (
            FakeProvider(always=telling) as provider,
            held(tmp_path, one_route(provider), budget(line(NANO))) as (proxy, _),
        ):
            for usage in ("asked", "never", "asked", "never"):
                provider.script.then += [msgspec.structs.replace(telling, usage=usage)]
            for stream in (False, False, True, True):
                assert (await proxy.ask(stream=stream)).status == 200
            settled = [settle for _, settle in proxy.settled()]
            assert [one.usage_from for one in settled] == ["provider", "estimated"] * 2
            assert {(one.usage.prompt, one.usage.completion) for one in settled} == {(40, 3)}

    told(story)


def test_what_costs_nothing_is_served_although_all_money_is_spent(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(0))
        async with FakeProvider() as provider, held(tmp_path, one_route(provider, free=1), team) as (proxy, _):
            assert (await proxy.ask()).status == 200

    told(story)


def test_an_endpoint_without_a_price_is_refused_where_dollars_are_counted(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO))
        async with (
            FakeProvider() as provider,
            held(tmp_path, priced(one_route(provider), None), team) as (proxy, _),
        ):
            refused = await proxy.ask()
            assert refused.status == 403
            message = refused.json["error"]["message"]
            assert 'endpoint "default/a:m" has no price, and budget "default/team" counts dollars' in message
            assert proxy.means.witness.report({})["default/team"].unpriced == ("default/a:m",)
            assert not provider.served

    told(story)


def test_a_budget_that_observes_refuses_nobody_and_counts(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(1), observe=True)
        always = Reply(text="one two three", prompt_tokens=7)
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, one_route(provider), team) as (proxy, ledger),
        ):
            assert (await proxy.ask()).status == 200
            assert proxy.means.witness.report({})["default/team"].counted == 1
            await booked(proxy)
            counter = (await counters(ledger))[MONEY]
            assert (counter.spent, counter.unmetered) == (13_000, 1)

    told(story)


def test_where_the_platform_demands_a_budget_nobody_is_served_without_one(tmp_path: Path) -> None:
    async def story() -> None:
        floor = Floor(("default",), require_budget=True)
        async with FakeProvider() as provider:
            table = floored(one_route(provider), floor)
            tokens, money = budget(line(10**9, "Day", "tokens")), budget(line(NANO), name="money")
            async with held(tmp_path / "a", table, tokens) as (proxy, _):
                refused = await proxy.ask()
                assert refused.status == 403
                assert "only under a Budget in US dollars" in refused.json["error"]["message"]
            async with held(tmp_path / "b", table, tokens, money) as (proxy, _):
                assert (await proxy.ask()).status == 200

    told(story)


def test_while_the_ledger_is_away_what_is_held_serves_on_and_then_it_is_503(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO))
        async with FakeProvider() as provider:
            table = under(one_route(provider), team)
            async with AsyncExitStack() as up, AsyncExitStack() as stack:
                ledger = await up.enter_async_context(ledger_at(tmp_path))
                await rule(ledger, team)
                proxy = await stack.enter_async_context(gateway(tmp_path, table, ledger=ledger, wait_s=0.3))
                assert (await proxy.ask(max_tokens=10)).status == 200
                await up.aclose()
                served = 1
                while (answer := await proxy.ask(max_tokens=10)).status == 200:
                    served += 1
                    assert served < 1000
                assert answer.status == 503
                assert answer.json["error"]["metadata"]["reason"] == "ledger_unavailable"
                assert int(answer.headers["Retry-After"]) >= 1
                assert not proxy.means.asking.answers
                async with ledger_at(tmp_path):
                    await until(lambda: proxy.means.asking.answers)
                    assert (await proxy.ask(max_tokens=10)).status == 200
                    await booked(proxy)
                    assert (await counters(ledger))[MONEY].metered == served + 1

    told(story)


def test_a_client_that_leaves_while_it_waits_leaves_nothing_held(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(10 * 2000 + 500_000))
        hold = Reply(kind="hold_before_head")
        async with (
            FakeProvider(always=hold) as provider,
            held(tmp_path, one_route(provider), team, wait_s=20.0) as (proxy, ledger),
        ):
            first = asyncio.create_task(proxy.ask(max_tokens=150))
            await until(lambda: provider.holding == 1)
            second = asyncio.create_task(proxy.ask(max_tokens=150))
            await until(lambda: len(proxy.means.asking._waiting) == 1)
            second.cancel()
            await until(lambda: len(proxy.means.asking._waiting) == 0)
            first.cancel()
            await asyncio.gather(first, second, return_exceptions=True)
            await until(lambda: not proxy.means.meter.open)
            await booked(proxy)
            await proxy.means.asking.leave(2.0)
            await booked(proxy)
            assert (await counters(ledger))[MONEY].reserved == 0

    told(story)


def test_a_tenant_is_told_of_the_platforms_budget_and_nothing_of_others(tmp_path: Path) -> None:
    async def story() -> None:
        shared = budget(line(1), namespace="platform", name="all")
        async with FakeProvider() as provider, held(tmp_path, one_route(provider), shared) as (proxy, _):
            error = (await proxy.ask()).json["error"]
            assert error["metadata"]["scope"] == "platform/all"
            assert not {"limit_usd", "spend_usd", "max_tokens"} & error["metadata"].keys()
            assert "afford" not in error["message"]

    told(story)


def test_where_nobody_says_how_long_an_answer_may_be_the_provider_is_told(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO))
        asked: list[Any] = []
        async with FakeProvider() as provider, held(tmp_path, one_route(provider), team) as (proxy, _):
            provider.choose = lambda request: asked.append(json.loads(request.body))
            await proxy.ask()
            await proxy.ask(max_completion_tokens=7)
            assert asked[0]["max_tokens"] == 4096
            assert "max_tokens" not in asked[1]

    told(story)


def two_models(paid: FakeProvider, free: FakeProvider) -> Table:
    """`smart` and `acme/m` cost money; `cheap` is a Service that costs nothing."""
    table = one_route(paid)
    sections: dict[SectionName, dict[str, Any]] = {name: dict(objects) for name, objects in table.raw.items()}
    service = Account("default", "vllm", "vllm", "vLLM", free.url, in_cluster=True, auth="none")
    sections["accounts"]["svc:default/vllm:80"] = canonical(service)
    cheap = Endpoint("svc:default/vllm:80", "cheap", "cheap", price=None, features=())
    sections["endpoints"]["svc:default/vllm:80:cheap"] = canonical(cheap)
    return decode(sections)


def test_from_its_percentage_on_a_budget_has_another_model_answer_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        always = Reply(text="one two three", prompt_tokens=7)
        cost = 7 * 1000 + 3 * 2000
        team = budget(line(100 * cost), downgrade=Downgrade("cheap", 50))
        async with (
            FakeProvider(always=always) as paid,
            FakeProvider(keys=None) as free,
            held(tmp_path, two_models(paid, free), team) as (proxy, ledger),
        ):
            for _ in range(200):
                answer = await proxy.ask(max_tokens=20)
                assert answer.status == 200
                if answer.json["model"] == "cheap":
                    break
            assert answer.headers["X-Byway-Downgraded"] == "cheap; budget=default/team"
            await booked(proxy)
            assert 30 * cost < (await counters(ledger))[MONEY].spent < 60 * cost

    told(story)


def test_when_all_is_spent_what_costs_nothing_answers_instead_and_without_such_a_model_it_is_403(
    tmp_path: Path,
) -> None:
    async def story() -> None:
        async with FakeProvider() as paid, FakeProvider(keys=None) as free:
            table, gone = two_models(paid, free), budget(line(0), downgrade=Downgrade("cheap"))
            async with held(tmp_path / "a", table, gone) as (proxy, _):
                for _ in range(2):
                    answer = await proxy.ask(provider={"only": ["a"]})
                    assert (answer.status, answer.json["model"]) == (200, "cheap")
                    assert answer.headers["X-Byway-Downgraded"] == "cheap; budget=default/team"
            for other in ("nobody-has-this", "smart"):
                wrong = budget(line(0), downgrade=Downgrade(other))
                async with held(tmp_path / other, table, wrong) as (proxy, _):
                    assert (await proxy.ask()).status == 403
            assert not paid.served

    told(story)


def test_what_was_held_for_an_attempt_that_the_log_did_not_take_is_free_again(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO))
        async with FakeProvider() as provider, held(tmp_path, one_route(provider), team) as (proxy, _):
            assert (await proxy.ask(max_tokens=10)).status == 200
            # As a full disk leaves it.
            proxy.records.trouble, proxy.records._have_spare, proxy.records._on_spare = "full", False, True
            proxy.records._try_again_s = 3600.0
            assert (await proxy.ask(max_tokens=10)).status == 503
            assert proxy.means.asking.held((MONEY, "")) == 0
            assert len(provider.served) == 1

    told(story)
