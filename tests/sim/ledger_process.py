"""The real ledger as a process that can die: its handlers over its SQLite books, without sockets and threads."""

import os
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web
from byway_contract.grants import CLOSE_PATH, GRANTS_PATH, HELLO_PATH, LIMITS_PATH, Ask, Grants, Limits
from byway_contract.records import USAGE_PATH
from byway_ledger.api import Api
from byway_ledger.stores.script import Script, Step
from byway_ledger.stores.sqlite import SQLite
from fakes.usage import silent


class Died(BaseException):
    """The ledger's process, in the middle of something."""


class Request:
    """As much of an aiohttp request as the ledger's handlers look at."""

    def __init__(self, path: str, body: bytes) -> None:
        self.path, self._body = path, body

    async def read(self) -> bytes:
        return self._body


class LedgerProcess:
    def __init__(self, database: Path, wall: Callable[[], float], mint: Callable[[], str]) -> None:
        self._database, self._wall, self._mint = database, wall, mint
        self._store: SQLite | None = None
        self.dies_after: int | None = None
        """So many statements more; 0 right after a commit, before its answer."""
        self.when_given: Callable[[Ask, Grants], None] = lambda ask, grants: None
        self.when_ruling: Callable[[Limits], None] = lambda limits: None
        self.when_dead: Callable[[], None] = lambda: None
        self.deaths = 0

    @property
    def up(self) -> bool:
        return self._store is not None

    @property
    def store(self) -> SQLite:
        assert self._store is not None, "the ledger is down"
        return self._store

    def start(self) -> None:
        self._store = SQLite(self._database)
        api = Api(self._store, silent(), self._wall)
        api.grants._mint = self._mint
        self._routes: dict[str, Callable[[web.Request], Coroutine[Any, Any, web.Response]]] = {
            USAGE_PATH: api.take,
            GRANTS_PATH: api.grants.ask,
            HELLO_PATH: api.grants.hello,
            LIMITS_PATH: api.grants.rule,
            CLOSE_PATH: api.grants.close_source,
        }

    def die(self) -> None:
        """Its memory goes, its files stay as they are."""
        if self._store is None:
            return
        for connection in (self._store._writer, self._store._reader):
            if connection is not None:
                connection.close()
        os.close(self._store._lock)
        self._store = None
        self.dies_after = None
        self.deaths += 1
        self.when_dead()

    def handle(self, path: str, body: bytes) -> tuple[int, bytes] | None:
        if self._store is None:
            return None
        if path == LIMITS_PATH:
            self.when_ruling(msgspec.json.decode(body, type=Limits))
        try:
            answer = _at_once(self._routes[path](cast(web.Request, Request(path, body))))
        except Died:
            self.die()
            return None
        if self.dies_after == 0:
            self.die()
            return None
        told = cast(bytes, answer.body)
        if path == GRANTS_PATH and answer.status == 200:
            self.when_given(msgspec.json.decode(body, type=Ask), msgspec.json.decode(told, type=Grants))
        return answer.status, told

    def set_aside(self, limit: str) -> int:
        """Of a limit, at this moment: charged, and in no row of the books."""
        return self._sum("SELECT SUM(reserved + stranded + extra) FROM counter WHERE limit_id = ?", limit)

    def held_by(self, source: str) -> int:
        """In grants of that log, whatever their units."""
        return self._sum("SELECT SUM(rest) FROM allowance WHERE source = ?", source)

    def used(self, limit: str, subject: str, start: int) -> int:
        """Of a limit in one window, whatever became of it."""
        sql = "SELECT spent + extra + reserved + stranded FROM counter WHERE name = ?"
        return self._sum(sql, f"{limit}\n{subject}\n{start}")

    def _sum(self, sql: str, *of: str) -> int:
        assert self.store._writer is not None
        return int(self.store._writer.execute(sql, of).fetchone()[0] or 0)

    def obeyed(self, using: sqlite3.Connection, script: Script[Any], really: Callable[..., Any]) -> Any:
        """In the place of the store's own: dies between two statements when its time has come."""
        return really(using, script if self.dies_after is None else self._until_death(script))

    def _until_death(self, script: Script[Any]) -> Script[Any]:
        try:
            step: Step = next(script)
            while True:
                assert self.dies_after is not None
                self.dies_after -= 1
                if self.dies_after == 0:
                    raise Died
                step = script.send((yield step))
        except StopIteration as ended:
            # The end came first: it dies when this is committed.
            self.dies_after = 0
            return ended.value


def _at_once(work: Coroutine[Any, Any, web.Response]) -> web.Response:
    """Nothing in there waits: the store's threads are the loop's own."""
    try:
        work.send(None)
    except StopIteration as ended:
        return cast(web.Response, ended.value)
    raise AssertionError("the ledger waits for something that is not there")
