"""A cluster's ledger: proxies by their pods' tokens, the operator by its certificate, and the books still exact."""

import asyncio
import io
import json
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import trustme
from builders.cluster_tokens import ec_signer, rsa_signer
from builders.tls_ledger import AUDIENCE, House, as_process, pods_token
from byway_contract.activity import Sums
from byway_contract.records import KEYS_PATH, encode_batch
from byway_contract.table import Issuer
from byway_ledger.keys import Keys, KeysError
from byway_process.logs import Log as ProcessLog
from byway_proxy.meter.log import Log
from byway_proxy.meter.post import Ledger, LedgerPost
from byway_proxy.meter.ship import Shipper
from fakes.usage import COST, batch, intent, settle, until


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


@asynccontextmanager
async def shipping(log: Log, to: Ledger, say: ProcessLog) -> AsyncIterator[Shipper]:
    post = LedgerPost(to)
    shipper = Shipper(log, post, say, first_wait_s=0.001, longest_wait_s=0.02)
    task = asyncio.create_task(shipper.run())
    try:
        yield shipper
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await post.close()


def write(log: Log, count: int, prefix: str) -> None:
    for number in range(count):
        log.append(intent(f"{prefix}-{number}"))
        log.append(settle(f"{prefix}-{number}"))


async def booked(house: House) -> tuple[int, int]:
    """(attempts, nanodollars billed), as the operator may ask."""
    status, _, text = await house.ask("GET", "/v1/usage?by=namespace", "operator")
    assert status == 200
    rows = msgspec.json.decode(text, type=Sums).rows
    return sum(row.attempts for row in rows), sum(row.billed_nanodollars for row in rows)


async def send(house: House, token: str | None, source: str = "s-1") -> tuple[int, dict[str, str], str]:
    headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
    body = encode_batch(batch(1, intent("a-1"), settle("a-1"), source=source))
    return await house.ask("POST", "/v1/usage", headers=headers, data=body)


def test_records_wait_for_the_keys_and_then_arrive(house: House, tmp_path: Path) -> None:
    async def story() -> None:
        log, said = Log(tmp_path / "log"), io.StringIO()
        write(log, 300, "a")
        to = house.ledger_of("proxy-0")
        async with house.serving(), shipping(log, to, ProcessLog("proxy-0", out=said)) as shipper:
            await until(lambda: shipper.failures > 3)
            status, headers, text = await send(house, pods_token())
            assert (status, headers["Retry-After"]) == (503, "2")
            assert "the operator brings them" in text
            assert "the operator brings them" in said.getvalue()
            async with house.operator() as operator:
                assert await shipper.flush(10.0)
                assert operator.brought
            assert await booked(house) == (300, 300 * COST)
        log.close()
        token = (tmp_path / "token-proxy-0").read_text()
        assert token not in said.getvalue() + house.said.getvalue()

    asyncio.run(story())


def test_a_ledger_killed_and_started_while_no_operator_is_there_knows_its_proxies(
    house: House, tmp_path: Path
) -> None:
    async def story() -> None:
        dice, log = random.Random(5), Log(tmp_path / "log", segment_bytes=200_000)
        with as_process(house) as ledger:
            async with shipping(log, house.ledger_of("proxy-0"), house.log) as shipper:
                async with house.operator():
                    await until(lambda: log.booked >= 1)
                for kill in range(3):
                    write(log, 1500, f"{kill}")
                    target = log.booked + dice.randrange(1, 2000)
                    await until(lambda target=target: log.booked >= target)  # type: ignore[misc] # mypy and defaults
                    await asyncio.to_thread(ledger.kill)
                    house.project("proxy-0")  # a fresh one, in place
                    await asyncio.to_thread(ledger.start)
                assert await shipper.flush(20.0)
            assert await booked(house) == (4500, 4500 * COST)
        log.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("token", "status", "why"),
    [
        (None, 401, "want Authorization: Bearer, and a projected ServiceAccount token"),
        ("", 401, "want Authorization: Bearer"),
        ("x.y.z", 401, "the token is refused"),
        (pods_token(audience="byway"), 401, 'not made for the audience "byway-ledger"'),
        (pods_token(audience="byway-control"), 401, "not made for the audience"),
        (pods_token(exp=int(time.time()) - 1), 401, "has expired"),
        (pods_token(iss="https://elsewhere.example"), 401, "another cluster issued it"),
        (pods_token(by=rsa_signer("unknown")), 401, "a key that this cluster has not"),
        (pods_token(account="team-a/byway-proxy"), 403, "of team-a/byway-proxy; records come from byway/"),
        (pods_token(account="byway/byway-operator"), 403, "records come from byway/byway-proxy"),
        (pods_token(pod=""), 403, "names no pod; mount a projected one"),
    ],
)  # fmt: skip
def test_who_is_no_proxy_books_nothing_and_is_told_what_to_show(
    house: House, token: str | None, status: int, why: str
) -> None:
    async def story() -> None:
        async with house.serving():
            async with house.operator() as operator:
                await until(lambda: operator.brought)
            got, headers, text = await send(house, token)
            assert (got, headers.get("WWW-Authenticate")) == (status, "Bearer" if status == 401 else None)
            assert why in json.loads(text)["error"]["message"]
            for _again in range(3):
                await send(house, token)
            assert house.said.getvalue().count("somebody is turned away") == 1
            assert await booked(house) == (0, 0)
            assert not token or token not in house.said.getvalue()

    asyncio.run(story())


def test_no_pod_writes_into_the_log_of_another(house: House) -> None:
    async def story() -> None:
        async with house.serving():
            async with house.operator() as operator:
                await until(lambda: operator.brought)
            one, other = pods_token("proxy-0"), pods_token("proxy-1")
            assert (await send(house, one, "log-0"))[0] == 200
            status, _, text = await send(house, other, "log-0")
            assert status == 403
            assert "this log is pod proxy-0's, and proxy-1 may not write into it" in text
            assert (await send(house, one, "log-0"))[0] == 200  # again: ignored, as ever
            assert (await send(house, other, "log-1"))[0] == 200
            assert (await booked(house))[0] == 1  # one attempt, told twice

    asyncio.run(story())


def test_a_log_that_moved_to_a_pod_of_another_name_loses_nothing_while_it_is_refused(
    house: House, tmp_path: Path
) -> None:
    async def story() -> None:
        log, said = Log(tmp_path / "log"), io.StringIO()
        write(log, 10, "a")
        async with house.serving(), house.operator():
            async with shipping(log, house.ledger_of("proxy-0"), house.log) as shipper:
                assert await shipper.flush(10.0)
            write(log, 10, "b")
            async with shipping(log, house.ledger_of("proxy-1"), ProcessLog("proxy-1", out=said)) as shipper:
                await until(lambda: shipper.failures >= 9)
                assert not shipper.stopped
                assert said.getvalue().count("this log is pod proxy-0's") == 1
            async with shipping(log, house.ledger_of("proxy-0"), house.log) as shipper:
                assert await shipper.flush(10.0)
            assert await booked(house) == (20, 20 * COST)
        log.close()

    asyncio.run(story())


@pytest.mark.parametrize("ways", ["none", "empty", "broken"])
def test_a_token_that_is_not_there_yet_is_waited_for(house: House, tmp_path: Path, ways: str) -> None:
    async def story() -> None:
        log, said = Log(tmp_path / "log"), io.StringIO()
        to = house.ledger_of("proxy-0", {"none": "", "empty": "\n", "broken": "a\nb: c"}[ways])
        if ways == "none":
            (tmp_path / "token-proxy-0").unlink()
        async with (
            house.serving(),
            house.operator(),
            shipping(log, to, ProcessLog("proxy-0", out=said)) as shipper,
        ):
            await until(lambda: shipper.failures > 2)
            house.project("proxy-0")
            assert await shipper.flush(10.0)
            expected = {"none": "No such file", "empty": "want Authorization: Bearer", "broken": "holds no token"}
            assert expected[ways] in said.getvalue()
        log.close()

    asyncio.run(story())


def test_a_key_that_was_taken_out_counts_no_more(house: House, tmp_path: Path) -> None:
    async def story() -> None:
        log, said = Log(tmp_path / "log"), io.StringIO()
        old, new = rsa_signer("old"), ec_signer("new")
        to = house.ledger_of("proxy-0", pods_token(by=old))
        async with (
            house.serving(),
            house.operator(old) as operator,
            shipping(log, to, ProcessLog("proxy-0", out=said)) as shipper,
        ):
            write(log, 5, "a")
            assert await shipper.flush(10.0)
            operator.learns(house.issuer(new))
            await until(lambda: operator.brought)
            write(log, 5, "b")
            await until(lambda: shipper.failures > 2)
            assert (
                "HTTP 401: the token is refused: it is signed by a key that this cluster has not" in said.getvalue()
            )
            house.project("proxy-0", pods_token(by=new))
            assert await shipper.flush(10.0)
            assert "takes usage again" in said.getvalue()
            assert await booked(house) == (10, 10 * COST)
        log.close()

    asyncio.run(story())


def test_only_the_operator_brings_keys_and_takes_all_the_books_away(house: House) -> None:
    async def story() -> None:
        house.certificate("colleague", "byway-proxy.byway.svc")
        house.certificate("impostor", "byway-operator", by=trustme.CA())
        keys = msgspec.json.encode(msgspec.structs.replace(house.issuer(), audience=AUDIENCE))
        bearer = {"Authorization": f"Bearer {pods_token()}"}
        asked: list[tuple[str, str, dict[str, Any]]] = [
            ("PUT", KEYS_PATH, {"data": keys}),
            ("GET", "/v1/focus", {}),
        ]
        async with house.serving():
            for verb, path, how in asked:
                for shows in ("", "colleague"):
                    status, _, text = await house.ask(verb, path, shows, headers=bearer, **how)
                    assert (status, "this is the operator's" in text) == (403, True)
                with pytest.raises((aiohttp.ClientError, OSError)):
                    await house.ask(verb, path, "impostor", **how)
                assert (await house.ask(verb, path, "operator", **how))[0] in (200, 204)
            for path in ("/healthz", "/metrics", "/"):
                assert (await house.ask("GET", path, "operator"))[0] == 404

    asyncio.run(story())


def test_books_are_read_by_the_operator_and_by_proxies_for_their_callers(house: House) -> None:
    async def story() -> None:
        house.certificate("colleague", "byway-proxy.byway.svc")
        bearer = {"Authorization": f"Bearer {pods_token()}"}
        stranger = {"Authorization": f"Bearer {pods_token(account='team-a/app')}"}
        async with house.serving(), house.operator() as operator:
            await until(lambda: operator.brought)
            for path in ("/v1/usage?by=namespace", "/v1/attempts?request=gen-1", "/v1/counters"):
                for shows in ("", "colleague"):
                    assert (await house.ask("GET", path, shows))[0] == 403
                    assert (await house.ask("GET", path, shows, headers=stranger))[0] == 403
                    assert (await house.ask("GET", path, shows, headers=bearer))[0] == 200
                assert (await house.ask("GET", path, "operator"))[0] == 200

    asyncio.run(story())


def test_health_and_metrics_have_a_port_of_their_own_and_need_no_keys(house: House) -> None:
    async def story() -> None:
        async with house.serving(), aiohttp.ClientSession(f"http://127.0.0.1:{house.admin}") as session:
            # Without being ready it could not be reached, and would never get its keys.
            for path, status in {"/healthz": 200, "/readyz": 200, "/metrics": 200, "/v1/usage?by=day": 404}.items():
                async with session.get(path) as answer:
                    assert answer.status == status
            await send(house, None)
            async with house.operator() as operator:
                await until(lambda: operator.brought)
            async with session.get("/metrics") as answer:
                text = await answer.text()
            assert "byway_ledger_signing_keys 1.0" in text
            assert "byway_ledger_turned_away_total 1.0" in text

    asyncio.run(story())


def test_a_renewed_certificate_and_authority_are_taken_by_all_three(house: House, tmp_path: Path) -> None:
    async def story() -> None:
        log = Log(tmp_path / "log")
        async with house.serving(), house.operator():
            async with shipping(log, house.ledger_of("proxy-0"), house.log) as shipper:
                write(log, 5, "a")
                assert await shipper.flush(10.0)
                house.issue_all(trustme.CA())
                write(log, 5, "b")
                assert await shipper.flush(10.0)
                await until(lambda: house.said.getvalue().count("TLS files are renewed") >= 3)
            assert await booked(house) == (10, 10 * COST)
        log.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "no issuer with its keys"),
        (b'{"kind":"anonymous","namespace":"x"}', "no issuer"),
        (Issuer("https://x", "byway", (rsa_signer().public,)), "want 'byway-ledger', which is BYWAY_AUDIENCE here"),
        (Issuer("https://x", AUDIENCE, ()), "at least one RSA or EC key"),
        (Issuer("", AUDIENCE, (rsa_signer().public,)), "want an issuer"),
    ],
)
def test_what_are_no_keys_for_the_ledger_changes_nothing(tmp_path: Path, body: bytes | Issuer, why: str) -> None:
    keys = Keys(tmp_path / "keys", AUDIENCE, ProcessLog("ledger"))
    keys.take(msgspec.json.encode(Issuer("https://x", AUDIENCE, (rsa_signer().public,))))
    before = keys.verifier, (tmp_path / "keys").read_bytes()
    with pytest.raises(KeysError, match=why):
        keys.take(body if isinstance(body, bytes) else msgspec.json.encode(body))
    assert (keys.verifier, (tmp_path / "keys").read_bytes()) == before


def test_keys_that_cannot_be_kept_are_believed_and_complained_about(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "no-such-folder" / "keys", AUDIENCE, ProcessLog("ledger"))
    body = msgspec.json.encode(Issuer("https://x", AUDIENCE, (rsa_signer().public,)))
    for _again in range(2):
        with pytest.raises(OSError, match="No such file"):
            keys.take(body)
        assert keys.verifier is not None


def test_damaged_keys_are_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "keys").write_bytes(b'{"kind":"issuer","iss')
    said = io.StringIO()
    assert Keys(tmp_path / "keys", AUDIENCE, ProcessLog("ledger", out=said)).verifier is None
    assert "the operator brings others" in said.getvalue()
