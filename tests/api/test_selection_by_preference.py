"""Who answers when the caller says `provider`: every preference, through the API."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from builders.gateway import Gateway
from builders.market import Providers, explained, left_out, market, places, shares, told, who
from builders.tables import endpoint
from fakes.reply import Reply, status

THREE = market(("a", 1.0), ("b", 2.0), ("c", 3.0))


def test_order_goes_first_and_the_rest_behind(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        assert await shares(proxy, 10, provider={"order": ["c", "nobody", "B"]}) == Counter(c=10)
        assert places(await explained(proxy, provider={"order": ["c", "B"]})) == ["c", "b", "a"]
        at["c"].script.then += [status(500)]
        at["b"].script.then += [status(500)]
        assert who(await proxy.ask("acme/m", provider={"order": ["c", "b"]})) == "a"

    told(story, tmp_path, THREE)


def test_without_fallbacks_the_error_is_the_providers_own(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["c"].script.always = status(503, message="come back at noon")
        answer = await proxy.ask("acme/m", provider={"order": ["c"], "allow_fallbacks": False})
        assert answer.status == 503
        assert "come back at noon" in answer.json["error"]["message"]
        assert len(at["a"].served) + len(at["b"].served) == 0
        rows = await explained(proxy, provider={"allow_fallbacks": False})
        assert len(places(rows)) == 1
        assert set(left_out(rows).values()) == {"allow_fallbacks"}

    told(story, tmp_path, THREE)


def test_only_and_ignore_leave_out_by_name(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        assert left_out(await explained(proxy, provider={"only": ["b"]})) == {"a": "only", "c": "only"}
        assert left_out(await explained(proxy, provider={"ignore": ["A", "b"]})) == {"a": "ignore", "b": "ignore"}

    told(story, tmp_path, THREE)


def test_require_parameters_leaves_out_whoever_is_not_known_to_have_them(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        wish = {"require_parameters": True}
        tools = [{"type": "function", "function": {"name": "f"}}]
        rows = await explained(proxy, provider=wish, tools=tools)
        assert (places(rows), left_out(rows)) == (["a"], {"b": "require_parameters", "c": "require_parameters"})
        refused = await proxy.ask("acme/m", provider=wish, logprobs=True)
        assert refused.status == 404
        assert refused.json["error"]["availability"]["constraint"]["field"] == "provider.require_parameters"
        # Not required, tools are a soft wish: who is known to lack them goes, who is not known stays.
        rows = await explained(proxy, tools=tools)
        assert (set(places(rows)), left_out(rows)) == ({"a", "c"}, {"b": "lacks_feature"})

    features = {"a": {"features": ("tools",)}, "b": {"features": ("temperature",)}}
    told(story, tmp_path, market(("a", 1.0), ("b", 2.0), ("c", 3.0), endpoints=features))


@pytest.mark.parametrize("sort", ["price", {"by": "price"}, {"by": "price", "partition": "model"}])
def test_sort_by_price_is_strict(tmp_path: Path, sort: Any) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        assert await shares(proxy, 15, provider={"sort": sort}) == Counter(a=15)
        assert places(await explained(proxy, provider={"sort": sort})) == ["a", "b", "c"]

    told(story, tmp_path, market(("a", 1.0), ("b", 1.1), ("c", 1.2)))


def test_sort_across_models_takes_the_cheapest_of_all(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        asked: dict[str, Any] = {"models": ["acme/n"]}
        within = await proxy.ask("acme/m", **asked, provider={"sort": "price"})
        across = await proxy.ask("acme/m", **asked, provider={"sort": {"by": "price", "partition": "none"}})
        aliased = await proxy.ask("acme/m", **asked, provider={"sort": "price"}, route="sort")
        assert [who(within), who(across), who(aliased)] == ["a", "b", "b"]
        assert across.json["model"] == "acme/n"

    told(story, tmp_path, market(("a", 5.0), more=[endpoint("team-a/b", "acme/n", 1.0)]), slugs="ab")


def test_sort_by_latency_and_throughput_is_by_what_was_measured(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = Reply(head_after_s=0.1)
        at["b"].script.always = Reply(gap_s=0.05)
        for slug in at:
            await proxy.ask("acme/m", stream=True, provider={"only": [slug]})
        assert places(await explained(proxy, provider={"sort": "latency"})) == ["b", "a"]
        assert places(await explained(proxy, provider={"sort": "throughput"})) == ["a", "b"]
        assert places(await explained(proxy, "acme/m:nitro")) == ["a", "b"]

    told(story, tmp_path, market(("a", 1.0), ("b", 1.0)), slugs="ab")


@pytest.mark.parametrize(
    ("most", "passing"),
    [
        ({"prompt": 2}, {"a", "b"}),
        ({"prompt": "1.5"}, {"a"}),
        ({"completion": "2.5"}, {"a", "b"}),
        ({"prompt": 3, "completion": 1}, {"a"}),
        ({"prompt": 9, "image": 1}, {"a", "b", "c"}),
    ],
)
def test_max_price_leaves_out_the_dearer(tmp_path: Path, most: dict[str, Any], passing: set[str]) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        rows = await explained(proxy, provider={"max_price": most})
        assert set(places(rows)) == passing
        assert left_out(rows) == dict.fromkeys({"a", "b", "c"} - passing, "max_price")

    told(story, tmp_path, THREE)


def test_data_collection_and_zdr_believe_only_what_is_known(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        denied = await explained(proxy, provider={"data_collection": "deny"})
        assert (places(denied), set(left_out(denied).values())) == (["a"], {"data_collection"})
        retained = await explained(proxy, provider={"zdr": True})
        assert (set(places(retained)), left_out(retained)) == ({"a", "b"}, {"c": "zdr"})
        assert set(places(await explained(proxy, provider={"zdr": False, "data_collection": "allow"}))) == set(
            "abc"
        )

    promises = {"a": {"may_train": False, "retention_days": 0}, "b": {"retention_days": 0}}
    told(story, tmp_path, market(("a", 1.0), ("b", 2.0), ("c", 3.0), accounts=promises))


def test_floor_sorts_by_price_and_the_last_variant_wins(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        assert await shares(proxy, 15, "acme/m:floor") == Counter(a=15)
        assert await shares(proxy, 15, "acme/m:nitro:floor") == Counter(a=15)

    told(story, tmp_path, market(("a", 1.0), ("b", 1.1)), slugs="ab")


def test_online_is_accepted_ignored_and_named(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        answer = await proxy.ask("acme/m:online", provider={"quantizations": ["fp8"], "sort": "exacto"})
        assert answer.status == 200
        assert answer.headers["X-Byway-Ignored"] == ":online, provider.quantizations, provider.sort.exacto"
        streamed = await proxy.ask("acme/m:online", stream=True)
        assert streamed.headers["X-Byway-Ignored"] == ":online"
        assert "X-Byway-Ignored" not in (await proxy.ask("acme/m")).headers

    told(story, tmp_path, THREE)


def test_what_is_ignored_is_named_on_an_error_too(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = status(500)
        answer = await proxy.ask("acme/m:online")
        assert (answer.status, answer.headers["X-Byway-Ignored"]) == (502, ":online")

    told(story, tmp_path, market(("a", 1.0)), slugs="a")


def test_no_preference_can_write_a_header_of_ours(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        odd = {"x\r\nSet-Cookie: a=b": 1, "é": 1} | {f"k{n}": 1 for n in range(2000)}
        answer = await proxy.ask("acme/m", provider=odd)
        assert answer.status == 200
        assert "Set-Cookie" not in answer.headers
        assert len(answer.headers["X-Byway-Ignored"]) < 4000
        assert "provider.?" in (await proxy.ask("acme/m", provider={"é": 1})).headers["X-Byway-Ignored"]

    told(story, tmp_path, THREE)


@pytest.mark.parametrize(
    ("provider", "param"),
    [
        ("openai", "provider"),
        ({"order": "a"}, "provider.order"),
        ({"only": [1]}, "provider.only"),
        ({"sort": "cheapest"}, "provider.sort"),
        ({"sort": {"by": "price", "partition": "all"}}, "provider.sort.partition"),
        ({"max_price": {"prompt": "cheap"}}, "provider.max_price.prompt"),
        ({"zdr": "yes"}, "provider.zdr"),
        ({"data_collection": "never"}, "provider.data_collection"),
    ],
)
def test_a_preference_of_the_wrong_kind_is_told_by_its_path(tmp_path: Path, provider: Any, param: str) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        error = (await proxy.ask("acme/m", provider=provider)).json["error"]
        assert (error["code"], error["param"]) == (400, param)
        assert error["message"].startswith(f"{param}: want ")
        assert at["a"].served == []

    told(story, tmp_path, market(("a", 1.0)), slugs="a")
