"""A simulator of somebody else's making commits every fault it knows, and judges how we took it.

Two candidates, each a process of its own; the first fails. `gave_up` is what failing over looks like from there.
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
from byway_proxy.choose.trouble import Limits
from fakes.judge import Judge, judged_together, judging

Judges = tuple[Judge, Judge]
Story = Callable[[Gateway, openai.AsyncOpenAI], Awaitable[None]]
ASKS = 6
QUESTION = "what breaks in the middle"


@pytest.fixture(scope="module")
def judges() -> Iterator[Judges]:
    with judging() as first, judging() as second:
        yield first, second


def candidates(*judges: Judge) -> Table:
    """Route `smart`: a first, then b."""
    slugs = "ab"[: len(judges)]
    keys = [account(slug, base_url=judge.url) for slug, judge in zip(slugs, judges, strict=True)]
    offers = [endpoint(f"team-a/{slug}", "openai/gpt-4o", upstream_model="gpt-4o") for slug in slugs]
    members = [member(f"team-a/{slug}:gpt-4o", order=n) for n, slug in enumerate(slugs)]
    return table(keys, offers, [route("smart", *members)], anonymous="team-a")


def told(story: Story, folder: Path, served: Table, eject: bool = False, silence_s: float = 5.0) -> None:
    """With ejection off, every request meets the fault. `silence_s` is how long we wait for a word."""

    async def tell() -> None:
        async with (
            gateway(folder, served, health=Limits(eject=eject), first_token_s=silence_s, idle_s=silence_s) as proxy,
            openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key="any", max_retries=0) as client,
        ):
            await story(proxy, client)

    asyncio.run(tell())


async def said(client: openai.AsyncOpenAI, stream: bool, question: str = "hi") -> str:
    asked: Any = {"model": "smart", "messages": [{"role": "user", "content": question}]}
    if not stream:
        return (await client.chat.completions.create(**asked)).choices[0].message.content or ""
    chunks = await client.chat.completions.create(**asked, stream=True)
    return "".join([c.choices[0].delta.content or "" async for c in chunks if c.choices])


async def all_answered(client: openai.AsyncOpenAI, stream: bool) -> None:
    for number in range(ASKS):
        question = f"what is {number} and {number + 1}"
        assert question in await said(client, stream, question)  # it echoes: the answer is whole


async def whole_or_told(client: openai.AsyncOpenAI) -> bool:
    """Where the fault arrived together with the first word, nothing was delivered yet and the next one answers."""
    try:
        return QUESTION in await said(client, stream=True, question=QUESTION)
    except openai.APIError as error:
        return isinstance(error.body, dict) and error.body["code"] in (502, 504)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 529])
def test_a_failing_candidate_costs_no_client_anything(
    tmp_path: Path, judges: Judges, status: int, stream: bool
) -> None:
    first, second = judges
    first.reset({"type": "fail", "status": status, "times": 100})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        await all_answered(client, stream)

    told(story, tmp_path, candidates(*judges))
    assert [record.status for record in first.served()] == [status] * ASKS
    assert first.findings("error") == second.findings("error") == set()
    assert first.findings("warning") <= {"gave_up"}


@pytest.mark.parametrize("stream", [False, True])
def test_retry_after_is_waited_for_at_whoever_said_it(tmp_path: Path, judges: Judges, stream: bool) -> None:
    first, second = judges
    first.reset({"type": "fail", "status": 429, "retry_after": 1, "times": 1})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        async with asyncio.timeout(10):
            while len(first.served()) < 2:  # it comes back, when it said, and not before
                assert await said(client, stream)

    told(story, tmp_path, candidates(*judges))
    assert [record.status for record in first.served()] == [429, 200]
    assert first.findings("error") == second.findings("error") == set()


@pytest.mark.parametrize("status", [400, 422])
def test_what_cannot_work_is_not_tried_again(tmp_path: Path, judges: Judges, status: int) -> None:
    first, second = judges
    first.reset({"type": "fail", "status": status, "times": 1})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        with pytest.raises(openai.APIStatusError) as caught:
            await said(client, stream=False)
        assert caught.value.status_code == status

    told(story, tmp_path, candidates(*judges))
    assert (len(first.served()), len(second.served())) == (1, 0)
    assert first.findings("error") == set()


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refused_account_is_left_alone(tmp_path: Path, judges: Judges, status: int) -> None:
    first, second = judges
    first.reset({"type": "fail", "status": status, "times": 100})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        for _ in range(4):
            assert await said(client, stream=False)

    told(story, tmp_path, candidates(*judges))
    assert (len(first.served()), len(second.served())) == (1, 4)
    assert first.findings("error") == second.findings("error") == set()


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed", "stall"])
def test_a_stream_that_breaks_before_its_first_word_is_answered_by_the_next(
    tmp_path: Path, judges: Judges, kind: str
) -> None:
    first, second = judges
    first.reset({"type": "stream_fault", "kind": kind, "after_chunks": 1, "stall_seconds": 0.95, "times": 100})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        await all_answered(client, stream=True)

    told(story, tmp_path, candidates(*judges), silence_s=0.5 if kind == "stall" else 5.0)
    assert len(second.served()) == ASKS
    # The first sees half a stream and no second try at itself; together they saw the whole.
    assert judged_together(judges) == second.findings("error") == set()
    assert first.findings("error") <= {"truncated_stream_accepted"}


@pytest.mark.parametrize("kind", ["disconnect", "truncate", "malformed", "stall"])
def test_a_stream_that_breaks_later_is_never_taken_for_whole(tmp_path: Path, judges: Judges, kind: str) -> None:
    first, second = judges
    first.reset({"type": "stream_fault", "kind": kind, "after_chunks": 4, "stall_seconds": 0.95})
    second.reset()

    async def story(proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        assert await whole_or_told(client)
        assert QUESTION in await said(client, stream=True, question=QUESTION)
        first_end, *_, last_end = [settle.outcome for _, settle in proxy.settled()]
        assert (first_end in ("upstream_cut", "failed"), last_end) == (True, "ok")

    told(story, tmp_path, candidates(*judges), silence_s=0.5 if kind == "stall" else 5.0)
    assert judged_together(judges) == second.findings("error") == set()


def test_a_sole_candidate_is_tried_once_more_and_after_a_pause(tmp_path: Path, judges: Judges) -> None:
    first, _ = judges
    first.reset({"type": "fail", "status": 503, "times": 1})

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        assert await said(client, stream=False)

    told(story, tmp_path, candidates(first))
    assert [record.status for record in first.served()] == [503, 200]
    assert first.findings("error") == first.findings("warning") == set()


def test_a_provider_that_is_down_is_not_stormed(tmp_path: Path, judges: Judges) -> None:
    first, second = judges
    first.reset({"type": "fail", "status": 500, "times": 1000})
    second.reset()

    async def story(_proxy: Gateway, client: openai.AsyncOpenAI) -> None:
        answers = await asyncio.gather(*(said(client, stream=n % 2 == 0) for n in range(40)))
        assert all(answers)
        assert all([await said(client, stream=False) for _ in range(20)])

    told(story, tmp_path, candidates(*judges), eject=True)
    assert len(first.served()) <= 40  # those under way before it was ejected, and none of the twenty after
    assert len(second.served()) == 60
    assert second.findings("error") == set()
