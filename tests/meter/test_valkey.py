"""Proxies tell each other through a real Valkey what they used of a limit of a minute."""

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from builders.gateway import Gateway, gateway, one_route
from builders.rates import a_minute, attempt, enter, entered, obeying, with_budgets
from byway_contract.budget import Budget
from byway_contract.rates import overshoot_with_valkey
from byway_process.logs import Log
from byway_process.settings import SettingsError
from byway_proxy.meter.rates import Rates, Taken
from byway_proxy.meter.valkey import Valkey
from byway_proxy.meter.valkey_url import redis_url
from fakes.provider import FakeProvider
from fakes.valkey import ValkeyServer, valkey_server

Story = Callable[[list["Member"], ValkeyServer], Awaitable[None]]


class Member:
    """A proxy's rates, with their exchange running."""

    def __init__(self, rates: Rates, server: ValkeyServer, number: int) -> None:
        self.rates, self.out = rates, io.StringIO()
        self.now = asyncio.get_running_loop().time
        log = Log("proxy", "info", self.out)
        self.valkey = Valkey(
            server.url, f"p{number}", rates, log, self.now, every_s=0.02, again_s=0.05, hear_after_s=0.2
        )

    def fill(self, namespace: str = "team-a", most: int = 1000) -> int:
        """How many are let in now."""
        intent = attempt(namespace)
        return next((n for n in range(most) if not entered(self.rates, self.now(), intent=intent)), most)

    async def heard(self) -> None:
        """Of all that had been told when this began."""
        await until(lambda: self.valkey.hears)
        before = self.valkey.exchanges
        await until(lambda: self.valkey.exchanges >= before + 2)


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110  # of counters that nobody announces
            await asyncio.sleep(0.005)


@asynccontextmanager
async def members(server: ValkeyServer, count: int, *budgets: Budget) -> AsyncIterator[list[Member]]:
    fleet = [Member(obeying(*budgets, proxies=count), server, n) for n in range(count)]
    tasks = [asyncio.create_task(member.valkey.run()) for member in fleet]
    try:
        yield fleet
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def told(story: Story, count: int, *budgets: Budget) -> None:
    async def tell(server: ValkeyServer) -> None:
        async with members(server, count, *budgets) as fleet:
            await asyncio.gather(*(member.heard() for member in fleet))
            await story(fleet, server)

    with valkey_server() as server:
        asyncio.run(tell(server))


async def hears(member: Member, most: int) -> int:
    """Lets in all it can until it has `most` or, at the latest, when nothing more comes for a while."""
    done, idle = member.fill(), 0
    while done < most and idle < 25:
        await member.heard()
        more = member.fill()
        done, idle = done + more, 0 if more else idle + 1
    return done


def test_one_proxy_may_use_what_the_others_leave() -> None:
    async def story(fleet: list[Member], _server: ValkeyServer) -> None:
        one, other, third = fleet
        assert await hears(one, 90) == 90
        assert 0 < other.fill() <= 30
        await asyncio.gather(*(member.heard() for member in fleet))
        assert third.fill() <= 30
        await asyncio.gather(*(member.heard() for member in fleet))
        assert [member.fill() for member in fleet] == [0, 0, 0]

    told(story, 3, a_minute(requests=90))


def test_all_at_once_stay_within_the_stated_overshoot() -> None:
    async def story(fleet: list[Member], _server: ValkeyServer) -> None:
        most = 90 + overshoot_with_valkey(90, 3)
        done = await asyncio.gather(*(hears(member, most) for member in fleet))
        assert 90 <= sum(done) <= most

    told(story, 3, a_minute(requests=90))


def test_without_valkey_each_keeps_to_its_share_and_says_so_once() -> None:
    async def story(fleet: list[Member], server: ValkeyServer) -> None:
        one, other = fleet
        server.kill()
        await until(lambda: not one.valkey.answers and not other.valkey.answers)
        assert one.fill() <= 10
        await until(lambda: one.out.getvalue().count("does not answer") == 1)
        await until(lambda: one.valkey.failures >= 3)
        assert one.out.getvalue().count("does not answer") == 1
        assert one.rates.proxies * 10 == 20
        server.start()
        await until(lambda: one.valkey.answers and other.valkey.answers)
        assert one.out.getvalue().count("Valkey answers") == 2
        assert await hears(one, 20) >= 9

    told(story, 2, a_minute(requests=20))


def test_a_valkey_that_forgot_everything_is_told_it_again() -> None:
    async def story(fleet: list[Member], server: ValkeyServer) -> None:
        one, other = fleet
        await hears(one, 20)
        server.kill()
        await until(lambda: not one.valkey.answers and not other.valkey.answers)
        server.start()
        await until(lambda: one.valkey.answers and other.valkey.answers)
        await asyncio.gather(*(member.heard() for member in fleet))
        enter(other.rates, other.now())
        await other.heard()
        assert other.fill() == 0

    told(story, 2, a_minute(requests=20))


def test_what_came_back_to_one_is_there_for_the_other() -> None:
    async def story(fleet: list[Member], _server: ValkeyServer) -> None:
        one, other = fleet
        taken = enter(one.rates, one.now(), tokens=100)
        assert isinstance(taken, Taken)
        small = enter(other.rates, other.now(), tokens=1)
        assert isinstance(small, Taken)
        await one.heard()
        await other.heard()
        assert not entered(other.rates, other.now(), tokens=20)
        taken.settle(0, 0, one.now())
        await one.heard()
        await other.heard()
        assert entered(other.rates, other.now(), tokens=20)

    told(story, 2, a_minute(tokens=100))


def test_valkey_sees_no_name() -> None:
    async def story(fleet: list[Member], server: ValkeyServer) -> None:
        enter(fleet[0].rates, fleet[0].now(), intent=attempt(user_id="someone@example.com"))
        await fleet[0].heard()
        with redis.Redis(unix_socket_path=str(server.socket)) as looking:
            keys = looking.keys("*")
            assert isinstance(keys, list)
            assert len(keys) == 1
            assert keys[0].startswith(b"byway:rate:")
            assert set(looking.hgetall(keys[0])) == {b"p0"}  # type: ignore[arg-type]  # not awaited
            assert 0 < int(looking.ttl(keys[0])) <= 120  # type: ignore[arg-type]  # not awaited

    told(story, 1, a_minute(requests=9, per="User"))


def test_three_proxies_count_together_over_sockets(tmp_path: Path) -> None:
    limit, asks = 30, 25

    async def tell(server: ValkeyServer) -> None:
        async with FakeProvider() as provider:
            table = with_budgets(one_route(provider), a_minute(requests=limit, namespace="default"))
            (tmp_path / "0").mkdir()
            async with (
                gateway(tmp_path / "0", table) as proxy,
                members(server, 2, table.budgets["default/rate"]) as (
                    _,
                    other,
                ),
            ):
                await through(proxy, server, asks, other)
            assert len(provider.served) == asks

    with valkey_server() as server:
        asyncio.run(tell(server))


async def through(proxy: Gateway, server: ValkeyServer, asks: int, other: Member) -> None:
    """More than its share of three comes in at one of them, and the others hear of it."""
    rates = proxy.means.health.rates
    rates.proxies = other.rates.proxies = 3
    valkey = Valkey(server.url, "p9", rates, Log("proxy", "error"), proxy.means.now, every_s=0.02, hear_after_s=0.1)
    task = asyncio.create_task(valkey.run())
    try:
        statuses = list[int]()
        async with asyncio.timeout(20):
            while statuses.count(200) < asks:
                statuses.append((await proxy.ask()).status)
        assert set(statuses) <= {200, 429}
        enter(other.rates, other.now(), intent=attempt("default"))
        before = valkey.exchanges
        await until(lambda: valkey.exchanges >= before + 2)
        await other.heard()
        assert 0 < other.fill("default") <= 2
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "valkey://", ""])
def test_a_url_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="BYWAY_VALKEY: want valkey://host:port"):
        redis_url(url)


def test_valkeys_own_urls_are_understood() -> None:
    assert redis_url("valkey://me:s3cret@cache:6379/3") == "redis://me:s3cret@cache:6379/3"
    assert redis_url("valkeys://cache:6380") == "rediss://cache:6380"
