"""What a model's name leads to, asked through the API: routes, fallbacks, lists, shared names, and no name."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from builders.gateway import Gateway
from builders.market import Providers, explained, key, left_out, market, places, shares, told, who
from builders.tables import endpoint, member, route, table
from byway_contract.table import DataPolicy, Route, Table
from fakes.reply import CLIENTS_FAULT, Reply, status
from msgspec import Raw

A, B, C = "team-a/a:acme/m", "team-a/b:acme/m", "team-a/c:acme/m"
PAIR = market(("a", 1.0), ("b", 1.0))


def with_fallback(**fields: Any) -> Any:
    """Route `smart` over a, and then catalogue model `acme/n` at b."""
    smart = route("smart", member(A), fallback_models=("acme/n",), **fields)
    return market(("a", 1.0), more=[endpoint("team-a/b", "acme/n", 5.0)], routes=[smart])


@pytest.mark.parametrize("stream", [False, True])
def test_a_catalogue_name_with_two_providers_fails_over(tmp_path: Path, stream: bool) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = status(502)
        for _ in range(3):
            answer = await proxy.ask("acme/m", stream=stream)
            assert answer.status == 200
            assert (answer.chunks[0] if stream else answer.json)["provider"] == "B"
        assert len(at["b"].served) == 3

    told(story, tmp_path, PAIR, slugs="ab")


@pytest.mark.parametrize("fault", ["context_length", "429", "500"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_fallback_model_answers_and_is_named(tmp_path: Path, fault: str, stream: bool) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = CLIENTS_FAULT["context_length"] if fault == "context_length" else status(int(fault))
        answer = await proxy.ask("smart", stream=stream)
        first = answer.chunks[0] if stream else answer.json
        assert (first["model"], first["provider"]) == ("acme/n", "B")
        assert [settle.billed > 0 for _, settle in proxy.settled()] == [False, True]
        assert at["b"].served[0].body["model"] == "acme/n"

    told(story, tmp_path, with_fallback(), slugs="ab")


def test_a_bad_request_does_not_go_on_to_a_fallback(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = CLIENTS_FAULT["400"]
        assert (await proxy.ask("smart")).status == 400
        assert at["b"].served == []

    told(story, tmp_path, with_fallback(), slugs="ab")


def test_what_cannot_fit_goes_to_the_fallback_without_being_sent(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        assert who(await proxy.ask("smart", messages=[{"role": "user", "content": "x" * 20_000}])) == "b"
        assert at["a"].served == []
        assert who(await proxy.ask("smart")) == "a"

    smart = route("smart", member(A), fallback_models=("acme/n",))
    small = {"a": {"context_length": 1000}}
    more = [endpoint("team-a/b", "acme/n", 5.0, context_length=8000)]
    told(story, tmp_path, market(("a", 1.0), more=more, routes=[smart], endpoints=small), slugs="ab")


def test_a_list_of_models_is_tried_in_its_order(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        rows = await explained(proxy, "acme/m", models=["acme/n", "acme/o", "acme/m"])
        assert [row["model"] for row in rows] == ["acme/m", "acme/n", "acme/o"]
        at["a"].script.always = CLIENTS_FAULT["context_length"]
        at["b"].script.always = status(500)
        answer = await proxy.ask("acme/m", models=["acme/n", "acme/o"])
        assert (who(answer), answer.json["model"]) == ("c", "acme/o")
        # A name that leads nowhere is passed over while another serves.
        assert who(await proxy.ask("acme/none", models=["acme/o"])) == "c"

    more = [endpoint("team-a/b", "acme/n"), endpoint("team-a/c", "acme/o")]
    told(story, tmp_path, market(("a", 1.0), more=more))


def test_models_alone_is_enough(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        messages = [{"role": "user", "content": "hi"}]
        answer = await proxy.post("/v1/chat/completions", json={"models": ["acme/m"], "messages": messages})
        assert who(answer) == "a"
        assert at["a"].served[0].body["model"] == "acme/m"
        nobody = await proxy.post("/v1/chat/completions", json={"messages": messages})
        assert (nobody.status, nobody.json["error"]["param"]) == (400, "model")

    told(story, tmp_path, market(("a", 1.0)), slugs="a")


def test_a_rejected_route_is_404_with_its_reason_and_does_not_fall_through(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        answer = await proxy.ask("acme/m")
        error = answer.json["error"]
        assert (answer.status, error["availability"]["code"]) == (404, "no_endpoints")
        assert 'ModelRoute "team-a/mine"' in error["message"]
        assert "spec.endpoints[eu]: no such key" in error["message"]
        assert at["a"].served == []

    mine = Route("team-a", "mine", ("acme/m",), rejected="spec.endpoints[eu]: no such key")
    told(story, tmp_path, market(("a", 1.0), routes=[mine]), slugs="a")


def shared_routes(at: Providers) -> Table:
    """Team-a calls; the platform shares `open` with all and `theirs` with team-b alone."""
    mine, theirs = key("a", at), key("b", at, "platform", shared_with=("*",))
    offers = [endpoint("team-a/a"), endpoint("platform/b", by_name=False)]
    to_b = member("platform/b:acme/m")
    routes = [
        route("open", to_b, namespace="platform", shared_with=("*",), model_names=("fast", "also-fast")),
        route("theirs", to_b, namespace="platform", shared_with=("team-b",)),
        route("own", member(A), model_names=("also-fast",)),
        route("untrusted", to_b, namespace="team-c", shared_with=("*",), model_names=("loud",)),
    ]
    return table([mine, theirs], offers, routes, trusted=("platform",), anonymous="team-a")


def test_a_shared_route_is_called_by_its_bare_name_where_it_is_trusted_and_in_full_always(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        assert who(await proxy.ask("fast")) == "b"
        assert who(await proxy.ask("platform/open")) == "b"
        assert who(await proxy.ask("team-c/untrusted")) == "b"
        assert (await proxy.ask("loud")).status == 400
        # One's own route goes before a shared one of that name.
        assert who(await proxy.ask("also-fast")) == "a"
        assert who(await proxy.ask("platform/open:floor")) == "b"

    told(story, tmp_path, shared_routes, slugs="ab")


def test_a_route_that_is_not_shared_with_us_is_as_if_it_were_not(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        hidden = await proxy.ask("platform/theirs")
        nowhere = await proxy.ask("platform/nowhere")
        assert hidden.status == nowhere.status == 400
        assert hidden.json["error"]["availability"]["code"] == "model_not_found"
        assert "theirs" not in str(hidden.json["error"]["availability"].get("nearest_models", ""))

    told(story, tmp_path, shared_routes, slugs="ab")


def test_an_unknown_model_is_400_with_the_nearest_names(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        answer = await proxy.ask("acme/gpt-5-mni")
        error = answer.json["error"]
        assert (answer.status, error["param"], error["availability"]["code"]) == (400, "model", "model_not_found")
        assert 'did you mean "acme/gpt-5-mini"?' in error["message"]
        assert error["availability"]["nearest_models"] == ["acme/gpt-5-mini"]
        assert error["availability"]["retryable"] is False

    told(story, tmp_path, market(("a", 1.0), model="acme/gpt-5-mini"), slugs="a")


def test_a_route_says_defaults_and_lowers_the_length_of_answers(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        await proxy.ask("smart")
        await proxy.ask("smart", temperature=0.9, max_tokens=50)
        await proxy.ask("smart", max_completion_tokens=5000)
        await proxy.ask("acme/m", max_tokens=90)
        named = ("temperature", "top_p", "max_tokens", "max_completion_tokens")
        sent = [{k: v for k, v in served.body.items() if k in named} for served in at["a"].served]
        assert sent == [
            {"temperature": 0.2, "top_p": 0.5, "max_tokens": 100},
            {"temperature": 0.9, "top_p": 0.5, "max_tokens": 50},
            {"temperature": 0.2, "top_p": 0.5, "max_completion_tokens": 100},
            {"max_tokens": 90},
        ]

    smart = route("smart", member(A), defaults=Raw(b'{"temperature":0.2,"top_p":0.5}'), max_output_tokens=100)
    short = {"a": {"max_output_tokens": 200}}
    told(story, tmp_path, market(("a", 1.0), routes=[smart], endpoints=short), slugs="a")


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (DataPolicy(deny_training=True), {"b": "policy_training", "c": "policy_training"}),
        (DataPolicy(max_retention_days=10), {"b": "policy_retention", "c": "policy_retention"}),
        (DataPolicy(regions=("eu",)), {"b": "policy_region", "c": "policy_region"}),
    ],
)
def test_a_routes_data_policy_binds_its_fallbacks_too(
    tmp_path: Path, policy: DataPolicy, left: dict[str, str]
) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        rows = await explained(proxy, "careful")
        assert (places(rows), left_out(rows)) == (["a"], left)
        assert await shares(proxy, 5, "careful") == Counter(a=5)
        at["a"].script.always = status(500)
        assert (await proxy.ask("careful")).status == 502
        assert at["b"].served == at["c"].served == []
        refused = await proxy.ask("careful", provider={"only": ["b"]})
        assert refused.status == 404

    kind = {"may_train": False, "retention_days": 5, "regions": ("eu",)}
    careful = route("careful", member(A), member(B), policy=policy, fallback_models=("acme/n",))
    more = [endpoint("team-a/c", "acme/n")]
    told(story, tmp_path, market(("a", 1.0), ("b", 1.0), routes=[careful], more=more, accounts={"a": kind}))


def test_a_route_whose_policy_nobody_satisfies_is_404(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        error = (await proxy.ask("careful")).json["error"]
        assert (error["code"], error["availability"]["code"]) == (404, "privacy_restricted")
        assert "may train on requests" in error["message"]
        assert at["a"].served == []

    careful = route("careful", member(A), policy=DataPolicy(deny_training=True))
    told(story, tmp_path, market(("a", 1.0), routes=[careful]), slugs="a")


def test_a_provider_that_refuses_stream_options_still_has_its_usage_told(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = Reply(text="one two three")
        answer = await proxy.ask("acme/m", stream=True)
        assert "stream_options" not in at["a"].served[0].body
        assert answer.chunks[-2]["usage"]["completion_tokens"] == 3  # counted, since nobody said
        assert [settle.usage_from for _, settle in proxy.settled()] == ["estimated"]

    told(story, tmp_path, market(("a", 1.0), accounts={"a": {"quirks": ("no_stream_options",)}}), slugs="a")
