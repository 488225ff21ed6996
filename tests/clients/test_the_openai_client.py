"""The official `openai` client against us, as apps use it: its whole way of asking, and every error it knows."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import openai
import pytest
from builders.gateway import Gateway
from builders.market import Providers, market, told
from builders.tables import endpoint
from fakes.reply import CLIENTS_FAULT, Reply, ToolCall, status
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

HI: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hi"}]
SAYS = "Hello from the fake provider."
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "additionalProperties": False},
        "strict": True,
    },
}
TWO = market(("a", 1.0), ("b", 1.0), more=[endpoint("team-a/b", "acme/n", 1.0)])
ONE = market(("a", 1.0))


def client_of(proxy: Gateway, base: str = "/v1", max_retries: int = 0, **how: Any) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=proxy.url + base, api_key="any", max_retries=max_retries, **how)


Story = Callable[[openai.AsyncOpenAI, Providers], Awaitable[None]]


def app(story: Story, folder: Path, table_of: Any = ONE, slugs: str = "a", **how: Any) -> None:
    """A story told by an app that has the client; `how` is the client's."""

    async def tell(proxy: Gateway, at: Providers) -> None:
        async with client_of(proxy, **how) as client:
            await story(client, at)

    told(tell, folder, table_of, slugs)


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
def test_it_chats(tmp_path: Path, base: str) -> None:
    async def story(client: openai.AsyncOpenAI, _at: Providers) -> None:
        answer = await client.chat.completions.create(model="acme/m", messages=HI)
        assert answer.choices[0].message.content == SAYS
        assert answer.choices[0].finish_reason == "stop"
        assert (answer.model, answer.model_extra or {}) == ("acme/m", {"provider": "A"})
        assert answer.usage is not None
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + 5
        assert (answer.usage.model_extra or {})["cost"] > 0

    app(story, tmp_path, base=base)


@pytest.mark.parametrize("base", ["/v1", "/api/v1"])
def test_it_streams(tmp_path: Path, base: str) -> None:
    async def story(client: openai.AsyncOpenAI, _at: Providers) -> None:
        stream = await client.chat.completions.create(model="acme/m", messages=HI, stream=True)
        chunks = [chunk async for chunk in stream]
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == SAYS
        assert [c.usage.completion_tokens for c in chunks if c.usage] == [5]
        assert len({c.id for c in chunks}) == 1

    app(story, tmp_path, base=base)


def test_the_client_without_asyncio_does_the_same(tmp_path: Path) -> None:
    def use(url: str) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0) as client:
            assert client.chat.completions.create(model="acme/m", messages=HI).choices[0].message.content == SAYS
            with client.chat.completions.create(model="acme/m", messages=HI, stream=True) as stream:
                words = [c.choices[0].delta.content or "" for c in stream if c.choices]
            assert "".join(words) == SAYS
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(model="acme/none", messages=HI)
            assert [model.id for model in client.models.list()] == ["acme/m"]

    async def story(proxy: Gateway, _at: Providers) -> None:
        await asyncio.to_thread(use, proxy.url)

    told(story, tmp_path, ONE, "a")


def test_tools_are_called_whole_and_in_pieces(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        call = ToolCall("weather", '{"city": "Oslo"}', id="call_1")
        at["a"].script.always = Reply(text="", tool_calls=(call,), finish="tool_calls")
        answer = await client.chat.completions.create(model="acme/m", messages=HI, tools=[WEATHER])
        assert answer.choices[0].finish_reason == "tool_calls"
        [asked] = answer.choices[0].message.tool_calls or []
        assert asked.type == "function"
        assert (asked.id, asked.function.name, asked.function.arguments) == ("call_1", "weather", call.arguments)
        assert at["a"].served[0].body["tools"] == [WEATHER]

        async with client.chat.completions.stream(model="acme/m", messages=HI, tools=[WEATHER]) as stream:
            final = await stream.get_final_completion()
        [streamed] = final.choices[0].message.tool_calls or []
        assert (streamed.id, streamed.function.arguments) == ("call_1", call.arguments)

        said: list[ChatCompletionMessageParam] = [
            *HI,
            {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": {
                "name": "weather", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "rain"},
        ]  # fmt: skip
        at["a"].script.always = Reply()
        assert (await client.chat.completions.create(model="acme/m", messages=said)).choices[0].message.content
        assert at["a"].served[-1].body["messages"] == said

    app(story, tmp_path)


class City(BaseModel):
    name: str


def test_a_response_format_is_parsed(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(text='{"name": "Oslo"}')
        answer = await client.chat.completions.parse(model="acme/m", messages=HI, response_format=City)
        assert answer.choices[0].message.parsed == City(name="Oslo")
        assert at["a"].served[0].body["response_format"]["type"] == "json_schema"
        plain = await client.chat.completions.create(
            model="acme/m", messages=HI, response_format={"type": "json_object"}
        )
        assert plain.choices[0].message.content == '{"name": "Oslo"}'

    app(story, tmp_path)


def test_extra_body_reaches_the_router(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        answer = await client.chat.completions.create(
            model="acme/m",
            messages=HI,
            extra_body={"models": ["acme/n"], "provider": {"only": ["b"], "max_price": {"prompt": 2}}},
        )
        assert (answer.model, (answer.model_extra or {})["provider"]) == ("acme/m", "B")
        assert at["b"].served[0].body.keys() == {"model", "messages"}

    app(story, tmp_path, TWO, "ab")


def test_reasoning_comes_as_the_provider_sends_it(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(reasoning="let me think", text="yes")
        answer = await client.chat.completions.create(model="acme/m", messages=HI)
        assert (answer.choices[0].message.model_extra or {})["reasoning_content"] == "let me think"
        stream = await client.chat.completions.create(model="acme/m", messages=HI, stream=True)
        extras = [c.choices[0].delta.model_extra or {} async for c in stream if c.choices]
        assert "".join(extra.get("reasoning_content") or "" for extra in extras) == "let me think"

    app(story, tmp_path)


def test_the_raw_answer_names_its_generation(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, _at: Providers) -> None:
        raw = await client.chat.completions.with_raw_response.create(model="acme/m", messages=HI)
        assert raw.headers["X-Generation-Id"] == raw.parse().id
        async with client.chat.completions.with_streaming_response.create(
            model="acme/m", messages=HI, stream=True, extra_headers={"X-Byway-Explain": "1"}
        ) as streamed:
            assert streamed.headers["X-Generation-Id"].startswith("gen-")
            assert '"byway"' in await streamed.text()

    app(story, tmp_path)


def test_models_are_listed_and_retrieved(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, _at: Providers) -> None:
        assert {model.id async for model in client.models.list()} == {"acme/m", "acme/n"}
        assert (await client.models.retrieve("acme/m")).owned_by == "acme"
        with pytest.raises(openai.NotFoundError, match="did you mean acme/m"):
            await client.models.retrieve("acme/mm")

    app(story, tmp_path, TWO, "ab")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("reply", "error", "code"),
    [
        (CLIENTS_FAULT["400"], openai.BadRequestError, 400),
        (CLIENTS_FAULT["context_length"], openai.BadRequestError, 400),
        (CLIENTS_FAULT["422"], openai.UnprocessableEntityError, 422),
        (status(413), openai.APIStatusError, 413),
        (status(404, code="model_not_found"), openai.NotFoundError, 404),
        (status(401), openai.InternalServerError, 502),  # the company's credential, not the app's
        (status(429, retry_after="7"), openai.RateLimitError, 429),
        (status(500), openai.InternalServerError, 502),
        (status(503), openai.InternalServerError, 503),
        (status(529), openai.InternalServerError, 503),
        (Reply(kind="empty_200"), openai.InternalServerError, 502),
        (Reply(kind="error_in_200"), openai.APIStatusError, None),
    ],
)
def test_an_error_is_of_its_class(
    tmp_path: Path, reply: Reply, error: type[openai.APIStatusError], code: int | None, stream: bool
) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = reply
        with pytest.raises(error) as caught:
            await client.chat.completions.create(model="acme/m", messages=HI, stream=stream)
        assert caught.value.status_code == (code or caught.value.status_code)
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["code"] == caught.value.status_code
        assert caught.value.body["metadata"]["error_type"]
        assert caught.value.response.headers["X-Generation-Id"].startswith("gen-")
        if code in (429, 502, 503):
            assert int(caught.value.response.headers["Retry-After"]) >= 1

    app(story, tmp_path)


def test_what_is_wrong_with_the_request_is_a_bad_request(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        with pytest.raises(openai.BadRequestError, match="did you mean") as caught:
            await client.chat.completions.create(model="acme/mm", messages=HI)
        assert (caught.value.param, caught.value.type) == ("model", "invalid_request_error")
        with pytest.raises(openai.BadRequestError, match="at least one message"):
            await client.chat.completions.create(model="acme/m", messages=[])
        with pytest.raises(openai.NotFoundError, match=r"provider\.only"):
            await client.chat.completions.create(
                model="acme/m", messages=HI, extra_body={"provider": {"only": ["x"]}}
            )
        assert at["a"].served == []

    app(story, tmp_path)


def test_the_clients_own_retry_waits_as_long_as_the_provider_asked(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.then += [status(429, retry_after="1")]
        began = time.monotonic()
        answer = await client.chat.completions.create(model="acme/m", messages=HI)
        assert answer.choices[0].message.content == SAYS
        assert 1.0 <= time.monotonic() - began < 3.0
        assert [served.status for served in at["a"].served] == [429, 200]

    app(story, tmp_path, max_retries=2)


def test_a_refused_credential_of_ours_is_not_tried_again_by_the_client(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = status(401, code="invalid_api_key")
        with pytest.raises(openai.InternalServerError):
            await client.chat.completions.create(model="acme/m", messages=HI)
        assert len(at["a"].served) == 1

    app(story, tmp_path, max_retries=2)


@pytest.mark.parametrize("kind", ["cut", "reset", "early_end", "error_event"])
def test_a_stream_that_breaks_raises(tmp_path: Path, kind: Any) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(kind=kind, after=2)
        stream = await client.chat.completions.create(model="acme/m", messages=HI, stream=True)
        words: list[str] = []

        async def read() -> None:
            async for chunk in stream:
                words.append(chunk.choices[0].delta.content or "")  # noqa: PERF401 - what came before it broke counts

        with pytest.raises(openai.APIError) as caught:
            await read()
        assert "".join(words).startswith("Hello from")
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["code"] == 502

    app(story, tmp_path)


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_runs_out_of_patience_leaves_nothing_behind(tmp_path: Path, stream: bool) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(kind="hold")
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="acme/m", messages=HI, stream=stream, timeout=0.2)
        await at["a"].until(lambda: at["a"].served[0].ended == "client_gone")

    app(story, tmp_path)


def test_a_stream_that_is_closed_early_ends_at_the_provider(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(kind="hold", after=2)
        stream = await client.chat.completions.create(model="acme/m", messages=HI, stream=True)
        async for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        await stream.close()
        await at["a"].until(lambda: at["a"].served[0].ended == "client_gone")

    app(story, tmp_path)


def test_a_task_that_is_cancelled_ends_at_the_provider(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].script.always = Reply(kind="hold")
        asking = asyncio.create_task(client.chat.completions.create(model="acme/m", messages=HI))
        await at["a"].until(lambda: at["a"].holding == 1)
        asking.cancel()
        await at["a"].until(lambda: at["a"].served[0].ended == "client_gone")

    app(story, tmp_path)


def test_many_at_once_all_get_their_own_answer(tmp_path: Path) -> None:
    async def story(client: openai.AsyncOpenAI, at: Providers) -> None:
        at["a"].choose = lambda request: Reply(text=request.json["messages"][0]["content"])

        async def one(number: int) -> str:
            said: list[ChatCompletionMessageParam] = [{"role": "user", "content": f"number {number}"}]
            stream = await client.chat.completions.create(model="acme/m", messages=said, stream=True)
            return "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])

        assert await asyncio.gather(*(one(n) for n in range(40))) == [f"number {n}" for n in range(40)]

    app(story, tmp_path)
