"""A proxy's purse before a real ledger: what is asked, given, lost on the way, and given back."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders.purses import budget, counters, line, rule
from byway_contract.grants import Counter
from byway_contract.records import Intent, Release, Settle, decode
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.budgets import Budgets, Line
from byway_proxy.meter.held import Claim, Hold
from byway_proxy.meter.log import Log
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.post import LedgerPost
from byway_proxy.meter.ship import Shipper
from byway_proxy.meter.waiting import Short
from fakes.usage import COST, USAGE, intent, ledger_at, lossy, silent, until

BUDGET = budget(line(1_000_000_000), namespace="team-a", name="b")
MONEY = "team-a/b/Month/nanodollars"
LINE = Budgets([BUDGET]).binding("team-a", "", "", "", "team-a/openai", "openai/gpt-5-mini").lines[0]


class Proxy:
    """The metering of one."""

    def __init__(self, folder: Path, to: str, **settings: Any) -> None:
        self.log = Log(folder, sync_every_s=0.005)
        self.meter = Meter(self.log)
        self.post = LedgerPost(to)
        loop = asyncio.get_running_loop()
        self.asking = Asking(self.meter, self.log, self.post, silent(), now=loop.time, **settings)
        self.shipper = Shipper(
            self.log, self.post, silent(), first_wait_s=0.005, longest_wait_s=0.02, on_recall=self.asking.recall
        )
        self.tasks = [loop.create_task(self.asking.run()), loop.create_task(self.shipper.run())]

    async def hold(self, need: int, within_s: float = 5.0, line: Line = LINE) -> Hold | Short:
        return await self.asking.hold([Claim(line, need)], asyncio.get_running_loop().time() + within_s)

    async def begun(self, name: str, need: int) -> None:
        hold = await self.hold(need)
        assert isinstance(hold, Hold)
        self.meter.begin(intent(name), hold)

    def ended(self, name: str) -> None:
        self.meter.settle(name, "ok", USAGE, "provider", answered=True, finish="stop")

    async def leave(self) -> None:
        """As a process that ends in order."""
        assert await self.asking.leave(5.0)
        assert await self.shipper.flush(5.0)
        await self.die()

    async def die(self) -> None:
        """Without a word: what it held stays in its log."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.post.close()
        self.log.close()


@asynccontextmanager
async def proxy(folder: Path, to: str, **settings: Any) -> AsyncIterator[Proxy]:
    one = Proxy(folder, to, **settings)
    try:
        yield one
    finally:
        await one.die()


def written(log: Log) -> list[Any]:
    log.sync()
    return [decode(one) for one in log.read(log.oldest, 10_000)]


async def settled(to: str) -> Counter:
    """The counter, once nothing is in grants any more."""
    async with asyncio.timeout(5):
        while True:
            counter = (await counters(to))[MONEY]
            if not counter.reserved:
                return counter


def test_what_is_not_needed_goes_back_when_the_process_ends(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            one = Proxy(tmp_path / "log", to)
            await one.begun("a", COST * 2)
            one.ended("a")
            assert (await counters(to))[MONEY].reserved > 0
            await one.leave()
            counter = (await counters(to))[MONEY]
            assert (counter.spent, counter.reserved, counter.metered) == (COST, 0, 1)

    asyncio.run(story())


def test_after_a_crash_the_limit_is_charged_the_whole_hold_and_the_rest_comes_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            dead = Proxy(tmp_path / "log", to)
            await dead.begun("a", 5_000_000)
            await dead.begun("b", 1_000_000)
            dead.ended("b")
            await dead.die()
            assert (await counters(to))[MONEY].reserved > 5_000_000
            async with proxy(tmp_path / "log", to):
                counter = await settled(to)
                assert counter.spent == 5_000_000 + COST

    asyncio.run(story())


def test_what_an_open_attempt_holds_is_remembered_when_its_intent_is_deleted(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", segment_bytes=2000, sync_every_s=3600)
    log.append(intent("long", legs=(("g-1", 7), ("g-2", 0))))
    for number in range(30):
        log.append(intent(f"a-{number}"))
        log.append(Settle(f"a-{number}", 1.0, "ok"))
    log.sync()
    log.mark_booked(log.last)
    log.sync()
    assert log.oldest > 2
    log.close()
    again = Log(tmp_path / "log")
    [crash] = [one for one in written(again) if isinstance(one, Settle) and one.outcome == "crash"]
    assert (crash.attempt, crash.legs) == ("long", (("g-1", 7), ("g-2", 0)))
    again.close()


def test_requests_that_wait_at_once_are_one_ask(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with proxy(tmp_path / "log", to) as one:
                got = await asyncio.gather(*(one.hold(1000) for _ in range(90)))
                assert all(isinstance(each, Hold) for each in got)
                assert one.asking.asks <= 2

    asyncio.run(story())


def test_a_storm_of_refused_requests_is_no_storm_of_asks(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with proxy(tmp_path / "log", to) as one:
                for _ in range(20):
                    got = await asyncio.gather(*(one.hold(2_000_000_000) for _ in range(50)))
                    assert all(isinstance(each, Short) and each.denied is not None for each in got)
                assert one.asking.asks <= 3

    asyncio.run(story())


def test_what_another_proxy_holds_idle_comes_back_for_who_needs_it(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with (
                proxy(tmp_path / "one", to, beat_s=0.05) as rich,
                proxy(tmp_path / "two", to, beat_s=0.05) as poor,
            ):
                hold = await rich.hold(900_000_000)
                assert isinstance(hold, Hold)
                waiting = asyncio.create_task(poor.hold(500_000_000))
                await until(lambda: poor.asking.asks > 0)
                assert not waiting.done()
                rich.meter.unhold(hold)
                assert isinstance(await waiting, Hold)
                assert [type(one) for one in written(rich.log)][-1] is Release

    asyncio.run(story())


def test_who_waits_in_vain_is_told_what_the_ledger_said(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with proxy(tmp_path / "one", to) as rich, proxy(tmp_path / "two", to) as poor:
                await rich.begun("a", 900_000_000)
                short = await poor.hold(500_000_000, within_s=0.3)
                assert isinstance(short, Short)
                assert short.denied is not None
                assert (short.denied.left, short.denied.returning) == (100_000_000, 900_000_000)

    asyncio.run(story())


def test_a_limit_that_the_ledger_does_not_know_yet_is_waited_for(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to, proxy(tmp_path / "log", to) as one:
            assert isinstance(await one.hold(10, within_s=0.05), Short)
            waiting = asyncio.create_task(one.hold(10))
            await until(lambda: one.asking.asks > 1)
            await rule(to, BUDGET)
            assert isinstance(await waiting, Hold)

    asyncio.run(story())


def test_lost_asks_and_lost_answers_strand_nothing_and_spend_nothing_twice(tmp_path: Path) -> None:
    async def story() -> None:
        dice = random.Random(5)
        async with (
            ledger_at(tmp_path) as to,
            lossy(to, tmp_path, lambda: dice.choice(["pass", "pass", "refuse", "lose"])) as way,
        ):
            await rule(to, BUDGET)
            one = Proxy(tmp_path / "log", way, answer_within_s=0.5)
            for number in range(40):
                await one.begun(f"a-{number}", 20_000_000 - number)
                one.ended(f"a-{number}")
            await one.leave()
            counter = (await counters(to))[MONEY]
            assert (counter.spent, counter.reserved, counter.metered) == (40 * COST, 0, 40)

    asyncio.run(story())


def test_a_log_that_was_declared_lost_gets_nothing_and_the_next_start_begins_a_new_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with proxy(tmp_path / "log", to) as one:
                await one.begun("a", 1000)
                await one.post("/v1/close-source", b'{"source":"%s"}' % one.log.source.encode())
                assert isinstance(await one.hold(900_000_000), Short)
                assert "was declared lost" in one.asking.stopped
                source = one.log.source
            async with proxy(tmp_path / "log", to) as again:
                assert again.log.source != source
                assert list((tmp_path / "log" / f"lost-{source}").glob("*.log"))
                assert isinstance(await again.hold(1000), Hold)
                await until(lambda: again.log.booked == again.log.last)

    asyncio.run(story())


def test_the_intent_says_what_is_held_before_anything_is_sent(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path) as to:
            await rule(to, BUDGET)
            async with proxy(tmp_path / "log", to) as one:
                await one.begun("a", 12_345)
                [begun] = [each for each in written(one.log) if isinstance(each, Intent)]
                assert sum(amount for _, amount in begun.legs) == 12_345

    asyncio.run(story())
