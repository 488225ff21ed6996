"""In which order candidates are tried."""

import random
from collections import Counter

from builders.choosing import answer, ask, fail, order, slot_of
from builders.tables import account, endpoint, member, providers, route, table
from byway_contract.table import Table
from byway_proxy.choose.choose import choose
from byway_proxy.choose.health import Health
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import Wanted
from hypothesis import given, settings
from hypothesis import strategies as st


def firsts(shop: Table, times: int, health: Health | None = None, model: str = "acme/m") -> Counter[str]:
    view, dice, health = View(shop), random.Random(11), health or Health()
    wanted = Wanted("team-a", (model,))
    return Counter(choose(wanted, view, health, 1000.0, dice).candidates[0].account.provider for _ in range(times))


def test_a_third_of_the_price_is_nine_times_as_likely_to_be_first() -> None:
    drawn = firsts(providers(("a", 1.0), ("c", 3.0)), 4000)
    assert 8 < drawn["a"] / drawn["c"] < 10.2


def test_a_recent_outage_stands_behind_all_that_are_stable() -> None:
    shop, health = providers(("a", 1.0), ("b", 2.0), ("c", 3.0)), Health()
    fail(health, slot_of(shop, "b"), now=990.0)
    for seed in range(20):
        assert order(ask(shop, health=health, dice=random.Random(seed)))[2] == "b"
    seen = {tuple(order(ask(shop, health=health, now=1030.0, dice=random.Random(s)))) for s in range(50)}
    assert any(places[0] == "b" for places in seen)


def test_one_failure_among_many_answers_is_no_outage() -> None:
    shop, health = providers(("a", 1.0), ("b", 1.0)), Health()
    for _ in range(50):
        answer(health, slot_of(shop, "a"), now=999.0)
    fail(health, slot_of(shop, "a"), now=999.0)
    answer(health, slot_of(shop, "a"), now=999.5)
    assert {order(ask(shop, health=health, dice=random.Random(s)))[0] for s in range(20)} == {"a", "b"}


def test_what_costs_nothing_comes_first_and_shares_equally() -> None:
    shop = table(
        [account("one", in_cluster=True), account("two", in_cluster=True), account("cloud")],
        [
            endpoint("team-a/one", price=None),
            endpoint("team-a/two", price=0),
            endpoint("team-a/cloud", price=0.001),
        ],
    )
    drawn = firsts(shop, 2000)
    assert drawn["cloud"] == 0
    assert 0.85 < drawn["one"] / drawn["two"] < 1.18
    assert order(ask(shop))[2] == "cloud"


def test_a_free_one_that_failed_a_moment_ago_still_goes_before_what_costs() -> None:
    shop, health = providers(("vllm", 0.0), ("cloud", 1.0)), Health()
    fail(health, slot_of(shop, "vllm"))
    assert order(ask(shop, health=health)) == ["vllm", "cloud"]


def test_what_is_full_comes_after_what_rests() -> None:
    shop = table(
        [account("full", max_concurrent=0), account("rests")], [endpoint("team-a/full"), endpoint("team-a/rests")]
    )
    health = Health()
    fail(health, slot_of(shop, "rests"), "rate_limited", retry_after_s=60.0)
    assert order(ask(shop, health=health)) == ["rests", "full"]


def test_what_has_no_price_comes_last() -> None:
    shop = providers(("unpriced", None), ("dear", 100.0))
    assert firsts(shop, 50) == {"dear": 50}


def shared_and_own() -> Table:
    return table(
        [account("own"), account("shared", "platform", shared_with=("*",))],
        [endpoint("team-a/own", price=100), endpoint("platform/shared", price=1)],
        trusted=("platform",),
    )


def test_own_keys_go_before_shared_ones_even_against_the_callers_order() -> None:
    assert order(ask(shared_and_own())) == ["own", "shared"]
    assert order(ask(shared_and_own(), provider={"order": ["shared", "own"]})) == ["own", "shared"]


def test_a_sort_is_strict_and_the_variant_means_the_same() -> None:
    shop = providers(("b", 2.0), ("a", 1.0), ("c", 3.0), ("unpriced", None))
    for seed in range(10):
        dice = random.Random(seed)
        assert order(ask(shop, provider={"sort": "price"}, dice=dice)) == ["a", "b", "c", "unpriced"]
        assert order(ask(shop, "acme/m:floor", dice=dice)) == ["a", "b", "c", "unpriced"]


def test_nitro_and_latency_sort_by_what_was_measured() -> None:
    shop, health = providers(("slow", 1.0), ("fast", 9.0)), Health()
    for name, ms, speed in (("slow", 900.0, 10.0), ("fast", 100.0, 90.0)):
        attempt = health.begin(slot_of(shop, name).slot, 999.0)
        assert attempt is not None
        health.answered(attempt, 999.0, ms)
        health.streamed(attempt, 999.0, speed)
        health.end(attempt)
    assert order(ask(shop, "acme/m:nitro", health=health)) == ["fast", "slow"]
    assert order(ask(shop, provider={"sort": "latency"}, health=health)) == ["fast", "slow"]
    # Measurements of more than five minutes ago are none.
    assert order(ask(shop, provider={"sort": "latency"}, health=health, now=1400.0)) == ["slow", "fast"]


def test_the_callers_order_comes_first_and_the_rest_follows() -> None:
    shop = providers(("a", 1.0), ("b", 1.0), ("c", 1.0))
    assert order(ask(shop, provider={"order": ["c", "elsewhere"]}))[0] == "c"
    assert sorted(order(ask(shop, provider={"order": ["c"]}))) == ["a", "b", "c"]


def two_models() -> Table:
    return table(
        [account("a"), account("b"), account("c")],
        [endpoint("team-a/a", "x", 3.0), endpoint("team-a/b", "y", 1.0), endpoint("team-a/c", "x", 2.0)],
    )


def test_what_is_slower_than_preferred_goes_last_and_not_away() -> None:
    shop, health = two_models(), Health()
    for candidate in ask(shop, "x").candidates:
        for ms in (400.0,) * 9 + (3000.0,):
            answer(health, candidate, now=999.0, ms=ms)

    def first(limit: object) -> str:
        asked = {"preferred_max_latency": limit, "sort": "price"}
        places = order(ask(shop, "x", "y", health=health, provider=asked))
        assert len(places) == 3
        return places[0]

    assert first(0.5) == "c"  # in seconds
    assert first(0.3) == "b"
    assert first({"p50": 0.5, "p90": 2}) == "b"
    assert first({"p50": 0.5, "p75": 2}) == "c"


def test_models_are_tried_in_their_order_unless_a_sort_goes_across_them() -> None:
    by_model = ask(two_models(), "x", "y", provider={"sort": "price"})
    assert order(by_model) == ["c", "a", "b"]
    assert [c.group for c in by_model.candidates] == [0, 0, 1]
    across = ask(two_models(), "x", "y", provider={"sort": {"by": "price", "partition": "none"}})
    assert order(across) == ["b", "c", "a"]
    assert [c.group for c in across.candidates] == [1, 0, 0]


def test_an_endpoint_is_in_a_chain_once() -> None:
    assert order(ask(two_models(), "y", "y")) == ["b"]


def stepped(strategy: str = "Balanced", **fields: object) -> Table:
    return table(
        [account("near"), account("far")],
        [endpoint("team-a/near", price=9), endpoint("team-a/far", price=0)],
        [
            route(
                "r",
                member("team-a/near:acme/m", max_concurrent=1),
                member("team-a/far:acme/m", order=1),
                strategy=strategy,
            )
        ],
    )


def test_a_later_step_serves_when_all_before_it_are_out_or_full() -> None:
    shop, health = stepped(), Health()
    assert order(ask(shop, "r", health=health)) == ["near", "far"]
    near = ask(shop, "r").candidates[0]
    attempt = health.begin(near.slot, 1000.0)
    assert attempt is not None
    assert order(ask(shop, "r", health=health)) == ["far", "near"]
    assert "at its cap" in ask(shop, "r", health=health).candidates[1].why
    health.end(attempt)
    fail(health, near, "rate_limited", retry_after_s=60.0)
    assert order(ask(shop, "r", health=health)) == ["far", "near"]
    assert order(ask(shop, "r", health=health, now=1061.0)) == ["near", "far"]


def test_steps_hold_under_every_strategy_and_sort() -> None:
    for strategy in ("Balanced", "Cost", "Latency", "Throughput", "Availability"):
        for sort in (None, "price", "latency", "throughput"):
            assert order(ask(stepped(strategy), "r", provider={"sort": sort})) == ["near", "far"]


def weighted(*weights: int) -> Table:
    names = [f"p{i}" for i in range(len(weights))]
    members = [member(f"team-a/{n}:acme/m", weight=w) for n, w in zip(names, weights, strict=True)]
    return table(
        [account(n) for n in names],
        [endpoint(f"team-a/{n}", price=i) for i, n in enumerate(names)],
        [route("r", *members, strategy="Weighted")],
    )


def test_weights_are_shares_whatever_the_prices() -> None:
    drawn = firsts(weighted(1, 3), 4000, model="r")
    assert 2.6 < drawn["p1"] / drawn["p0"] < 3.4


def test_weight_0_is_a_last_resort() -> None:
    shop, health = weighted(0, 1), Health()
    assert firsts(shop, 50, model="r") == {"p1": 50}
    fail(health, ask(shop, "r").candidates[0])
    assert order(ask(shop, "r", health=health)) == ["p1", "p0"]
    fail(health, ask(shop, "r").candidates[0], "unauthorized")
    assert order(ask(shop, "r", health=health)) == ["p0", "p1"]


def strategic(strategy: str) -> Table:
    names = ("a", "b", "c")
    return table(
        [account(n) for n in names],
        [endpoint(f"team-a/{n}", price=price) for n, price in zip(names, (3, 1, 2), strict=True)],
        [route("r", *(member(f"team-a/{n}:acme/m") for n in names), strategy=strategy)],
    )


def test_cost_takes_the_cheapest_first() -> None:
    assert order(ask(strategic("Cost"), "r")) == ["b", "c", "a"]


def test_latency_puts_the_unmeasured_in_the_middle_and_sometimes_first() -> None:
    shop, health = strategic("Latency"), Health()
    by_name = {c.account.provider: c for c in ask(shop, "r").candidates}
    answer(health, by_name["a"], ms=100.0)
    answer(health, by_name["c"], ms=900.0)
    drawn = Counter(tuple(order(ask(shop, "r", health=health, dice=random.Random(s)))) for s in range(400))
    assert set(drawn) == {("a", "b", "c"), ("b", "a", "c")}
    assert 5 <= drawn["b", "a", "c"] <= 40


def test_availability_takes_the_least_failing_first() -> None:
    shop, health = strategic("Availability"), Health()
    by_name = {c.account.provider: c for c in ask(shop, "r").candidates}
    for name, failures in (("a", 1), ("b", 3), ("c", 0)):
        for _ in range(failures):
            fail(health, by_name[name], now=900.0)
        answer(health, by_name[name], now=901.0)
    assert order(ask(shop, "r", health=health)) == ["c", "a", "b"]


def test_models_that_rest_are_tried_after_the_fallbacks_that_do_not() -> None:
    shop, health = two_models(), Health()
    for candidate in ask(shop, "x").candidates:
        fail(health, candidate, "rate_limited", retry_after_s=60.0)
    assert order(ask(shop, "x", "y", health=health))[0] == "b"
    assert len(order(ask(shop, "x", "y", health=health))) == 3


@settings(deadline=None, max_examples=60)
@given(
    prices=st.lists(st.none() | st.floats(0, 1000), min_size=1, max_size=6),
    failing=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from(["server_error", "rate_limited", "unauthorized"]))
    ),
    preference=st.sampled_from([None, {"sort": "price"}, {"order": ["p1", "p3"]}, {"sort": "latency"}]),
    seed=st.integers(0, 1000),
)
def test_nobody_is_ever_dropped_for_being_ill(prices, failing, preference, seed) -> None:  # type: ignore[no-untyped-def]
    shop, health = providers(*((f"p{i}", price) for i, price in enumerate(prices))), Health()
    for place, kind in failing:
        if place < len(prices):
            fail(health, slot_of(shop, f"p{place}"), kind, now=999.0)
    choice = ask(shop, health=health, provider=preference, dice=random.Random(seed))
    assert sorted(order(choice)) == sorted(f"p{i}" for i in range(len(prices)))
    standings = [min(c.standing, 1) if c.standing < 2 else c.standing for c in choice.candidates]
    assert standings.index(2) >= sum(s < 2 for s in standings) if 2 in standings else True
