"""Who may serve a request at all, and what its caller is told if nobody may."""

import contextlib

import pytest
from builders.choosing import ask, order, reasons
from builders.tables import account, endpoint, member, providers, route, table
from byway_contract.table import DataPolicy
from byway_proxy.choose.choose import Nothing
from byway_proxy.choose.explain import explain, explain_nothing
from byway_proxy.choose.wanted import PLAIN, BadPreference, MaxPrice, preferences
from hypothesis import given
from hypothesis import strategies as st

THREE = providers(("azure", 1.0), ("bedrock", 2.0), ("cerebras", 3.0))


def test_only_is_an_intersection_and_ignore_a_union() -> None:
    both = ask(THREE, provider={"only": ["azure", "bedrock"], "ignore": ["azure"]})
    assert order(both) == ["bedrock"]
    assert reasons(both.left_out) == {"azure": "ignore", "cerebras": "only"}


def test_slugs_match_any_case_display_names_and_the_base_but_no_tier() -> None:
    regional = table(
        [account("acme/eu", name="a"), account("acme/flex", name="b"), account("other", display_name="Acme Cloud")],
        [endpoint("team-a/a"), endpoint("team-a/b"), endpoint("team-a/other")],
    )
    assert order(ask(regional, provider={"only": ["ACME"]})) == ["acme/eu"]
    assert order(ask(regional, provider={"only": ["acme/flex"]})) == ["acme/flex"]
    assert order(ask(regional, provider={"only": ["acme cloud"]})) == ["other"]


def test_what_cannot_be_satisfied_is_404_and_not_503() -> None:
    with pytest.raises(Nothing) as nothing:
        ask(THREE, provider={"max_price": {"prompt": "0.1"}})
    error = nothing.value
    assert (error.status, error.code, error.excluded_by) == (404, "constraint_filtered", ("max_price",))
    assert error.constraint is not None
    assert error.constraint[0] == "provider.max_price"
    assert "prompt price is $1/M, above $0.1/M" in error.message
    assert [row["reason"] for row in explain_nothing(error)] == ["max_price"] * 3


def test_max_price_is_taken_as_number_or_text_and_leaves_out_the_unpriced() -> None:
    shop = providers(("cheap", 1.0), ("dear", 3.0), ("unpriced", None))
    for price in ("2", 2, 2.0):
        choice = ask(shop, provider={"max_price": {"prompt": price, "completion": price}})
        assert order(choice) == ["cheap"]
        assert reasons(choice.left_out) == {"dear": "max_price", "unpriced": "max_price"}


def test_an_unpriced_service_in_the_cluster_costs_nothing() -> None:
    vllm = table([account("vllm", in_cluster=True)], [endpoint("team-a/vllm", price=None)])
    assert order(ask(vllm, provider={"max_price": {"prompt": 0}})) == ["vllm"]


def test_zero_retention_and_no_collection_take_only_what_is_known() -> None:
    shop = table(
        [
            account("none", may_train=False, retention_days=0),
            account("stores", may_train=False, retention_days=30),
            account("trains", may_train=True, retention_days=0),
            account("unknown"),
        ],
        [endpoint(f"team-a/{name}") for name in ("none", "stores", "trains", "unknown")],
    )
    assert order(ask(shop, provider={"data_collection": "deny"})) == ["none"]
    assert sorted(order(ask(shop, provider={"zdr": True}))) == ["none", "trains"]
    assert order(ask(shop, provider={"zdr": True, "data_collection": "deny"})) == ["none"]
    assert len(order(ask(shop, provider={"zdr": False, "data_collection": "allow"}))) == 4


def test_a_request_cannot_relax_what_its_route_demands() -> None:
    strict = table(
        [account("p")],
        [endpoint("team-a/p")],
        [route("r", member("team-a/p:acme/m"), policy=DataPolicy(max_retention_days=0))],
    )
    with pytest.raises(Nothing):
        ask(strict, "r", provider={"zdr": False, "data_collection": "allow"})


def test_room_is_judged_only_where_it_plainly_cannot_fit() -> None:
    shop = table(
        [account("small"), account("large"), account("unknown")],
        [
            endpoint("team-a/small", context_length=1000, max_output_tokens=100),
            endpoint("team-a/large", context_length=100_000, max_output_tokens=10_000),
            endpoint("team-a/unknown"),
        ],
    )
    assert len(order(ask(shop, prompt_bytes=8000))) == 3
    assert reasons(ask(shop, prompt_bytes=8008).left_out) == {"small": "context_length"}
    assert reasons(ask(shop, max_tokens=101).left_out) == {"small": "max_tokens"}


def test_a_picture_goes_to_those_that_take_pictures() -> None:
    shop = table(
        [account("blind"), account("sees")],
        [
            endpoint("team-a/blind"),
            endpoint("team-a/sees", input_modalities=("text", "image"), context_length=1000),
        ],
    )
    # A long request, but the bytes of a picture say nothing about its tokens.
    choice = ask(shop, modalities=("text", "image"), prompt_bytes=10**7)
    assert order(choice) == ["sees"]
    assert reasons(choice.left_out) == {"blind": "modality"}


def test_tools_are_a_soft_wish_until_parameters_are_required() -> None:
    shop = table(
        [account("with"), account("without"), account("unknown")],
        [
            endpoint("team-a/with", features=("tools",)),
            endpoint("team-a/without", features=("json_object",)),
            endpoint("team-a/unknown"),
        ],
    )
    tools = frozenset(["tools"])
    soft = ask(shop, features=tools)
    assert sorted(order(soft)) == ["unknown", "with"]
    assert reasons(soft.left_out) == {"without": "lacks_feature"}
    assert order(ask(shop, features=tools, provider={"require_parameters": True})) == ["with"]
    none = table([account("without")], [endpoint("team-a/without", features=())])
    assert order(ask(none, features=tools)) == ["without"]
    with pytest.raises(Nothing) as nothing:
        ask(none, features=tools, provider={"require_parameters": True})
    assert nothing.value.excluded_by == ("require_parameters",)


def test_without_fallbacks_only_the_first_is_tried_or_those_in_order() -> None:
    top = ask(THREE, provider={"allow_fallbacks": False, "sort": "price"})
    assert order(top) == ["azure"]
    assert reasons(top.left_out) == {"bedrock": "allow_fallbacks", "cerebras": "allow_fallbacks"}
    listed = ask(THREE, provider={"allow_fallbacks": False, "order": ["cerebras", "azure", "elsewhere"]})
    assert order(listed) == ["cerebras", "azure"]
    assert reasons(listed.left_out) == {"bedrock": "order"}


def test_what_does_nothing_here_is_named() -> None:
    asked = {"quantizations": ["fp8"], "max_price": {"image": 1}, "sort": "exacto"}
    assert preferences(asked).ignored == (
        "provider.quantizations",
        "provider.max_price.image",
        "provider.sort.exacto",
    )


def test_a_wrong_preference_is_told_with_its_path_and_the_way_out() -> None:
    for raw, path in (
        ("azure", "provider"),
        ({"order": "azure"}, "provider.order"),
        ({"only": [1]}, "provider.only"),
        ({"allow_fallbacks": "no"}, "provider.allow_fallbacks"),
        ({"sort": "cheap"}, "provider.sort"),
        ({"sort": {"by": "price", "partition": "all"}}, "provider.sort.partition"),
        ({"data_collection": "never"}, "provider.data_collection"),
        ({"max_price": {"prompt": "a lot"}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": True}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": float("nan")}}, "provider.max_price.prompt"),
        ({"max_price": {"prompt": -1}}, "provider.max_price.prompt"),
        ({"max_price": 3}, "provider.max_price"),
        ({"preferred_max_latency": {"p95": 3}}, "provider.preferred_max_latency"),
        ({"preferred_min_throughput": "fast"}, "provider.preferred_min_throughput.p50"),
    ):
        with pytest.raises(BadPreference) as wrong:
            preferences(raw)
        assert wrong.value.path == path
        assert "want" in wrong.value.message


def test_silence_and_nulls_are_no_preference() -> None:
    assert preferences(None) is PLAIN
    assert preferences({"order": None, "only": None, "zdr": None, "sort": None, "max_price": None}) == PLAIN
    assert preferences({"max_price": {"prompt": "1.5"}}).max_price == MaxPrice(prompt=1_500_000_000)


def test_the_old_route_field_is_an_alias_of_the_partition() -> None:
    assert preferences({"sort": "price"}, "sort").across_models
    assert not preferences({"sort": "price"}, "fallback").across_models
    assert not preferences({"sort": {"by": "price", "partition": "model"}}, "sort").across_models


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
keys = st.sampled_from(
    ["order", "only", "ignore", "sort", "max_price", "zdr", "data_collection", "allow_fallbacks"]
)


@given(st.dictionaries(keys | st.text(max_size=5), json, max_size=4) | json)
def test_whatever_is_sent_is_understood_or_told(raw: object) -> None:
    with contextlib.suppress(BadPreference):
        assert preferences(raw).order is not None


def test_a_choice_explains_itself() -> None:
    rows = explain(ask(THREE, provider={"sort": "price", "ignore": ["bedrock"]}))
    assert rows[0] == {
        "place": 1,
        "endpoint": "team-a/azure:acme/m",
        "provider": "azure",
        "model": "acme/m",
        "price": "$1/$1 per M",
        "why": "sorted by price, as the caller asked",
    }
    assert rows[-1]["reason"] == "ignore"
