"""Real llama.cpp servers behind us, asked by the official client: what only a real server shows.

Counts of cached tokens, a context that overflows, sockets closed after a stream that promised to keep them.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from builders.gateway import Gateway, gateway
from builders.tables import account, endpoint, member, route, table
from byway_contract.table import Table
from fakes.llama import CONTEXT, llama_serving, write_model
from fakes.provider import FakeProvider
from fakes.reply import Reply

Story = Callable[[Gateway, openai.AsyncOpenAI], Awaitable[None]]
STREAMS = 200


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of one, `/v1` included."""
    model = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(model)
    with llama_serving(model) as address:
        yield f"{address.rstrip('/')}/v1"


def served_by(url: str, fallback: str = "") -> Table:
    """`tiny` is a route over the real server, with a fallback to `large` at another, should there be one."""
    keys = [account("llama", base_url=url, in_cluster=True)]
    # Its context is not said: that it is too short is for the server to say.
    offers = [endpoint("team-a/llama", "tiny-random", price=1.0)]
    if fallback:
        keys.append(account("large", base_url=fallback))
        offers.append(endpoint("team-a/large", "large", price=2.0))
    tiny = route("tiny", member("team-a/llama:tiny-random"), fallback_models=("large",) if fallback else ())
    return table(keys, offers, [tiny], anonymous="team-a")


def told(story: Story, folder: Path, served: Table) -> None:
    async def tell() -> None:
        async with (
            gateway(folder, served) as proxy,
            openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client,
        ):
            await story(proxy, client)

    asyncio.run(tell())


def asking(content: str, **more: Any) -> Any:
    return {"model": "tiny", "max_tokens": 4, "messages": [{"role": "user", "content": content}], **more}


def test_it_answers_whole_and_streamed_with_exact_usage(tmp_path: Path, llama: str) -> None:
    async def story(proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        whole = await client.chat.completions.create(**asking("the way of the world"))
        assert whole.choices[0].message.content
        assert whole.model == "tiny-random"
        stream = await client.chat.completions.create(**asking("the way of the world"), stream=True)
        chunks = [chunk async for chunk in stream]
        assert any(c.choices[0].delta.content for c in chunks if c.choices)
        [usage] = [chunk.usage for chunk in chunks if chunk.usage]
        assert whole.usage is not None
        assert usage.prompt_tokens == whole.usage.prompt_tokens > 0
        assert 1 <= usage.completion_tokens <= 4
        settles = [settle for _, settle in proxy.settled()]
        assert [settle.usage_from for settle in settles] == ["provider", "provider"]
        assert [settle.usage.completion for settle in settles] == [
            whole.usage.completion_tokens,
            usage.completion_tokens,
        ]

    told(story, tmp_path, served_by(llama))


def test_a_repeated_prefix_is_told_as_cached(tmp_path: Path, llama: str) -> None:
    async def story(proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        prefix = "some of them would make her look into the water and write " * 10
        found = []
        for _ in range(3):  # two slots: the third asking meets one that has seen it
            usage = (await client.chat.completions.create(**asking(prefix))).usage
            assert usage is not None
            assert usage.prompt_tokens_details is not None
            found.append(usage.prompt_tokens_details.cached_tokens or 0)
        assert found[-1] > 50
        assert [settle.usage.cached for _, settle in proxy.settled()] == found

    told(story, tmp_path, served_by(llama))


@pytest.mark.parametrize("stream", [False, True])
def test_a_context_that_overflows_is_answered_by_the_fallback_model(
    tmp_path: Path, llama: str, stream: bool
) -> None:
    async def tell() -> None:
        async with (
            FakeProvider(keys=None, always=Reply(text="I have room.")) as large,
            gateway(tmp_path, served_by(llama, large.url)) as proxy,
            openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client,
        ):
            long = "the way of the world " * CONTEXT
            answer = await client.chat.completions.create(**asking(long), stream=stream)
            if stream:
                chunks = [chunk async for chunk in answer]
                words = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
                assert (words, chunks[0].model) == ("I have room.", "large")
            else:
                assert (answer.choices[0].message.content, answer.model) == ("I have room.", "large")
            [(_, refused), (_, answered)] = proxy.settled()
            assert (refused.reason, refused.billed, answered.outcome) == ("context_length", 0, "ok")

    asyncio.run(tell())


def test_without_a_fallback_the_caller_is_told_that_it_does_not_fit(tmp_path: Path, llama: str) -> None:
    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.BadRequestError, match="context") as caught:
            await client.chat.completions.create(**asking("the way of the world " * CONTEXT))
        assert isinstance(caught.value.body, dict)
        assert caught.value.body["metadata"]["error_type"] == "context_length_exceeded"

    told(story, tmp_path, served_by(llama))


def test_two_hundred_streams_one_after_another_all_end_well(tmp_path: Path, llama: str) -> None:
    """llama.cpp closes the socket after each stream while it promises to keep it."""

    async def story(proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        for number in range(STREAMS):
            stream = await client.chat.completions.create(**asking(f"number {number}", max_tokens=2), stream=True)
            finishes = [c.choices[0].finish_reason async for c in stream if c.choices]
            assert finishes[-1] in ("stop", "length")
        assert [settle.outcome for _, settle in proxy.settled()] == ["ok"] * STREAMS

    told(story, tmp_path, served_by(llama))
