"""A provider in trouble is not made worse: it is left alone when it asks, and never overrun."""

import asyncio
from pathlib import Path

import pytest
from builders.faults import FORGETFUL
from builders.gateway import Gateway, gateway, one_route
from builders.tables import canonical
from byway_contract.secret import Secret
from byway_contract.table import Credential, Table, decode
from fakes.provider import FakeProvider
from fakes.reply import BEFORE_COMMIT, Reply, status

AT_A_TIME, OFFERED, MOST_LOAD = 64, 640, 1.2


async def _many(proxy: Gateway, requests: int, at_a_time: int) -> list[int]:
    numbers = iter(range(requests))

    async def ask() -> list[int]:
        return [(await proxy.ask(stream=number % 2 == 0)).status for number in numbers]

    return [code for codes in await asyncio.gather(*(ask() for _ in range(at_a_time))) for code in codes]


@pytest.mark.parametrize("fault", ["500", "503", "408", "reset_before_head", "empty_200", "garbage"])
def test_a_provider_that_is_down_gets_hardly_more_than_what_was_asked_of_us(tmp_path: Path, fault: str) -> None:
    """Alone, and with every memory of its failures off: the retry budget is all that holds us back."""

    async def story() -> None:
        async with FakeProvider(always=BEFORE_COMMIT[fault]) as a:
            async with gateway(tmp_path, one_route(a), health=FORGETFUL) as proxy:
                codes = await _many(proxy, OFFERED, AT_A_TIME)
                asked = len(proxy.settled())
            assert all(code >= 500 for code in codes)
            assert len(codes) == OFFERED
            assert asked == len(a.served)
            assert OFFERED <= len(a.served) <= MOST_LOAD * OFFERED

    asyncio.run(story())


def test_a_provider_that_is_down_is_soon_asked_no_more_where_there_is_another(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider(always=status(500)) as a, FakeProvider() as b:
            async with gateway(tmp_path, one_route(a, b)) as proxy:
                codes = await _many(proxy, OFFERED, AT_A_TIME)
            assert set(codes) == {200}
            # Whoever was on the way when it was ejected, and nobody after.
            assert len(a.served) <= 5 + AT_A_TIME
            assert len(b.served) == OFFERED

    asyncio.run(story())


def test_whoever_says_retry_after_is_left_alone_until_then(tmp_path: Path) -> None:
    async def story() -> None:
        busy = status(429, retry_after="1")
        async with FakeProvider() as a, FakeProvider() as b:
            a.script.then.append(busy)
            async with gateway(tmp_path, one_route(a, b)) as proxy:
                began = proxy.means.now()
                assert set(await _many(proxy, 10, 1)) == {200}
                assert (len(a.served), len(b.served)) == (1, 10)
                async with asyncio.timeout(5):
                    while len(a.served) == 1:
                        assert (await proxy.ask()).status == 200
                        await asyncio.sleep(0.02)
                assert proxy.means.now() - began >= 1.0

    asyncio.run(story())


def test_a_refused_credential_rests_until_it_is_another_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with FakeProvider(keys=("sk-new",)) as a, FakeProvider() as b:
            table = one_route(a, b)
            async with gateway(tmp_path, table) as proxy:
                assert set(await _many(proxy, 10, 1)) == {200}
                assert [one.status for one in a.served] == [401]
                proxy.serving.swap(table)  # a table that changes something else
                assert (await proxy.ask()).json["provider"] == "Provider B"
                proxy.serving.swap(_with_key(table, "default/a", "sk-new"))
                assert (await proxy.ask()).json["provider"] == "Provider A"

    asyncio.run(story())


def _with_key(table: Table, account: str, key: str) -> Table:
    raw = {section: dict(objects) for section, objects in table.raw.items()}
    raw["credentials"][account] = canonical(Credential(Secret(key)))
    return decode(raw)


def test_a_cap_of_concurrent_requests_is_never_exceeded(tmp_path: Path) -> None:
    async def story() -> None:
        slow = Reply(head_after_s=0.01)
        async with FakeProvider(always=slow) as a, FakeProvider() as b:
            table = one_route(a, b, max_concurrent=4)
            most = 0

            def count(_: object) -> None:
                nonlocal most
                most = max(most, sum(not one.ended for one in a.served))

            a.choose = count
            async with gateway(tmp_path, table) as proxy:
                codes = await _many(proxy, 80, 16)
            assert most == 4
            # The other one has the same cap, so some found both full: that is said, and is no attempt.
            assert set(codes) <= {200, 429}
            assert codes.count(200) == len(a.served) + len(b.served)

    asyncio.run(story())


def test_what_finds_a_provider_full_goes_to_the_next_and_the_place_is_given_back(tmp_path: Path) -> None:
    async def story() -> None:
        held_back = Reply(kind="hold_before_head")
        async with FakeProvider(always=held_back) as a, FakeProvider() as b:
            table = one_route(a, b, max_concurrent=2)
            async with gateway(tmp_path, table) as proxy:
                held = [asyncio.create_task(proxy.ask()) for _ in range(2)]
                await a.until(lambda: a.holding == 2)
                assert (await proxy.ask()).json["provider"] == "Provider B"
                held[0].cancel()  # a client that leaves leaves its place too
                await a.until(lambda: a.holding == 1)
                third = asyncio.create_task(proxy.ask())
                await a.until(lambda: a.holding == 2)
                a.release()
                for asking in (held[1], third):
                    assert (await asking).json["provider"] == "Provider A"
                assert len(proxy.settled()) == 4

    asyncio.run(story())
