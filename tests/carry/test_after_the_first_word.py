"""Once a word has reached the client nobody else can finish the sentence: it is told so in good form."""

import asyncio
from pathlib import Path

import pytest
from builders.gateway import Answer, gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import AFTER_COMMIT, Reply

REQUESTS = 20


def _is_well_formed(answer: Answer) -> bool:
    *_, last, done = answer.chunks
    return (
        answer.status == 200
        and done == "[DONE]"
        and last.keys() >= {"id", "object", "created", "model", "provider", "choices", "error"}
        and last["id"] == answer.headers["X-Generation-Id"]
        and [choice["finish_reason"] for choice in last["choices"]] == ["error"]
        and type(last["error"]["code"]) is int
        and last["error"]["metadata"]["error_type"] in ("provider_unavailable", "timeout")
    )


@pytest.mark.parametrize("fault", AFTER_COMMIT)
def test_a_stream_that_breaks_ends_in_an_error_chunk_and_one_record(tmp_path: Path, fault: str) -> None:
    async def story() -> None:
        async with FakeProvider(always=AFTER_COMMIT[fault]) as a, FakeProvider() as b:
            # Ejected after five of them: then b would be asked first.
            async with gateway(tmp_path, one_route(a, b, route={"max_attempts": 1}), idle_s=0.5) as proxy:
                wanted = {"only": ["a"]}
                answers = await asyncio.gather(*(proxy.ask(stream=True, provider=wanted) for _ in range(REQUESTS)))
                settled = proxy.settled()
            assert [_is_well_formed(answer) for answer in answers] == [True] * REQUESTS
            assert {answer.text for answer in answers} == {"Hello from"}
            assert b.served == []
            served = {f"chatcmpl-fake{one.number}": one for one in a.served}
            assert len(settled) == len({settle.upstream_id for _, settle in settled}) == REQUESTS
            for _, settle in settled:
                assert settle.outcome == "upstream_cut"
                assert settle.usage_from == "estimated"
                assert settle.usage.completion == served[settle.upstream_id].completion_tokens == 2
                assert 0 < settle.billed == settle.cost

    asyncio.run(story())


def test_a_request_has_one_deadline_and_a_stream_that_outlasts_it_is_cut(tmp_path: Path) -> None:
    async def story() -> None:
        drip = Reply(text="on and on and on " * 200, gap_s=0.02)
        async with FakeProvider(always=drip) as a, FakeProvider() as b:
            async with gateway(tmp_path, one_route(a, b), request_s=0.4) as proxy:
                answer = await proxy.ask(stream=True)
                [(_, settle)] = proxy.settled()
            assert answer.text.startswith("on and on")
            assert _is_well_formed(answer)
            assert answer.chunks[-2]["error"]["code"] == 504
            assert (settle.outcome, settle.reason) == ("upstream_cut", "deadline")

    asyncio.run(story())
