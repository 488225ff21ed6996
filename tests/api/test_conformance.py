"""What OpenRouter's clients rely on, each line of its list a test. The numbers are the list's."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from builders.gateway import Gateway, gateway, one_route
from builders.tables import DOLLAR
from fakes.provider import FakeProvider
from fakes.reply import BEFORE_COMMIT, Reply, status

Story = Callable[[Gateway, FakeProvider, FakeProvider], Awaitable[None]]


def told(story: Story, folder: Path, **how: Any) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, FakeProvider() as b, gateway(folder, one_route(a, b), **how) as proxy:
            await story(proxy, a, b)

    asyncio.run(tell())


def test_01_finish_reason_is_present_on_every_chunk(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(null_finish=False)
        chunks = (await proxy.ask(stream=True)).chunks
        assert all("finish_reason" in choice for c in chunks[:-1] for choice in c["choices"])
        assert [c["choices"][0]["finish_reason"] for c in chunks[:-2]][-1] == "stop"

    told(story, tmp_path)


def test_02_system_fingerprint_is_always_present(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(fingerprint=False)
        assert (await proxy.ask()).json["system_fingerprint"] is None
        assert all(c["system_fingerprint"] is None for c in (await proxy.ask(stream=True)).chunks[:-1])

    told(story, tmp_path)


def test_03_created_and_error_codes_are_integers(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        assert type((await proxy.ask()).json["created"]) is int
        assert {type(c["created"]) for c in (await proxy.ask(stream=True)).chunks[:-1]} == {int}
        a.script.always = b.script.always = status(500)
        assert type((await proxy.ask()).json["error"]["code"]) is int
        a.script.always = Reply(kind="cut", after=2)
        assert type((await proxy.ask(stream=True)).chunks[-2]["error"]["code"]) is int

    told(story, tmp_path)


@pytest.mark.parametrize("usage", ["asked", "always", "never", "last_chunk", "every_chunk"])
def test_04_one_usage_chunk_with_empty_choices_always(tmp_path: Path, usage: Any) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(usage=usage)
        chunks = (await proxy.ask(stream=True, stream_options={"include_usage": False})).chunks
        assert [c["choices"] for c in chunks[:-1] if "usage" in c] == [[]]
        assert "usage" in chunks[-2]
        assert chunks[-1] == "[DONE]"

    told(story, tmp_path)


@pytest.mark.parametrize("kind", ["cut", "reset", "early_end", "error_event"])
def test_05_a_complete_error_chunk_ends_a_stream_that_broke(tmp_path: Path, kind: Any) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(kind=kind, after=3)
        *_, last, done = (await proxy.ask(stream=True)).chunks
        assert done == "[DONE]"
        assert last.keys() >= {"id", "object", "created", "model", "provider", "choices", "error"}
        assert last["choices"][0]["finish_reason"] == "error"
        assert last["error"]["metadata"]["error_type"] == "provider_unavailable"

    told(story, tmp_path)


@pytest.mark.parametrize("stream", [False, True])
def test_06_an_error_body_never_comes_with_200(tmp_path: Path, stream: bool) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        a.script.always = b.script.always = BEFORE_COMMIT["error_in_200"]
        answer = await proxy.ask(stream=stream)
        assert answer.status >= 400
        assert answer.json["error"]["code"] == answer.status

    told(story, tmp_path)


def test_07_comments_keep_a_client_waiting_and_do_not_disturb_it(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(head_after_s=0.3)
        raw = (await proxy.ask(stream=True)).body
        assert raw.startswith(b": OPENROUTER PROCESSING\n\n")
        async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="smart", messages=[{"role": "user", "content": "hi"}], stream=True
            )
            words = [c.choices[0].delta.content or "" async for c in stream if c.choices]
        assert "".join(words) == "Hello from the fake provider."

    told(story, tmp_path, comment_s=0.05)


@pytest.mark.parametrize("code", [400, 404, 413, 422, 429, 500, 502, 503, 529])
def test_08_the_http_status_is_the_error_code(tmp_path: Path, code: int) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        a.script.always = b.script.always = status(code)
        answer = await proxy.ask()
        assert answer.status == answer.json["error"]["code"] >= 400

    told(story, tmp_path)


def test_09_what_no_endpoint_satisfies_is_404(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        answer = await proxy.ask(provider={"max_price": {"prompt": "0.1"}})
        assert (answer.status, answer.json["error"]["availability"]["code"]) == (404, "constraint_filtered")
        assert "max_price" in answer.json["error"]["message"]
        assert (await proxy.ask(provider={"only": ["elsewhere"]})).status == 404

    told(story, tmp_path)


def test_10_our_own_429_and_503_say_when_to_come_back(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        a.script.always = b.script.always = status(503)
        answer = await proxy.ask()
        assert answer.status == 503
        assert int(answer.headers["Retry-After"]) >= 1
        a.script.always = status(429, retry_after="7")
        b.script.always = status(429, retry_after="9")
        answer = await proxy.ask()
        assert (answer.status, answer.headers["Retry-After"]) == (429, "7")
        assert answer.json["error"]["availability"]["retry_after"] == 7

    told(story, tmp_path)


@pytest.mark.parametrize("path", ["/v1/models/acme%2Fm", "/v1/models/acme/m", "/api/v1/models/acme%2Fm"])
def test_13_a_model_is_found_with_its_slash_encoded_or_not(tmp_path: Path, path: str) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        assert (await proxy.get(path)).json["id"] == "acme/m"
        async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client:
            assert (await client.models.retrieve("acme/m")).id == "acme/m"
            assert {model.id async for model in client.models.list()} == {"acme/m", "smart"}

    told(story, tmp_path)


def test_19_a_body_of_more_than_a_mebibyte_is_taken(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        content = "x" * 3_000_000
        answer = await proxy.ask(messages=[{"role": "user", "content": content}])
        assert answer.status == 200
        assert a.served[0].body["messages"][0]["content"] == content
        too_large = await proxy.ask(messages=[{"role": "user", "content": "x" * (33 * 1024 * 1024)}])
        assert (too_large.status, too_large.json["error"]["code"]) == (413, 413)

    told(story, tmp_path)


def test_20_unknown_fields_are_passed_on_and_never_judged(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        answer = await proxy.ask(colour={"of": ["night"]}, provider={"quantizations": ["fp8"]})
        assert answer.status == 200
        assert a.served[0].body["colour"] == {"of": ["night"]}
        assert "provider" not in a.served[0].body
        assert answer.headers["X-Byway-Ignored"] == "provider.quantizations"

    told(story, tmp_path)


@pytest.mark.parametrize("price", [1, 1.0, "1", "1.00"])
def test_21_max_price_is_a_number_or_a_string(tmp_path: Path, price: object) -> None:
    async def story(proxy: Gateway, _a: FakeProvider, _b: FakeProvider) -> None:
        assert (await proxy.ask(provider={"max_price": {"prompt": price, "completion": 2}})).status == 200
        assert (await proxy.ask(provider={"max_price": {"prompt": price, "completion": "1.99"}})).status == 404

    told(story, tmp_path)


def test_23_only_intersects_and_ignore_adds_up(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        assert (await proxy.ask(provider={"only": ["b"]})).json["provider"] == "Provider B"
        assert (await proxy.ask(provider={"only": ["a", "b"], "ignore": ["A"]})).json["provider"] == "Provider B"
        assert (await proxy.ask(provider={"only": ["a"], "ignore": ["a"]})).status == 404
        assert (await proxy.ask(provider={"zdr": True})).status == 404
        assert (len(a.served), len(b.served)) == (0, 2)

    told(story, tmp_path)


@pytest.mark.parametrize("stream", [False, True])
def test_30_a_client_that_leaves_aborts_the_provider(tmp_path: Path, stream: bool) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(kind="hold", after=2)
        asking = asyncio.create_task(proxy.ask(stream=stream))
        await a.until(lambda: a.holding == 1)
        asking.cancel()
        await a.until(lambda: a.served[0].ended == "client_gone")
        async with asyncio.timeout(2):
            await proxy.server.idle.wait()
        [(_, settle)] = proxy.settled()
        assert settle.outcome == "client_cancel"

    told(story, tmp_path)


def test_32_model_and_provider_are_those_that_answered(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = status(500)
        whole = (await proxy.ask()).json
        assert (whole["model"], whole["provider"]) == ("acme/m", "Provider B")
        chunks = (await proxy.ask(stream=True)).chunks[:-1]
        assert {(c["model"], c["provider"]) for c in chunks} == {("acme/m", "Provider B")}

    told(story, tmp_path)


def test_33_every_answer_names_its_generation(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        whole = await proxy.ask()
        assert whole.headers["X-Generation-Id"] == whole.json["id"]
        stream = await proxy.ask(stream=True)
        assert {c["id"] for c in stream.chunks[:-1]} == {stream.headers["X-Generation-Id"]}
        assert (await proxy.ask(model="nobody")).headers["X-Generation-Id"].startswith("gen-")
        a.script.always = b.script.always = status(500)
        assert (await proxy.ask()).headers["X-Generation-Id"].startswith("gen-")
        ids = [intent.request for intent, _ in proxy.settled()]
        assert ids[:2] == [whole.json["id"], stream.headers["X-Generation-Id"]]

    told(story, tmp_path)


def test_34_free_endpoints_come_first_and_share_equally(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, b: FakeProvider) -> None:
        for _ in range(60):
            assert (await proxy.ask(model="acme/m")).status == 200
        assert 18 <= len(a.served) <= 42
        assert len(a.served) + len(b.served) == 60

    async def tell() -> None:
        async with FakeProvider() as a, FakeProvider() as b, FakeProvider() as paid:
            table = one_route(a, b, paid, free=2)
            async with gateway(tmp_path, table) as proxy:
                await story(proxy, a, b)
                assert paid.served == []

    asyncio.run(tell())


def test_what_an_answer_costs_is_what_is_booked(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider, _b: FakeProvider) -> None:
        a.script.always = Reply(prompt_tokens=1000, cached_tokens=200)
        usage = (await proxy.ask()).json["usage"]
        [(intent, settle)] = proxy.settled()
        assert intent.price is not None
        assert settle.billed == settle.cost == (1000 * DOLLAR + 5 * 2 * DOLLAR) // 1_000_000
        assert usage["cost"] == settle.billed / 1_000_000_000

    told(story, tmp_path)
