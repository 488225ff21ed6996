"""A budget that follows an answer as it grows, before a real ledger."""

import asyncio
from pathlib import Path
from typing import Any

from builders.gateway import one_route
from builders.purses import budget, counters, held, line, priced
from byway_contract.money import NANO, Price
from byway_contract.records import Intent, Progress, decode
from byway_contract.table import Table
from byway_proxy.meter.log import Log
from fakes.provider import FakeProvider
from fakes.reply import Reply
from fakes.usage import until

MONEY = "default/team/Month/nanodollars"
A_TOKEN = 2000
"""Nanodollars, of an answer; prompts cost nothing here."""
LONG = " ".join(["word"] * 3000)


def followed(provider: FakeProvider) -> Table:
    """At a model whose thoughts can be seen, if it has any."""
    return priced(one_route(provider), Price(0, 2 * NANO), features=())


def test_a_first_piece_is_held_and_more_as_the_answer_grows(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO), metered=True)
        always = Reply(text=LONG, usage="asked", per_write=50)
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, followed(provider), team) as (proxy, ledger),
        ):
            answer = await proxy.ask(stream=True)
            assert answer.chunks[-2]["usage"]["completion_tokens"] == 3000
            records = proxy.written()
            [intent] = [one for one in records if isinstance(one, Intent)]
            assert sum(amount for _, amount in intent.legs) == 1024 * A_TOKEN
            steps = [one for one in records if isinstance(one, Progress)]
            assert 5 <= len(steps) <= 3000 / 16 + 5
            assert [one for one in steps if one.legs]
            [(_, settle)] = proxy.settled()
            drawn = sum(amount for _, amount in settle.legs)
            # What comes in one piece may be more than was set aside by then: that is a metered budget's ε.
            assert 0 <= settle.billed - drawn <= 512 * A_TOKEN
            assert settle.billed == 3000 * A_TOKEN
            assert await proxy.shipper.flush(5.0)
            assert (await counters(ledger))[MONEY].spent == 3000 * A_TOKEN

    asyncio.run(asyncio.wait_for(story(), 30))


def test_when_there_is_no_room_for_more_the_answer_ends_as_too_long_and_what_came_is_billed(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(2000 * A_TOKEN), metered=True)
        always = Reply(text=LONG, gap_s=0.001, per_write=10)
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, followed(provider), team, wait_s=0.2) as (proxy, ledger),
        ):
            answer = await proxy.ask(stream=True)
            [last] = [c for c in answer.chunks if isinstance(c, dict) and c["choices"] and _finish(c)]
            assert (_finish(last), last["choices"][0]["native_finish_reason"]) == ("length", "budget")
            [(_, settle)] = proxy.settled()
            said = len(answer.text.split())
            assert (settle.outcome, settle.finish, settle.usage.completion) == ("ok", "length", said)
            # A piece is 512 tokens: less than one is left, and no more than a checkpoint was said beyond.
            assert 2000 - 512 < said <= 2000 + 16 + 10
            assert await proxy.shipper.flush(5.0)
            assert (await counters(ledger))[MONEY].spent == said * A_TOKEN

    asyncio.run(asyncio.wait_for(story(), 30))


def test_after_a_crash_its_row_shows_what_was_seen_and_the_budget_is_charged_what_was_held(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO), metered=True)
        always = Reply(kind="hold", text=LONG, after=1500)
        async with (
            FakeProvider(always=always) as provider,
            held(tmp_path, followed(provider), team) as (proxy, _),
        ):
            client = asyncio.create_task(proxy.ask(stream=True))
            await until(lambda: provider.holding == 1)
            await until(lambda: bool([one for one in proxy.written() if isinstance(one, Progress)][80:]))
            proxy.records.sync()
            copy = tmp_path / "copy"
            copy.mkdir()
            for path in (tmp_path / "log").iterdir():
                (copy / path.name).write_bytes(path.read_bytes())
            seen, held_then = _seen(proxy.written())
            risen = Log(copy)
            crash: Any = decode(risen.read(risen.last - 1, 1)[0] if risen.synced >= risen.last else _last(risen))
            assert (crash.outcome, crash.usage_from) == ("crash", "estimated")
            assert crash.usage.completion == seen + 16
            assert crash.billed == crash.usage.completion * A_TOKEN
            assert sum(amount for _, amount in crash.legs) == held_then
            risen.close()
            client.cancel()
            await asyncio.gather(client, return_exceptions=True)

    asyncio.run(asyncio.wait_for(story(), 30))


def test_without_a_stream_the_whole_worst_case_is_held(tmp_path: Path) -> None:
    async def story() -> None:
        team = budget(line(NANO), metered=True)
        async with FakeProvider() as provider, held(tmp_path, followed(provider), team) as (proxy, _):
            assert (await proxy.ask(max_tokens=3000)).status == 200
            [(intent, _)] = proxy.settled()
            assert sum(amount for _, amount in intent.legs) == 3000 * A_TOKEN

    asyncio.run(asyncio.wait_for(story(), 30))


def _finish(chunk: dict[str, Any]) -> Any:
    return chunk["choices"][0]["finish_reason"]


def _seen(records: list[Any]) -> tuple[int, int]:
    steps = [one for one in records if isinstance(one, Progress)]
    begun = [one for one in records if isinstance(one, Intent)]
    return steps[-1].completion, sum(amount for one in (*begun, *steps) for _, amount in one.legs)


def _last(log: Log) -> bytes:
    log.sync()
    return log.read(log.last - 1, 1)[0]
