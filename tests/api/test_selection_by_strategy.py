"""Who answers under each strategy of a route, asked through the API. The dice are seeded: frequencies are exact."""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from builders.gateway import Gateway
from builders.market import Providers, explained, key, left_out, market, places, shares, told, who
from builders.tables import endpoint, member, route, table
from byway_contract.table import Table
from fakes.reply import Reply, status

A, B, C = "team-a/a:acme/m", "team-a/b:acme/m", "team-a/c:acme/m"


def test_balanced_draws_by_the_inverse_square_of_the_price(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        drawn = await shares(proxy, 300)
        assert drawn.total() == 300
        assert 255 <= drawn["a"] <= 285  # nine times as often: 270
        assert drawn["b"] == 300 - drawn["a"]

    told(story, tmp_path, market(("a", 1.0), ("b", 3.0)), slugs="ab")


def test_a_recent_outage_goes_behind_a_dearer_endpoint(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["b"].script.then += [status(500)]
        assert who(await proxy.ask("acme/m", provider={"only": ["b", "c"], "order": ["b"]})) == "c"
        rows = [places(await explained(proxy)) for _ in range(60)]
        assert {row[-1] for row in rows} == {"b"}
        # The documented example: A $1, B $2 with an outage, C $3. A before C nine times in ten.
        assert 47 <= sum(row == ["a", "c", "b"] for row in rows) <= 60

    told(story, tmp_path, market(("a", 1.0), ("b", 2.0), ("c", 3.0)))


def test_cost_takes_the_cheapest_and_the_unpriced_last(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        assert await shares(proxy, 10, "cheap") == Counter(b=10)
        assert places(await explained(proxy, "cheap")) == ["b", "a", "c"]
        at["b"].script.then += [status(503)]
        assert who(await proxy.ask("cheap")) == "a"

    cheap = route("cheap", member(A), member(B), member(C), strategy="Cost")
    told(story, tmp_path, market(("a", 2.0), ("b", 1.0), ("c", None), routes=[cheap]))


def test_latency_takes_the_first_to_speak(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        for slug, wait_s in (("a", 0.12), ("b", 0.06), ("c", 0.0)):
            at[slug].script.always = Reply(head_after_s=wait_s)
            assert (await proxy.ask("quick", stream=True, provider={"only": [slug]})).status == 200
        assert places(await explained(proxy, "quick")) == ["c", "b", "a"]
        assert await shares(proxy, 5, "quick") == Counter(c=5)

    quick = route("quick", member(A), member(B), member(C), strategy="Latency")
    told(story, tmp_path, market(("a", 1.0), ("b", 2.0), ("c", 3.0), routes=[quick]))


def test_throughput_takes_the_fastest_to_speak(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        for slug, gap_s in (("a", 0.02), ("b", 0.01), ("c", 0.0)):
            at[slug].script.always = Reply(gap_s=gap_s)
            assert (await proxy.ask("fast", stream=True, provider={"only": [slug]})).status == 200
        assert places(await explained(proxy, "fast")) == ["c", "b", "a"]

    fast = route("fast", member(A), member(B), member(C), strategy="Throughput")
    told(story, tmp_path, market(("a", 1.0), ("b", 2.0), ("c", 3.0), routes=[fast]))


def test_availability_takes_whoever_fails_least(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.then += [status(500)] * 2
        at["b"].script.then += [status(500)]
        for slug, times in (("a", 2), ("b", 1)):
            for _ in range(times):
                await proxy.ask("safe", provider={"only": [slug]})
        assert places(await explained(proxy, "safe")) == ["c", "b", "a"]

    safe = route("safe", member(A), member(B), member(C), strategy="Availability")
    told(story, tmp_path, market(("a", 1.0), ("b", 1.0), ("c", 9.0), routes=[safe]))


def test_weighted_draws_by_weight_whatever_the_price(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        drawn = await shares(proxy, 200, "split")
        assert 145 <= drawn["a"] <= 175  # four in five: 160
        assert drawn["c"] == 0  # weight 0 is only behind all others
        assert places(await explained(proxy, "split"))[-1] == "c"

    split = route("split", member(A, weight=80), member(B, weight=20), member(C, weight=0), strategy="Weighted")
    told(story, tmp_path, market(("a", 9.0), ("b", 1.0), ("c", 0.1), routes=[split]))


@pytest.mark.parametrize("strategy", ["Balanced", "Cost", "Latency", "Throughput", "Availability", "Weighted"])
def test_a_later_step_serves_when_all_before_it_are_out(tmp_path: Path, strategy: str) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        for _ in range(5):
            assert places(await explained(proxy, "steps"))[-1] == "c"
        at["a"].script.then += [status(500)]
        at["b"].script.then += [status(429)]
        assert who(await proxy.ask("steps")) == "c"

    members = (member(A, order=0), member(B, order=0), member(C, order=1))
    told(
        story,
        tmp_path,
        market(("a", 5.0), ("b", 5.0), ("c", 0.0), routes=[route("steps", *members, strategy=strategy)]),
    )


def test_max_attempts_ends_the_chain(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        for provider in at.values():
            provider.script.always = status(500)
        assert (await proxy.ask("two")).status == 502
        assert sum(len(provider.served) for provider in at.values()) == 2

    two = route("two", member(A), member(B), member(C), max_attempts=2)
    told(story, tmp_path, market(("a", 1.0), ("b", 1.0), ("c", 1.0), routes=[two]))


def test_ones_own_key_goes_before_a_shared_one_and_the_shared_one_steps_in(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        assert await shares(proxy, 20) == Counter(a=20)
        # Even against the caller's own order.
        assert who(await proxy.ask("acme/m", provider={"order": ["b", "a"]})) == "a"
        at["a"].script.then += [status(503)]
        assert who(await proxy.ask("acme/m")) == "b"
        assert "c" not in left_out(await explained(proxy))  # what is not ours to use is not ours to see

    def of(at: Providers) -> Table:
        own, shared = key("a", at), key("b", at, "platform", shared_with=("*",))
        others = key("c", at, "platform", shared_with=("team-b",))
        offers = [
            endpoint("team-a/a", price=30.0),
            endpoint("platform/b", price=0.1),
            endpoint("platform/c", price=0.1),
        ]
        return table([own, shared, others], offers, trusted=("platform",), anonymous="team-a")

    told(story, tmp_path, of)


def test_a_full_endpoint_gives_way_to_the_next(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = Reply(kind="hold", hold_s=5)
        held = asyncio.create_task(proxy.ask("acme/m", provider={"order": ["a"]}))
        await at["a"].until(lambda: at["a"].holding == 1)
        assert await shares(proxy, 3) == Counter(b=3)
        at["a"].release()
        await held

    told(
        story,
        tmp_path,
        market(("a", 0.0), ("b", 9.0), accounts={"a": {"max_concurrent": 1}}),
        slugs="ab",
    )
