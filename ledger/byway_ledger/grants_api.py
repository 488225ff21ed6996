"""The URLs about limits and grants.

PUT  /v1/limits         the operator    200 in force · 400 no limits · 409 stale
POST /v1/close-source   the operator    200 with what is unaccounted
GET  /v1/counters       the operator    ?limit=…&open=true: of windows that are not over
                        and proxies     ?of=LIMIT%0ASUBJECT&of=…: where these stand now
POST /v1/grants         proxies         200 given and denied · 403 another's log · 409 fenced, answered
POST /v1/hello          proxies         200 · 403 · 409 fenced, gap
POST /v1/credits        the operator    200 · 400 too much · 409 another purchase has the id
GET  /v1/credits        both            ?namespace=…

503 and 507 wherever the books cannot be written just now; nothing has happened then, or what has happened is said
again when it is asked again.
"""

import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import msgspec
from aiohttp import web
from byway_contract.fees import CREDITS_PATH, Purchase, Taken
from byway_contract.grants import (
    CLOSE_PATH,
    COUNTERS_PATH,
    GRANTS_PATH,
    HELLO_PATH,
    LIMITS_PATH,
    Answered,
    Ask,
    Closing,
    Counter,
    Counters,
    Hello,
    Limits,
    Stale,
)
from byway_contract.records import Fenced, Gap
from byway_process.logs import Log

from byway_ledger.answers import answer, error_answer, foreign_answer
from byway_ledger.books import Foreign
from byway_ledger.figures import Figures
from byway_ledger.grants import Counter as Counted
from byway_ledger.grants import Rules
from byway_ledger.question import NoQuestion, named
from byway_ledger.stores.store import Store, StoreError, StoreFull

# Each waits for a commit of some milliseconds; a proxy that is told 503 asks again under the same number.
MOST_WAITING = 256

T = TypeVar("T")


class GrantsApi:
    """`mint` names a grant: 64 bits of chance, so that no log meets another ledger's grant of the same name."""

    def __init__(
        self,
        store: Store,
        figures: Figures,
        log: Log,
        mint: Callable[[], str],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._figures, self._log, self._mint, self._now = store, figures, log, mint, now
        self._waiting = 0

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put(LIMITS_PATH, self.rule),
            web.post(CLOSE_PATH, self.close_source),
            web.get(COUNTERS_PATH, self.counters),
            web.post(GRANTS_PATH, self.ask),
            web.post(HELLO_PATH, self.hello),
            web.post(CREDITS_PATH, self.buy),
            web.get(CREDITS_PATH, self.credits),
        ]

    async def ask(self, request: web.Request, sender: str = "") -> web.Response:
        """`sender`: see `Api.take`."""
        message = await _read(request, Ask)
        if isinstance(message, web.Response):
            return message
        done = await self._done(lambda: self._store.ask(message, self._now(), sender, self._mint))
        if isinstance(done, Foreign):
            return foreign_answer(done.owner, sender)
        self._figures.asks += 1
        return _told(done)

    async def hello(self, request: web.Request, sender: str = "") -> web.Response:
        message = await _read(request, Hello)
        if isinstance(message, web.Response):
            return message
        done = await self._done(lambda: self._store.hello(message, self._now(), sender))
        return foreign_answer(done.owner, sender) if isinstance(done, Foreign) else _told(done)

    async def rule(self, request: web.Request) -> web.Response:
        message = await _read(request, Limits)
        if isinstance(message, web.Response):
            return message
        try:
            done = await self._done(lambda: self._store.rule(message, self._now()))
        except ValueError as error:
            self._log.warning("limits are refused", why=str(error))
            return error_answer(400, str(error))
        self._log.info("limits are brought", limits=len(message.limits), hash=message.hash)
        return _told(done)

    async def buy(self, request: web.Request) -> web.Response:
        message = await _read(request, Purchase)
        if isinstance(message, web.Response):
            return message
        try:
            done = await self._done(lambda: self._store.buy(message, self._now()))
        except ValueError as error:
            return error_answer(400, str(error))
        self._log.info("credits are bought", namespace=message.namespace, nanodollars=message.amount, id=message.id)
        if isinstance(done, Taken):
            return error_answer(409, f"id: another purchase is {done.entry.id!r}, of {done.entry.namespace}")
        return _told(done)

    async def credits(self, request: web.Request) -> web.Response:
        return answer(200, await self._store.credits(request.query.get("namespace")))

    async def close_source(self, request: web.Request) -> web.Response:
        message = await _read(request, Closing)
        if isinstance(message, web.Response):
            return message
        done = await self._done(lambda: self._store.close_source(message, self._now()))
        if not isinstance(done, web.Response):
            lost = sum(one.amount for one in done.unaccounted)
            self._log.warning("a log is lost", source=message.source, why=message.why, unaccounted=lost)
        return _told(done)

    async def counters(self, request: web.Request) -> web.Response:
        try:
            asked = named(request.query.items())
        except NoQuestion as error:
            return error_answer(400, str(error))
        now, more = self._now(), False
        if asked.names:
            rules, found = await self._store.counters_of(asked.names, now)
        else:
            rules, found, more = await self._store.counters(asked.most, now if asked.open else 0.0)
        return answer(200, Counters([_shown(one, rules, now) for one in found], rules.hash, more))

    async def _done(self, work: Callable[[], Awaitable[T]]) -> T | web.Response:
        if self._waiting >= MOST_WAITING:
            return error_answer(503, "too many are waiting for the disk; ask again", retry_after_s=1)
        self._waiting += 1
        try:
            return await work()
        except StoreError as error:
            self._figures.failed += 1
            self._log.error("limits or grants cannot be written", why=str(error))
            return error_answer(507 if isinstance(error, StoreFull) else 503, str(error), retry_after_s=1)
        finally:
            self._waiting -= 1


def _told(done: msgspec.Struct | web.Response) -> web.Response:
    if isinstance(done, web.Response):
        return done
    return answer(409 if isinstance(done, Fenced | Gap | Stale | Answered) else 200, done)


async def _read(request: web.Request, kind: type[T]) -> T | web.Response:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except (msgspec.DecodeError, ValueError) as error:
        return error_answer(400, f"{request.path}: {str(error)[:200]}")


def _shown(one: Counted, rules: Rules, now: float) -> Counter:
    limit = rules.limits.get(one.limit)
    return Counter(
        limit=one.limit,
        subject=one.subject,
        start=one.start,
        end=one.end,
        amount=None if limit is None else one.worth(limit, now),
        spent=one.spent + one.extra,
        reserved=one.reserved,
        stranded=one.stranded,
        metered=one.metered,
        unmetered=one.unmetered,
        overrun=one.overrun,
    )
