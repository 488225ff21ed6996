"""What only PostgreSQL gives: ledgers side by side, and a database that comes and goes under them."""

import asyncio
import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession, UnixConnector
from builders import postgres
from builders.tls_ledger import House, pods_token
from byway_contract.grants import GRANTS_PATH, Denied, Limited, Want
from byway_ledger.app import Settings, serve, settings_from
from byway_ledger.stores.postgres import Postgres, opened, without_password
from byway_ledger.stores.store import Done, StoreError
from byway_process.logs import Log
from byway_process.settings import SettingsError
from fakes.grants import NOON, TEAM, ask, asked, counter, denied, limit, limits, names
from fakes.usage import COST, batch, intent, settle, until


@pytest.fixture(scope="module", autouse=True)
def _one_server() -> Iterator[None]:
    yield
    postgres.remove_all()


def test_two_ledgers_side_by_side_give_no_more_than_there_is_and_book_once() -> None:
    url = postgres.server().fresh()

    async def story() -> None:
        stores = [await opened(url), await opened(url)]
        assert await stores[0].rule(limits(limit(1000), limit(800, period="Day")), NOON) == Limited(
            1, 1, "hash-1-1", 2
        )
        wants = (Want("platform/team-a/Day/nanodollars", 10, 50), Want(TEAM, 10, 50))
        asks = [ask(n, source=f"s-{s}", wants=wants[:: 1 if s % 2 else -1]) for n in range(1, 8) for s in range(10)]
        # Each to both: the proxy's first try got lost on the way back, and the second went elsewhere.
        pairs = await asyncio.gather(
            *(asyncio.gather(asked(stores[0], one), asked(stores[1], one)) for one in asks)
        )
        assert all(one == other for one, other in pairs)
        for of, most in ((TEAM, 1000), (wants[0].limit, 800)):
            assert 0 < sum(g.amount for answer, _ in pairs for g in answer.given if g.limit == of) <= most
        rows = [batch(1, intent(f"a{n}", at=NOON), settle(f"a{n}"), source=f"s{n}") for n in range(30)]
        done = await asyncio.gather(*(store.book(one, NOON) for one in rows for store in stores))
        assert sum(one.records for one in done if isinstance(one, Done)) == 60
        assert (await counter(stores[1])).spent == 30 * COST
        for store in stores:
            await store.close()

    asyncio.run(story())


def test_a_limit_brought_to_one_ledger_holds_at_the_other_at_once() -> None:
    url = postgres.server().fresh()

    async def story() -> None:
        one, other = await opened(url), await opened(url)
        assert await denied(other, ask(1)) == Denied(TEAM, "unknown")
        await one.rule(limits(limit(1000)), NOON)
        assert (await denied(other, ask(2, need=1001))).amount == 1000
        await one.rule(limits(limit(10), generation=2), NOON)
        assert (await denied(other, ask(3, need=11))).amount == 10
        await one.close()
        await other.close()

    asyncio.run(story())


def test_limits_that_come_while_usage_is_booked_miss_none_of_it() -> None:
    url = postgres.server().fresh()

    async def story() -> None:
        one, other = await opened(url), await opened(url)

        async def book(source: int) -> None:
            for n in range(10):
                rows = (intent(f"{source}-{n}", at=NOON), settle(f"{source}-{n}"))
                await (one, other)[n % 2].book(batch(2 * n + 1, *rows, source=f"s-{source}"), NOON)

        async def change() -> None:
            for n in range(1, 9):
                # Gone, and there again.
                await (one, other)[n % 2].rule(limits(*([limit(COST)] if n % 2 == 0 else []), generation=n), NOON)

        await asyncio.gather(*(book(source) for source in range(6)), change())
        assert (await counter(one)).spent == 60 * COST
        await one.close()
        await other.close()

    asyncio.run(story())


def test_a_database_that_crashes_under_load_loses_nothing_that_was_answered() -> None:
    server = postgres.server()
    url = server.fresh()

    async def story() -> None:
        store = await opened(url)
        await store.rule(limits(limit(10**12)), NOON)
        refused = given = 0
        mint = names()

        async def work(source: str) -> None:
            nonlocal refused, given
            for n in range(1, 40):
                while True:
                    try:
                        await store.ask(ask(n, need=7, source=source, done=n - 1), NOON, "", mint)
                        rows = (intent(f"{source}-{n}", at=NOON), settle(f"{source}-{n}"))
                        await store.book(batch(2 * n - 1, *rows, source=source), NOON)
                        given += 1
                        break
                    except StoreError:
                        refused += 1
                        await asyncio.sleep(0.02)

        def restart() -> None:
            server.stop("immediate")
            server.start()

        tasks = [asyncio.create_task(work(f"s-{n}")) for n in range(4)]
        for most in (60, 120):
            await until(lambda most=most: given > most)  # type: ignore[misc] # mypy and defaults
            await asyncio.to_thread(restart)
        async with asyncio.timeout(60):
            await asyncio.gather(*tasks)
        assert refused > 0
        now = await counter(store)
        assert (now.reserved, now.spent) == (4 * 39 * 7, 4 * 39 * COST)
        await store.close()

    asyncio.run(story())


def test_a_connection_that_the_database_ends_at_any_moment_is_an_error_of_the_store() -> None:
    """Anything else would end whatever of the ledger met it."""
    server = postgres.server()
    url = server.fresh()

    async def story() -> None:
        store, told = await opened(url), 0
        await store.rule(limits(limit(10**12)), NOON)

        async def work(source: str) -> None:
            nonlocal told
            asks = itertools.count(1)
            while told < 400:
                n = next(asks)
                try:
                    await store.ask(ask(n, need=7, source=source, done=n - 1), NOON, "", names())
                except StoreError:
                    told += 1

        working = asyncio.gather(*(work(f"s-{n}") for n in range(8)))
        async with server.connected() as others:
            while not working.done():
                await others.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'byway-ledger'"
                )
        await working
        await store.close()

    asyncio.run(asyncio.wait_for(story(), 30))


def test_a_ledger_whose_database_is_away_says_so_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    server = postgres.server()
    said, path = io.StringIO(), tmp_path / "ledger.sock"
    url = server.fresh()

    async def story() -> None:
        stop = asyncio.Event()
        serving = asyncio.create_task(serve(Settings(url, socket=str(path)), Log("ledger", out=said), stop))
        await until(lambda: path.exists() or serving.done())
        async with ClientSession("http://ledger", connector=UnixConnector(str(path))) as session:
            body = msgspec.json.encode(ask(1))
            server.stop()
            async with session.post(GRANTS_PATH, data=body) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
            async with session.get("/readyz") as answer:
                assert answer.status == 503
            server.start()
            async with session.post(GRANTS_PATH, data=body) as answer:
                assert answer.status == 200
        stop.set()
        await serving

    asyncio.run(story())


def test_a_password_is_in_no_log_and_no_error() -> None:
    secret = "hunter2-hunter2"
    url = f"postgresql://byway:{secret}@127.0.0.1:1/books?password={secret}"
    assert without_password(url) == "postgresql://byway@127.0.0.1:1/books"
    with pytest.raises(StoreError, match="BYWAY_DATABASE says where") as refused:
        asyncio.run(opened(url))
    assert secret not in str(refused.value)


def test_the_password_comes_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = postgres.server()
    (tmp_path / "pass").write_text("*:*:*:*:from-the-file\n")
    (tmp_path / "pass").chmod(0o600)
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pass"))

    async def story() -> None:
        url = await server.with_password("from-the-file")
        store = await opened(url)
        await store.alive()
        await store.close()
        monkeypatch.delenv("PGPASSFILE")
        with pytest.raises(StoreError, match="password"):
            await opened(url)

    asyncio.run(story())


def test_a_password_that_was_changed_is_read_anew_and_the_file_may_be_of_any_mode(tmp_path: Path) -> None:
    """A Secret's files are readable by a group, which PGPASSFILE forbids."""
    server, path = postgres.server(), tmp_path / "password"
    path.write_text("first\n")
    path.chmod(0o440)

    async def story() -> None:
        url = await server.with_password("first")
        store = await opened(url, password_file=path)
        await server.change_password("second")
        path.write_text("second")
        await asyncio.to_thread(server.stop)
        await asyncio.to_thread(server.start)
        async with asyncio.timeout(10):
            while not await _alive(store):  # noqa: ASYNC110 - a process that tells nobody
                await asyncio.sleep(0.02)
        for wrong, why in (("", "is empty"), ("third", "password authentication failed")):
            path.write_text(wrong)
            with pytest.raises(StoreError, match=why) as refused:
                await opened(url, password_file=path)
            assert "third" not in str(refused.value)
        path.unlink()
        with pytest.raises(StoreError, match=r"BYWAY_DATABASE_PASSWORD_FILE: .* cannot be read"):
            await opened(url, password_file=path)
        # What was open goes on.
        await store.alive()
        await store.close()

    asyncio.run(story())


def test_a_password_for_a_file_is_refused() -> None:
    settings = {"BYWAY_DATABASE": "books.db", "BYWAY_SOCKET": "s", "BYWAY_DATABASE_PASSWORD_FILE": "p"}
    with pytest.raises(SettingsError, match="asks nobody for a password"):
        settings_from(settings)


async def _alive(store: Postgres) -> bool:
    try:
        await store.alive()
    except StoreError:
        return False
    return True


def test_books_of_a_newer_ledger_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.server().fresh()

    async def story() -> None:
        await (await opened(url)).close()
        await (await opened(url)).close()
        monkeypatch.setattr("byway_ledger.stores.schema.POSTGRES_STEPS", ())
        with pytest.raises(StoreError, match="of a newer ledger"):
            await opened(url)

    asyncio.run(story())


def test_keys_brought_to_one_ledger_open_the_door_of_the_other(tmp_path: Path) -> None:
    url = postgres.server().fresh()

    async def story() -> None:
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        one, two = (House(tmp_path / name, database=url) for name in ("one", "two"))
        headers = {"Authorization": f"Bearer {pods_token()}"}
        body = msgspec.json.encode(ask(1))
        async with one.serving(), two.serving():
            status, _, _ = await two.ask("POST", GRANTS_PATH, headers=headers, data=body)
            assert status == 503
            async with one.operator():
                statuses: list[int] = []
                async with asyncio.timeout(10):
                    while 200 not in statuses:
                        statuses.append((await two.ask("POST", GRANTS_PATH, headers=headers, data=body))[0])
        assert set(statuses) <= {503, 200}

    asyncio.run(story())
