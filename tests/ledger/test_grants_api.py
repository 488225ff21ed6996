"""Limits and grants over HTTP: what is answered, and to whom."""

import asyncio
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector
from builders.tls_ledger import House, pods_token
from byway_contract.grants import (
    CLOSE_PATH,
    COUNTERS_PATH,
    GRANTS_PATH,
    HELLO_PATH,
    LIMITS_PATH,
    Answered,
    Ask,
    Closed,
    Closing,
    Counters,
    Grants,
    Hello,
    Limited,
    Stale,
    Welcome,
)
from byway_contract.records import CLOSED_EPOCH, USAGE_PATH, Booked, Fenced, Gap, Release, encode_batch
from fakes.grants import TEAM, ask, limit, limits
from fakes.usage import batch, ledger_at

PROXIES = {GRANTS_PATH: "POST", HELLO_PATH: "POST"}
OPERATORS = {LIMITS_PATH: "PUT", CLOSE_PATH: "POST"}


class Talk:
    def __init__(self, session: ClientSession) -> None:
        self._session = session

    async def send(self, verb: str, path: str, body: Any = b"") -> tuple[int, bytes]:
        sent = body if isinstance(body, bytes) else msgspec.json.encode(body)
        async with self._session.request(verb, path, data=sent) as answer:
            return answer.status, await answer.read()

    async def said(self, verb: str, path: str, body: Any, kind: Any, status: int = 200) -> Any:
        got, text = await self.send(verb, path, body)
        assert got == status, text
        return msgspec.json.decode(text, type=kind)


def told(folder: Path, story: Any) -> None:
    async def whole() -> None:
        async with (
            ledger_at(folder) as to,
            ClientSession("http://ledger", connector=UnixConnector(to.removeprefix("unix:"))) as session,
        ):
            await story(Talk(session))

    asyncio.run(whole())


def test_a_grant_is_asked_for_recalled_given_back_and_lost(tmp_path: Path) -> None:
    async def story(talk: Talk) -> None:
        new = limits(limit(1000), term=3, generation=7)
        assert await talk.said("PUT", LIMITS_PATH, new, Limited) == Limited(3, 7, "hash-3-7", 1)
        grants = await talk.said("POST", GRANTS_PATH, ask(1, need=900), Grants)
        (one,) = grants.given
        assert (one.amount, one.use_for_s) == (900, 30.0)
        assert (await talk.said("POST", GRANTS_PATH, ask(1, need=900), Grants)) == grants
        refused = await talk.said("POST", GRANTS_PATH, ask(1, need=200, source="s-2"), Grants)
        assert refused.denied[0].returning == 900
        back = encode_batch(batch(1, Release(one.grant, 500)))
        assert await talk.said("POST", USAGE_PATH, back, Booked) == Booked(1, (one.grant,))
        closed = await talk.said("POST", CLOSE_PATH, Closing("s-1", "node gone"), Closed)
        assert closed.unaccounted[0].amount == 400
        shown = await talk.said("GET", COUNTERS_PATH, b"", Counters)
        (counter,) = shown.counters
        assert (counter.limit, counter.amount, counter.reserved, counter.stranded) == (TEAM, 1000, 0, 400)
        assert (shown.hash, shown.more) == ("hash-3-7", False)

    told(tmp_path, story)


def test_what_is_too_late_is_told_why(tmp_path: Path) -> None:
    async def story(talk: Talk) -> None:
        await talk.said("PUT", LIMITS_PATH, limits(limit(1000), term=3, generation=7), Limited)
        assert await talk.said("PUT", LIMITS_PATH, limits(generation=9), Stale, 409) == Stale(3, 7)
        await talk.said("POST", GRANTS_PATH, ask(2, done=1), Grants)
        assert await talk.said("POST", GRANTS_PATH, ask(1), Answered, 409) == Answered(1)
        assert await talk.said("POST", HELLO_PATH, Hello("s-1", 2, 5), Gap, 409) == Gap(1)
        assert await talk.said("POST", HELLO_PATH, Hello("s-1", 2, 0), Welcome) == Welcome(2, 1)
        assert await talk.said("POST", GRANTS_PATH, ask(3), Fenced, 409) == Fenced(2)
        await talk.said("POST", CLOSE_PATH, Closing("s-1"), Closed)
        assert await talk.said("POST", GRANTS_PATH, ask(3, epoch=9), Fenced, 409) == Fenced(CLOSED_EPOCH)

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("verb", "path", "body", "why"),
    [
        ("PUT", LIMITS_PATH, b"{}", "term"),
        ("PUT", LIMITS_PATH, limits(limit(1), limit(2)), "stands there twice"),
        ("PUT", LIMITS_PATH, limits(limit(1, time_zone="Mars/Base")), "no time zone 'Mars/Base'"),
        ("PUT", LIMITS_PATH, limits(limit(-1)), "amount"),
        ("POST", GRANTS_PATH, b"nonsense", "malformed"),
        ("POST", GRANTS_PATH, ask(1, need=0), "need"),
        ("POST", GRANTS_PATH, Ask("s-1", CLOSED_EPOCH, 1), "epoch"),
        ("POST", HELLO_PATH, Hello("s-1", 0, 0), "epoch"),
        ("POST", USAGE_PATH, encode_batch(batch(1, Release("g", 1), epoch=CLOSED_EPOCH)), "epoch"),
        ("GET", COUNTERS_PATH + "?limit=none", b"", "limit: want a number"),
    ],
)
def test_what_is_none_is_told_what_is_wrong_with_it(
    tmp_path: Path, verb: str, path: str, body: Any, why: str
) -> None:
    async def story(talk: Talk) -> None:
        status, said = await talk.send(verb, path, body)
        assert status == 400
        assert why in said.decode()

    told(tmp_path, story)


def test_over_tls_limits_are_the_operators_and_grants_the_proxies(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def story() -> None:
        async with house.serving(), house.operator():
            token = {"Authorization": f"Bearer {pods_token()}"}
            async with asyncio.timeout(10):
                while (await house.ask("POST", GRANTS_PATH, headers=token, data=b"{}"))[0] == 503:
                    pass
            for path, verb in PROXIES.items():
                assert (await house.ask(verb, path, data=b"{}"))[0] == 401
                assert (await house.ask(verb, path, "operator", data=b"{}"))[0] == 401
                assert (await house.ask(verb, path, headers=token, data=b"{}"))[0] == 400
            for path, verb in OPERATORS.items():
                assert (await house.ask(verb, path, data=b"{}"))[0] == 403
                assert (await house.ask(verb, path, headers=token, data=b"{}"))[0] == 403
                assert (await house.ask(verb, path, "operator", data=b"{}"))[0] in (200, 400)
            body = msgspec.json.encode(ask(1))
            assert (await house.ask("POST", GRANTS_PATH, headers=token, data=body))[0] == 200
            other = {"Authorization": f"Bearer {pods_token('proxy-1')}"}
            status, _, said = await house.ask("POST", GRANTS_PATH, headers=other, data=msgspec.json.encode(ask(2)))
            assert (status, "proxy-0's" in said) == (403, True)

    asyncio.run(story())
