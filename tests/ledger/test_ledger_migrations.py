"""Books of every earlier ledger open in this one."""

import asyncio
import sqlite3
from pathlib import Path

import pytest
from byway_ledger.stores import schema
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Done, StoreError
from fakes.grants import NOON, ask, counter, given, limit, limits
from fakes.usage import COST, batch, intent, settle

# What was written at each step, in its own columns.
_BOOKED = """
    INSERT INTO source (id, epoch, seq, seen) VALUES ('s-1', 1, 2, 0);
    INSERT INTO attempt (attempt, request, at, namespace, route, endpoint, account, provider, model, streamed,
        attempt_no, api, service_account, access_key, byok, user, session, referer, title, user_agent, ended,
        outcome, prompt, completion, cached, cache_write, reasoning, usage_from, cost, billed, reason, status,
        duration_ms, finish, native_finish, upstream_id, flag)
    VALUES ('a-1', 'gen-a-1', 1795608000.0, 'team-a', 'team-a/smart', 'e', 'team-a/openai', 'openai', 'm', 0,
        1, 'chat', '', '', 0, '', '', '', '', '', 1795608001.0, 'ok',
        1200, 80, 0, 0, 0, 'provider', 228000, 228000, '', 200, 0.0, 'stop', '', '', '');
"""


@pytest.mark.parametrize("step", range(len(schema.STEPS) + 1))
def test_books_of_every_earlier_step_are_brought_up_with_all_they_hold(step: int, tmp_path: Path) -> None:
    path = tmp_path / "books.sqlite"
    old = sqlite3.connect(path)
    for done in schema.STEPS[:step]:
        old.executescript(done)
    if step:
        old.executescript(_BOOKED)
    old.execute(f"PRAGMA user_version = {step}")
    old.close()

    async def story() -> None:
        store = SQLite(path)
        await store.rule(limits(limit(10 * COST)), NOON)
        before = COST if step else 0
        assert (await counter(store)).spent == before
        one = await given(store, ask(1, need=COST))
        rows = (intent("b", at=NOON), settle("b", legs=((one.grant, COST),)))
        assert await store.book(batch(3 if step else 1, *rows), NOON) == Done(4 if step else 2, 2)
        assert (await counter(store)).spent == before + COST
        await store.close()

    asyncio.run(story())


def test_books_of_a_newer_ledger_are_not_touched(tmp_path: Path) -> None:
    new = sqlite3.connect(tmp_path / "books.sqlite")
    new.execute(f"PRAGMA user_version = {len(schema.STEPS) + 1}")
    new.close()
    with pytest.raises(StoreError, match="of a newer ledger"):
        SQLite(tmp_path / "books.sqlite")
