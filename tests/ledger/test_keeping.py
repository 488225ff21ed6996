"""How long attempts are kept, and that a running ledger sees to it."""

import asyncio
from pathlib import Path

import pytest
from byway_ledger.app import settings_from
from byway_ledger.keeping import Keeping
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Question
from byway_process.settings import SettingsError
from fakes.grants import NOON, limit, limits
from fakes.usage import batch, intent, settle, silent, until

DAY_S = 86_400.0


def aged(*days: float) -> list[object]:
    return [one for n, age in enumerate(days) for one in (intent(f"a{n}", at=NOON - age * DAY_S), settle(f"a{n}"))]


def test_attempts_become_sums_when_they_are_older_than_they_are_kept(tmp_path: Path) -> None:
    async def story() -> None:
        store = SQLite(tmp_path / "books.sqlite")
        await store.book(batch(1, *aged(0, 39, 41, 90, 600)), NOON)  # type: ignore[arg-type] # they are records
        keeping = Keeping(store, silent(), 40, None, now=lambda: NOON, every_s=3600.0)
        running = asyncio.create_task(keeping.run())
        await until(lambda: keeping.folded == 3)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert [len(await store.attempts(f"gen-a{n}")) for n in range(5)] == [1, 1, 0, 0, 0]
        rows = (await store.sums(Question(("day",)))).rows
        assert (len(rows), sum(row.attempts for row in rows)) == (5, 5)
        await Keeping(store, silent(), 40, 100, now=lambda: NOON).fold_all()
        assert sum(row.attempts for row in (await store.sums(Question(("day",)))).rows) == 4
        await store.rule(limits(limit(period="Lifetime")), NOON)
        await Keeping(store, silent(), 40, 50, now=lambda: NOON).fold_all()
        assert sum(row.attempts for row in (await store.sums(Question(("day",)))).rows) == 4
        await store.close()

    asyncio.run(story())


def test_more_than_a_months_attempts_are_kept_whatever_is_asked(tmp_path: Path) -> None:
    environment = {"BYWAY_DATABASE": "x", "BYWAY_SOCKET": "y"}
    assert (settings_from(environment).keep_days, settings_from(environment).keep_rollups_days) == (400, 0)
    for days, rollups in (("39", "0"), ("40000", "0"), ("400", "400"), ("40", "-1")):
        with pytest.raises(SettingsError, match="BYWAY_KEEP_"):
            settings_from({**environment, "BYWAY_KEEP_DAYS": days, "BYWAY_KEEP_ROLLUPS_DAYS": rollups})
