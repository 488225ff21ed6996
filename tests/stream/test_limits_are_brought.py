"""What budgets amount to reaches the ledger: before the table does, again when it forgot, by the leader alone."""

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import msgspec
from aiohttp import ClientSession, UnixConnector
from builders.tls_ledger import House
from byway_contract.grants import COUNTERS_PATH, LIMITS_PATH, Counters, Limit
from byway_operator.compile.budgets import hash_of
from byway_operator.push.limits import Alone, LedgerLimits, Pace
from byway_process.logs import Log
from byway_process.tls import ClientTls
from fakes.bare_server import Wire
from fakes.grants import limit, limits
from fakes.usage import ledger_at, until

QUICK = Pace(every_s=0.05, look_every_s=0.01, wait_s=5.0, linger_s=0.0, first_wait_s=0.005, longest_wait_s=0.02)
ONE = (limit(),)
TWO = (limit(), limit(5, budget="platform/team-b"))


class Reign:
    """Somebody who leads now and then."""

    def __init__(self, term: int | None) -> None:
        self.term = term
        self.heard: list[int] = []

    def outreigned(self, term: int) -> None:
        self.heard.append(term)


class Bringing:
    def __init__(self, limits: LedgerLimits, folder: Path, changes: list[str], words: io.StringIO) -> None:
        self.limits, self.folder, self.changes, self._words = limits, folder, changes, words

    def said(self) -> str:
        return self._words.getvalue()

    async def bring(self, these: tuple[Limit, ...]) -> str:
        digest = hash_of(these)
        await self.limits.bring(these, digest)
        return digest

    async def in_force(self) -> str:
        """The hash that the ledger says."""
        socket = UnixConnector(str(self.folder / "ledger.sock"))
        async with (
            ClientSession("http://ledger", connector=socket) as session,
            session.get(COUNTERS_PATH) as answer,
        ):
            return msgspec.json.decode(await answer.read(), type=Counters).hash

    async def until_in_force(self, digest: str) -> None:
        async with asyncio.timeout(10):
            while await self.in_force() != digest:  # noqa: ASYNC110 - in the ledger's books
                await asyncio.sleep(0.002)


@asynccontextmanager
async def bringing(folder: Path, reign: Alone | Reign | None = None, pace: Pace = QUICK) -> AsyncIterator[Bringing]:
    changes: list[str] = []
    words = io.StringIO()
    log = Log("operator", out=words)
    made = LedgerLimits(
        str(folder / "ledger.sock"), None, reign or Alone(1), log, lambda: changes.append(made.brought), pace,
        dice=lambda: 1.0,
    )  # fmt: skip
    running = asyncio.create_task(made.run())
    await asyncio.sleep(0)
    try:
        yield Bringing(made, folder, changes, words)
    finally:
        running.cancel()
        await asyncio.wait({running})


def forget(folder: Path) -> None:
    """The ledger's disk, and the socket of its life before."""
    for file in (*folder.glob("books.sqlite*"), folder / "ledger.sock"):
        file.unlink(missing_ok=True)


def test_whoever_waits_goes_on_once_the_ledger_has_the_limits(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path), bringing(tmp_path) as ours:
            for these in (ONE, TWO, (), ONE):
                digest = await ours.bring(these)
                assert ours.limits.brought == digest == await ours.in_force()
            assert ours.changes == [hash_of(these) for these in (ONE, TWO, (), ONE)]

    asyncio.run(story())


def test_a_ledger_that_is_away_is_not_waited_for_and_gets_them_when_it_is_back(tmp_path: Path) -> None:
    async def story() -> None:
        async with bringing(tmp_path) as ours:
            began = time.monotonic()
            digest = await ours.bring(ONE)
            # It is not there at all, so nobody waits out a time.
            assert time.monotonic() - began < QUICK.wait_s / 2
            assert ours.limits.brought == ""
            await until(lambda: "does not take the limits" in ours.said())
            async with ledger_at(tmp_path):
                await until(lambda: ours.limits.brought == digest)
                assert await ours.in_force() == digest
        assert ours.said().count("does not take the limits") == 1

    asyncio.run(story())


def test_a_ledger_that_says_nothing_holds_a_table_up_for_a_moment_only(tmp_path: Path) -> None:
    async def story() -> None:
        hung = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await Wire().question(reader)
            await hung.wait()
            writer.close()

        server = await asyncio.start_unix_server(silent, tmp_path / "ledger.sock")
        async with server, bringing(tmp_path, pace=replace(QUICK, wait_s=0.05)) as ours:
            async with asyncio.timeout(5):
                await ours.bring(ONE)
            assert ours.limits.brought == ""
            hung.set()

    asyncio.run(story())


def test_a_ledger_that_comes_up_empty_gets_them_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with bringing(tmp_path) as ours:
            async with ledger_at(tmp_path):
                digest = await ours.bring(TWO)
            forget(tmp_path)
            async with ledger_at(tmp_path):
                await ours.until_in_force(digest)

    asyncio.run(story())


def test_an_operator_whose_clock_was_set_back_still_brings_its_limits(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path):
            async with bringing(tmp_path, Alone(2_000)) as before:
                await before.bring(TWO)
            async with bringing(tmp_path, Alone(1_000)) as after:
                digest = await after.bring(ONE)
                await after.until_in_force(digest)
                await until(lambda: after.limits.brought == digest)

    asyncio.run(story())


def test_who_does_not_lead_brings_nothing_and_waits_for_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        reign = Reign(None)
        async with ledger_at(tmp_path), bringing(tmp_path, reign) as ours:
            digest = await ours.bring(ONE)
            assert (ours.limits.brought, await ours.in_force()) == ("", "")
            reign.term = 7
            await until(lambda: ours.limits.brought == digest)
            assert await ours.in_force() == digest

    asyncio.run(story())


def test_who_led_before_others_asks_whether_it_still_leads_and_overrules_nobody(tmp_path: Path) -> None:
    async def story() -> None:
        reign = Reign(5)
        async with ledger_at(tmp_path), bringing(tmp_path, Alone(9)) as theirs, bringing(tmp_path, reign) as ours:
            digest = await theirs.bring(TWO)
            mine = await ours.bring(ONE)
            await until(lambda: len(reign.heard) > 1)
            assert (set(reign.heard), await ours.in_force()) == ({9}, digest)
            reign.term = 10
            await ours.until_in_force(mine)

    asyncio.run(story())


def test_a_limit_that_is_gone_outlives_the_table_that_named_it(tmp_path: Path) -> None:
    async def story() -> None:
        pace = Pace(linger_s=0.3, wait_s=5.0)
        async with ledger_at(tmp_path), bringing(tmp_path, pace=pace) as ours:
            await ours.bring(TWO)
            digest = await ours.bring(ONE)
            # For a moment both are in force, though what is wanted is.
            assert ours.limits.brought == digest
            assert await ours.in_force() == hash_of(TWO)
            await ours.until_in_force(digest)

    asyncio.run(story())


def test_what_a_ledger_refuses_is_said_with_its_reason(tmp_path: Path) -> None:
    async def story() -> None:
        async with ledger_at(tmp_path), bringing(tmp_path) as ours:
            await ours.bring((limit(time_zone="Nowhere/Here"),))
            assert ours.limits.brought == ""
        assert "no time zone 'Nowhere/Here'" in ours.said()

    asyncio.run(story())


def test_over_tls_the_operators_certificate_opens_the_door_and_no_other(tmp_path: Path) -> None:
    house = House(tmp_path)

    async def story() -> None:
        house.certificate("stranger", "somebody-else")
        async with house.serving():
            for who, brought in (("stranger", ""), ("operator", hash_of(ONE))):
                tls = ClientTls(house.file("ca"), house.log, house.file(f"{who}.crt"), house.file(f"{who}.key"))
                ours = LedgerLimits(house.url, tls, Alone(1), house.log, lambda: None, QUICK)
                running = asyncio.create_task(ours.run())
                await asyncio.sleep(0)
                await ours.bring(ONE, hash_of(ONE))
                running.cancel()
                await asyncio.wait({running})
                assert ours.brought == brought
            assert "HTTP 403" in house.said.getvalue()
            body = msgspec.json.encode(limits(*TWO, term=2))
            assert (await house.ask("PUT", LIMITS_PATH, "operator", data=body))[0] == 200

    asyncio.run(story())


def test_metrics_say_whether_the_ledger_has_them(tmp_path: Path) -> None:
    async def story() -> None:
        async with bringing(tmp_path) as ours:
            await ours.bring(TWO)
            assert measured(ours)["byway_limits_brought"] == 0
            assert measured(ours)["byway_limits_failures"] > 0
            async with ledger_at(tmp_path):
                await until(lambda: measured(ours)["byway_limits_brought"] == 1)
            assert measured(ours)["byway_limits"] == 2

    asyncio.run(story())


def measured(ours: Bringing) -> dict[str, float]:
    return {metric.name: metric.samples[0].value for metric in ours.limits.collect()}
