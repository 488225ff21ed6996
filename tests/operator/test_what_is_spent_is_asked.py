"""The operator asks a real ledger what is spent: at once when limits changed, and says nothing when nothing did."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import ClientSession, UnixConnector
from builders.tls_ledger import House
from byway_contract.grants import GRANTS_PATH, LIMITS_PATH
from byway_operator.push.spending import Spending
from byway_process.logs import Log
from byway_process.tls import ClientTls
from fakes.grants import ask, limit, limits
from fakes.usage import ledger_at
from stream.parts import until

BUDGET = "platform/team-a"
FAR_S = 3600.0


class Heard:
    """How often something new was said."""

    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> None:
        self.times += 1


@asynccontextmanager
async def asking(make: Callable[[], Spending]) -> AsyncIterator[Spending]:
    spending = make()
    task = asyncio.create_task(spending.run())
    try:
        yield spending
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def send(to: str, verb: str, path: str, body: object) -> None:
    async with (
        ClientSession("http://ledger", connector=UnixConnector(to.removeprefix("unix:"))) as session,
        session.request(verb, path, data=msgspec.json.encode(body)) as answer,
    ):
        assert answer.status == 200, await answer.text()


def test_what_is_set_aside_is_known_once_the_ledger_is_asked_again(tmp_path: Path) -> None:
    async def story() -> None:
        heard = Heard()
        async with ledger_at(tmp_path) as to, asking(lambda: quiet(to, heard, FAR_S)) as spending:
            await until(lambda: spending.spend.answered)
            await send(to, "PUT", LIMITS_PATH, limits(limit(1000), term=3, generation=7))
            await send(to, "POST", GRANTS_PATH, ask(1, need=900))
            assert not spending.spend.counters
            spending.hurry()
            await until(lambda: spending.spend.hash == "hash-3-7")
            (counter,) = spending.spend.counters[BUDGET]
            assert (counter.reserved, counter.amount) == (900, 1000)
            assert heard.times == 2

    asyncio.run(story())


def test_the_same_answer_is_no_news_and_the_same_object(tmp_path: Path) -> None:
    async def story() -> None:
        heard = Heard()
        async with ledger_at(tmp_path) as to:
            await send(to, "PUT", LIMITS_PATH, limits(limit(1000), term=3, generation=7))
            async with asking(lambda: quiet(to, heard, 0.001)) as spending:
                await until(lambda: spending.spend.answered)
                first = spending.spend
                await until(lambda: spending.asked > 5)
                assert spending.spend is first
                assert heard.times == 1

    asyncio.run(story())


def test_a_ledger_that_is_away_is_known_since_when_and_what_it_said_stands(tmp_path: Path) -> None:
    async def story() -> None:
        said, clock = io.StringIO(), iter(range(1000))
        async with ledger_at(tmp_path) as to:
            await send(to, "PUT", LIMITS_PATH, limits(limit(1000), term=3, generation=7))
            log = Log("t", out=said)
            spending = Spending(to, Heard(), log, every_s=0.001, now=lambda: float(next(clock)))
            task = asyncio.create_task(spending.run())
            await until(lambda: spending.spend.answered)
        await until(lambda: spending.asked > 10 and spending.spend.silent_since is not None)
        assert (spending.spend.silent_since, spending.spend.hash) == (0.0, "hash-3-7")
        assert spending.spend.why
        async with ledger_at(tmp_path):
            await until(lambda: spending.spend.silent_since is None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert said.getvalue().count("does not say what is spent") <= 3

    asyncio.run(story())


def test_in_a_cluster_it_is_asked_over_tls_by_the_operator_alone(tmp_path: Path) -> None:
    async def story() -> None:
        house = House(tmp_path)
        ours = ClientTls(house.file("ca"), house.log, house.file("operator.crt"), house.file("operator.key"))
        nobodys = ClientTls(house.file("ca"), house.log)
        async with house.serving():
            async with asking(lambda: Spending(house.url, Heard(), house.log, ours)) as spending:
                await until(lambda: spending.spend.answered)
            async with asking(lambda: Spending(house.url, Heard(), house.log, nobodys)) as spending:
                await until(lambda: spending.spend.silent_since is not None)
                assert spending.spend.why.startswith("HTTP 40")

    asyncio.run(story())


def quiet(to: str, heard: Heard, every_s: float) -> Spending:
    return Spending(to, heard, Log("t", out=io.StringIO()), every_s=every_s)
