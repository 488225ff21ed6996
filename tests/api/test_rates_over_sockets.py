"""Limits of a minute over real sockets: who is refused how, and who is tried instead."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import openai
import pytest
from builders.gateway import Answer, Gateway, gateway, one_route
from builders.rates import a_minute, with_budgets
from byway_contract.budget import Budget
from byway_contract.grants import Match
from byway_contract.rates import overshoot
from fakes.provider import FakeProvider
from fakes.reply import status

Story = Callable[[Gateway, FakeProvider, FakeProvider], Awaitable[None]]


def minute(requests: int | None = None, tokens: int | None = None, **how: object) -> Budget:
    return a_minute(requests, tokens, namespace="default", **how)  # type: ignore[arg-type]  # of a_minute


def told(story: Story, folder: Path, *budgets: Budget, **account: object) -> None:
    """A route over two providers, a before b."""

    async def tell() -> None:
        async with FakeProvider() as a, FakeProvider() as b:
            table = with_budgets(one_route(a, b, **account), *budgets)
            async with gateway(folder, table) as proxy:
                await story(proxy, a, b)

    asyncio.run(tell())


def test_over_a_budgets_rate_a_caller_is_told_which_and_when_to_come_again(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        assert [(await proxy.ask()).status for _ in range(2)] == [200, 200]
        refused = await proxy.ask()
        error, headers = refused.json["error"], refused.headers
        assert (refused.status, error["code"], error["type"]) == (429, 429, "rate_limit_error")
        assert error["metadata"]["error_type"] == "rate_limit_exceeded"
        assert error["metadata"]["scope"] == "default/rate"
        assert error["message"].startswith('budget "default/rate" allows 2 requests a minute, and they are used up')
        assert (headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == ("2", "0")
        wait = int(headers["Retry-After"])
        assert 55 <= wait <= 61
        assert abs(int(headers["X-RateLimit-Reset"]) / 1000 - time.time() - wait) < 2
        assert error["availability"]["retry_after"] == wait
        assert (len(a.served), len(b.served)) == (2, 0)
        assert len(proxy.settled()) == 2

    told(story, tmp_path, minute(requests=2))


def test_an_answer_says_nothing_of_rates(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        assert not [name for name in (await proxy.ask()).headers if "ratelimit" in name.lower()]

    told(story, tmp_path, minute(requests=2))


def test_a_request_larger_than_a_minute_is_refused_for_good(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        refused = await proxy.ask(max_tokens=5000)
        assert refused.status == 429
        assert "this request alone asks for 5,0" in refused.json["error"]["message"]
        assert refused.headers["x-should-retry"] == "false"
        assert "Retry-After" not in refused.headers
        assert not a.served
        assert (await proxy.ask(max_tokens=100)).status == 200

    told(story, tmp_path, minute(tokens=5000))


@pytest.mark.parametrize("streamed", [False, True])
def test_tokens_that_an_answer_did_not_need_are_there_for_the_next(tmp_path: Path, streamed: bool) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        asked = [await proxy.ask(max_tokens=900, stream=streamed) for _ in range(3)]
        assert [one.status for one in asked] == [200] * 3
        used = sum(settle.usage.prompt + settle.usage.completion for _, settle in proxy.settled())
        assert rate_report(proxy)["tokens"] == {"": used}

    told(story, tmp_path, minute(tokens=1000))


def test_attempts_that_fail_count_one_request_and_no_tokens(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.then += [status(500)]
        assert (await proxy.ask()).json["provider"] == "Provider B"
        (_, first), (_, second) = proxy.settled()
        assert (first.outcome, second.outcome) == ("failed", "ok")
        tokens = second.usage.prompt + second.usage.completion
        assert rate_report(proxy) == {"requests": {"": 1}, "tokens": {"": tokens}}

    told(story, tmp_path, minute(requests=5, tokens=5000))


def test_who_only_observes_refuses_nobody(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        assert [(await proxy.ask()).status for _ in range(3)] == [200] * 3
        rates = proxy.means.health.rates
        assert set(rates.report(proxy.means.now(), 0.0)["default/rate"].refused) == {""}

    told(story, tmp_path, minute(requests=1, observe=True))


def test_a_budget_of_one_account_sends_its_callers_to_the_next(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        assert [provider(await proxy.ask()) for _ in range(3)] == ["A", "B", "B"]

    told(story, tmp_path, minute(requests=1, match=Match(accounts=("default/a",))))


def test_a_provider_key_over_its_rate_is_full_and_the_next_is_tried(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        assert [provider(await proxy.ask()) for _ in range(4)] == ["A", "A", "B", "B"]
        refused = await proxy.ask()
        assert (refused.status, refused.json["error"]["availability"]["code"]) == (429, "capacity_exhausted")
        assert 50 <= int(refused.headers["Retry-After"]) <= 61
        assert "X-RateLimit-Limit" not in refused.headers
        assert "is at the rate set for its provider key" in refused.json["error"]["message"]
        assert (len(a.served), len(b.served)) == (2, 2)
        assert [intent.attempt_no for intent, _ in proxy.settled()[2:]]

    told(story, tmp_path, requests_per_minute=2)


def test_a_provider_keys_tokens_count_what_the_provider_says(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        seen = [provider(await proxy.ask(max_tokens=50)) for _ in range(6)]
        assert seen[0] == "A"
        assert "B" in seen
        assert seen == sorted(seen)

    told(story, tmp_path, tokens_per_minute=120)


def test_the_openai_client_sees_a_rate_limit_and_comes_again_if_told_to(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        hi: list[object] = [{"role": "user", "content": "hi"}]
        async with openai.AsyncOpenAI(base_url=proxy.url + "/v1", api_key="any", max_retries=0) as client:
            await client.chat.completions.create(model="smart", messages=hi)  # type: ignore[arg-type]  # a message
            with pytest.raises(openai.RateLimitError) as caught:
                await client.chat.completions.create(model="smart", messages=hi)  # type: ignore[arg-type]  # a message
        assert caught.value.response.headers["retry-after"].isdigit()
        assert caught.value.type == "rate_limit_error"
        assert len(a.served) == 1

    told(story, tmp_path, minute(requests=1))


def test_three_proxies_keep_a_limit_together(tmp_path: Path) -> None:
    limit = 10

    async def tell() -> None:
        async with FakeProvider() as a, AsyncExitStack() as stack:
            table = with_budgets(one_route(a), minute(requests=limit))
            fleet = [await stack.enter_async_context(gateway(tmp_path / str(n), table)) for n in range(3)]
            for proxy in fleet:
                proxy.means.health.proxies = 3
            answers = await asyncio.gather(*(proxy.ask() for proxy in fleet for _ in range(8)))
            statuses = [answer.status for answer in answers]
            assert statuses.count(200) == limit + overshoot(limit, 3) == len(a.served)
            assert statuses.count(429) == len(statuses) - statuses.count(200)

    for number in range(3):
        (tmp_path / str(number)).mkdir()
    asyncio.run(tell())


def rate_report(proxy: Gateway) -> dict[str, dict[str, int]]:
    return proxy.means.health.rates.report(proxy.means.now(), time.time())["default/rate"].used


def provider(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    name: str = answer.json["provider"]
    return name.removeprefix("Provider ")
