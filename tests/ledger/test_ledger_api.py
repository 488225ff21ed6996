import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector
from byway_contract.activity import Attempt, Attempts, Sums
from byway_contract.records import Batch, Booked, encode_batch
from byway_ledger.app import settings_from
from byway_process.settings import SettingsError
from fakes.usage import COST, batch, intent, ledger_at, settle

DOOR = {
    "BYWAY_DATABASE": "x",
    "BYWAY_LISTEN": "127.0.0.1:0",
    "BYWAY_TLS_CERT": "cert",
    "BYWAY_TLS_KEY": "key",
    "BYWAY_CLIENT_CA": "ca",
    "BYWAY_PROXY_SERVICE_ACCOUNT": "byway/byway-proxy",
}
Get = Callable[[str], Awaitable[tuple[int, bytes]]]
Post = Callable[[Batch | bytes], Awaitable[tuple[int, bytes]]]


def told(folder: Path, story: Callable[[Get, Post], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with (
            ledger_at(folder) as to,
            ClientSession(connector=UnixConnector(to.removeprefix("unix:"))) as session,
        ):

            async def get(path: str) -> tuple[int, bytes]:
                async with session.get("http://ledger" + path) as answer:
                    return answer.status, await answer.read()

            async def post(body: Batch | bytes) -> tuple[int, bytes]:
                sent = body if isinstance(body, bytes) else encode_batch(body)
                async with session.post("http://ledger/v1/usage", data=sent) as answer:
                    return answer.status, await answer.read()

            await story(get, post)

    asyncio.run(whole())


def test_usage_is_booked_and_can_be_asked_for(tmp_path: Path) -> None:
    async def story(get: Get, post: Post) -> None:
        status, body = await post(batch(1, intent(), settle()))
        assert (status, msgspec.json.decode(body, type=Booked)) == (200, Booked(2))
        status, body = await get("/v1/usage?by=route,model&since=2026-11-18&until=2026-11-19T00:00:00Z&limit=5")
        assert status == 200
        (row,) = msgspec.json.decode(body, type=Sums).rows
        assert row.key == {"route": "team-a/smart", "model": "openai/gpt-5-mini"}
        assert (row.billed, row.billed_nanodollars) == ("0.000228", COST)
        status, body = await get("/v1/attempts?request=gen-a-1")
        assert status == 200
        assert msgspec.json.decode(body, type=Attempts).attempts == [Attempt(intent(), settle())]

    told(tmp_path, story)


def test_a_refused_batch_says_what_is_expected(tmp_path: Path) -> None:
    async def story(_: Get, post: Post) -> None:
        assert await post(batch(7, intent())) == (409, b'{"expected":1,"gap":true}')
        await post(batch(1, intent("a"), epoch=2))
        assert await post(batch(2, intent("b"), epoch=1)) == (409, b'{"epoch":2,"fenced":true}')
        assert await post(batch(1, intent("b"), epoch=2)) == (409, b'{"seq":1,"forked":true}')

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "truncated"),
        (b"{}", "source"),
        (encode_batch(batch(1)), "1 to 1000"),
        (encode_batch(batch(1, *[intent()] * 1001)), "1 to 1000"),
        (encode_batch(batch(0, intent())), "begin with 1"),
        (encode_batch(batch(1, settle(cost=-1))), "cost"),
    ],
)
def test_what_is_no_batch_is_refused_with_a_reason(tmp_path: Path, body: bytes, why: str) -> None:
    async def story(get: Get, post: Post) -> None:
        status, said = await post(body)
        assert status == 400
        assert why in said.decode()
        assert await get("/v1/usage") == (200, b'{"rows":[],"more":false}')

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/v1/usage?by=colour", "'colour'"),
        ("/v1/usage?since=yesterday", "since: want seconds since 1970"),
        ("/v1/usage?since=nan", "since: want"),
        ("/v1/usage?since=2026-11-25&until=2026-11-24", "before until"),
        ("/v1/usage?limit=0", "limit: want a number"),
        ("/v1/usage?limit=99999999999", "limit: want a number"),
        ("/v1/usage?group=route", "no such parameter"),
        ("/v1/attempts", "gen-"),
    ],
)
def test_a_question_that_is_none_is_told_what_is_wrong_with_it(tmp_path: Path, path: str, why: str) -> None:
    async def story(get: Get, _: Post) -> None:
        status, said = await get(path)
        assert status == 400
        assert why in said.decode()

    told(tmp_path, story)


def test_a_ledger_tells_how_it_is(tmp_path: Path) -> None:
    async def story(get: Get, post: Post) -> None:
        await post(batch(1, intent(), settle(cost=COST + 1)))
        await post(batch(1, intent()))
        assert (await get("/healthz"))[0] == (await get("/readyz"))[0] == 200
        metrics = (await get("/metrics"))[1].decode()
        assert "byway_ledger_records_total 2.0" in metrics
        assert "byway_ledger_repeated_records_total 1.0" in metrics
        assert "byway_ledger_flagged_attempts_total 1.0" in metrics
        assert (await get("/v2"))[0] == 404

    told(tmp_path, story)


def test_only_its_own_user_may_connect_to_the_ledgers_socket(tmp_path: Path) -> None:
    async def story(_get: Get, _post: Post) -> None:
        assert (tmp_path / "ledger.sock").stat().st_mode & 0o777 == 0o600

    told(tmp_path, story)


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"BYWAY_LISTEN": "127.0.0.1:0"}, "BYWAY_DATABASE: must be set"),
        ({"BYWAY_DATABASE": "x"}, "at least one must be set"),
        ({"BYWAY_DATABASE": "x", "BYWAY_LISTEN": "7420"}, "want host:port"),
        ({"BYWAY_DATABASE": "x", "BYWAY_LISTENS": "127.0.0.1:0"}, "did you mean BYWAY_LISTEN"),
        (
            {"BYWAY_DATABASE": "x", "BYWAY_LISTEN": "127.0.0.1:0"},
            "BYWAY_TLS_CERT: must be set where BYWAY_LISTEN is",
        ),
        ({**DOOR, "BYWAY_CLIENT_CA": ""}, "BYWAY_CLIENT_CA: must be set"),
        ({**DOOR, "BYWAY_PROXY_SERVICE_ACCOUNT": "byway-proxy"}, "want namespace/name"),
        ({**DOOR, "BYWAY_ADMIN": "9090"}, "BYWAY_ADMIN: want host:port"),
    ],
)
def test_a_setting_that_does_not_fit_is_named(environment: dict[str, str], why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        settings_from(environment)
