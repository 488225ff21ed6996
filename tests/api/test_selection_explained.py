"""`X-Byway-Explain: 1`: every candidate in its place with the reason, and every other one with why not."""

from pathlib import Path
from typing import Any

from builders.gateway import Answer, Gateway
from builders.market import Providers, left_out, market, places, told
from builders.tables import endpoint, member, route
from byway_contract.table import RouteEndpoint
from fakes.reply import Reply, status

EXPLAIN = {"X-Byway-Explain": "1"}
A, B = "team-a/a:acme/m", "team-a/b:acme/m"


def stepped() -> Any:
    """a, then b; c is missing; and a fallback to a model at c that is left out for its price by `WISH`."""
    gone = RouteEndpoint(name="gone", missing="spec.endpoints[gone]: no such key")
    smart = route("smart", member(A, order=0), member(B, order=1), gone, fallback_models=("acme/n",))
    return market(("a", 1.0), ("b", 2.0), more=[endpoint("team-a/c", "acme/n", 50.0)], routes=[smart])


WISH = {"max_price": {"prompt": 10}}


def complete(rows: list[dict[str, Any]]) -> None:
    tried = [row for row in rows if "place" in row]
    assert [(row["place"], row["endpoint"], row["provider"], row["model"]) for row in tried] == [
        (1, A, "a", "acme/m"),
        (2, B, "b", "acme/m"),
    ]
    assert [row["price"] for row in tried] == ["$1/$1 per M", "$2/$2 per M"]
    assert all(row["why"] for row in tried)
    others = {(row["provider"], row["model"]): (row["reason"], row["detail"]) for row in rows if "place" not in row}
    assert others == {
        ("gone", "smart"): ("missing", "spec.endpoints[gone]: no such key"),
        ("c", "acme/n"): ("max_price", "prompt price is $50/M, above $10/M"),
    }


def test_on_an_answer(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        answer = await proxy.ask("smart", headers=EXPLAIN, provider=WISH)
        complete(answer.json["byway"]["explain"])
        assert answer.json["choices"][0]["message"]["content"]
        assert "byway" not in (await proxy.ask("smart")).json
        assert "byway" not in (await proxy.ask("smart", headers={"X-Byway-Explain": "0"})).json

    told(story, tmp_path, stepped())


def explained_in(answer: Answer) -> list[dict[str, Any]]:
    [chunk] = [chunk for chunk in answer.chunks if isinstance(chunk, dict) and "byway" in chunk]
    assert chunk["choices"] == []
    rows: list[dict[str, Any]] = chunk["byway"]["explain"]
    return rows


def test_in_a_stream(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        answer = await proxy.ask("smart", headers=EXPLAIN, provider=WISH, stream=True)
        complete(explained_in(answer))
        assert answer.text == "Hello from the fake provider."
        assert "usage" in answer.chunks[-2]
        assert answer.chunks[-1] == "[DONE]"

    told(story, tmp_path, stepped())


def test_in_a_stream_that_broke(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = Reply(kind="cut", after=2)
        answer = await proxy.ask("smart", headers=EXPLAIN, provider=WISH, stream=True)
        complete(explained_in(answer))
        assert answer.chunks[-2]["error"]["code"] == 502

    told(story, tmp_path, stepped())


def test_in_a_stream_that_was_told_to_wait_and_failed(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = at["b"].script.always = Reply(kind="hold", hold_s=0.2)
        answer = await proxy.ask("smart", headers=EXPLAIN, provider=WISH, stream=True)
        assert answer.status == 200
        complete(explained_in(answer))
        assert answer.chunks[-2]["error"]["code"] >= 500

    told(story, tmp_path, stepped(), comment_s=0.05)


def test_on_an_error_of_every_provider(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.always = at["b"].script.always = status(500)
        for stream in (False, True):
            answer = await proxy.ask("smart", headers=EXPLAIN, provider=WISH, stream=stream)
            assert answer.status == 502
            complete(answer.json["error"]["metadata"]["explain"])
        assert "explain" not in (await proxy.ask("smart", provider=WISH)).json["error"]["metadata"]

    told(story, tmp_path, stepped())


def test_when_nobody_could_be_tried(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _at: Providers) -> None:
        answer = await proxy.ask("smart", headers=EXPLAIN, provider={"only": ["nobody"]})
        assert answer.status == 404
        rows = answer.json["error"]["metadata"]["explain"]
        assert places(rows) == []
        assert left_out(rows) == {"a": "only", "b": "only", "c": "only", "gone": "missing"}
        unknown = await proxy.ask("nowhere", headers=EXPLAIN)
        assert (unknown.status, unknown.json["error"]["metadata"]["explain"]) == (400, [])

    told(story, tmp_path, stepped())


def test_an_endpoint_that_rests_says_so(tmp_path: Path) -> None:
    async def story(proxy: Gateway, at: Providers) -> None:
        at["a"].script.then += [status(429, retry_after="60")]
        await proxy.ask("smart")
        rows = (await proxy.ask("smart", headers=EXPLAIN)).json["byway"]["explain"]
        assert places(rows)[0] == "b"
        [resting] = [row for row in rows if row["provider"] == "a"]
        assert "rest" in resting["why"]

    told(story, tmp_path, stepped())
