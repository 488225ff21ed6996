"""The ledger's URLs: it takes usage, and answers what it has.

POST /v1/usage       a batch         200 booked · 400 no batch · 403 another's log · 409 gap, fenced, forked
                                     503, 507 not now
GET  /v1/usage       sums            ?by=route,day&since=…&until=…&limit=…&namespace=…
GET  /v1/attempts    of a request    ?request=gen-…&namespace=…
GET  /v1/focus       CSV, by day     ?since=…&until=…
GET  /healthz /readyz /metrics
and those of limits and grants: see `grants_api`

So they are on the unix socket. Over TLS they are behind a door: see `guard`.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web
from byway_contract.activity import ATTEMPTS_PATH, FOCUS_PATH, Attempts
from byway_contract.records import (
    CLOSED_EPOCH,
    MOST_RECORDS,
    USAGE_PATH,
    Batch,
    Booked,
    Fenced,
    Forked,
    Gap,
    decode_batch,
)
from byway_process.logs import Log
from prometheus_client import CollectorRegistry, generate_latest

from byway_ledger.answers import answer, error_answer, explained, foreign_answer
from byway_ledger.books import Foreign
from byway_ledger.export import exported
from byway_ledger.figures import Figures, Scraped
from byway_ledger.grants_api import GrantsApi
from byway_ledger.question import NoQuestion, question, span
from byway_ledger.stores.store import Done, Store, StoreError, StoreFull

# A thousand records of the longest kind a proxy writes.
MOST_BYTES = 64 * 1024 * 1024
# Each waits for one commit. More than this, and a proxy is better off trying again.
MOST_WAITING = 64


@dataclass(frozen=True)
class _NoBatch:
    why: str


class Api:
    def __init__(self, store: Store, log: Log, now: Callable[[], float] = time.time) -> None:
        self.figures = Figures()
        self._store, self._log, self._now = store, log, now
        self._waiting = 0
        self.grants = GrantsApi(store, self.figures, log, lambda: secrets.token_hex(8), now)
        self._registry = CollectorRegistry()
        self._registry.register(Scraped(self.figures))

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[explained])
        app.add_routes(
            [
                web.post(USAGE_PATH, self.take),
                web.get(USAGE_PATH, self.sums),
                web.get(ATTEMPTS_PATH, self.attempts),
                web.get(FOCUS_PATH, self.focus),
                *self.grants.routes(),
                *self.admin(),
            ]
        )
        return app

    def admin(self) -> list[web.RouteDef]:
        return [
            web.get("/healthz", self._healthy),
            web.get("/readyz", self._ready),
            web.get("/metrics", self._metrics),
        ]

    async def take(self, request: web.Request, sender: str = "") -> web.Response:
        """`sender` is the pod that proved to send it; empty where the socket's mode is the proof."""
        if self._waiting >= MOST_WAITING:
            return error_answer(503, "too many batches are waiting for the disk; send it again", retry_after_s=1)
        self._waiting += 1
        try:
            batch = _batch(await request.read())
            if isinstance(batch, _NoBatch):
                self._log.warning("a batch is refused", why=batch.why)
                return error_answer(400, f"no batch: {batch.why}")
            return await self._booked(batch, sender)
        finally:
            self._waiting -= 1

    async def _booked(self, batch: Batch, sender: str) -> web.Response:
        began = time.perf_counter()
        try:
            done = await self._store.book(batch, self._now(), sender)
        except StoreError as error:
            self.figures.failed += 1
            self._log.error("a batch cannot be booked", source=batch.source, why=str(error))
            return error_answer(507 if isinstance(error, StoreFull) else 503, str(error), retry_after_s=1)
        if isinstance(done, Done):
            self._count(batch, done, time.perf_counter() - began)
            return answer(200, Booked(done.seq, done.recall))
        if isinstance(done, Foreign):
            return self._foreign(batch, done, sender)
        return self._refused(batch, done)

    def _count(self, batch: Batch, done: Done, seconds: float) -> None:
        figures = self.figures
        figures.batches += 1
        figures.records += done.records
        figures.repeated += done.repeated
        figures.flagged += done.flagged
        figures.seconds += seconds
        figures.last_booked = self._now()
        if done.hole:
            self._log.error("records were lost with older books", source=batch.source, records=done.hole)
        if done.flagged:
            self._log.warning("the cost of attempts is in doubt", source=batch.source, attempts=done.flagged)

    def _refused(self, batch: Batch, why: Gap | Fenced | Forked) -> web.Response:
        if isinstance(why, Gap):
            self.figures.gaps += 1
        else:
            self.figures.fenced += 1
        kind = type(why).__name__.lower()
        self._log.warning("a batch is refused", source=batch.source, first=batch.first_seq, why=kind)
        return answer(409, why)

    def _foreign(self, batch: Batch, why: Foreign, sender: str) -> web.Response:
        self.figures.foreign += 1
        self._log.warning("a batch is refused", source=batch.source, sender=sender, why=f"the log of {why.owner}")
        return foreign_answer(why.owner, sender)

    async def sums(self, request: web.Request) -> web.Response:
        try:
            asked = question(request.query)
        except NoQuestion as error:
            return error_answer(400, str(error))
        return answer(200, await self._store.sums(asked))

    async def attempts(self, request: web.Request) -> web.Response:
        name = request.query.get("request", "")
        if not name:
            return error_answer(400, "request: want the id of a generation, as in ?request=gen-…")
        return answer(200, Attempts(await self._store.attempts(name, request.query.get("namespace"))))

    async def focus(self, request: web.Request) -> web.StreamResponse:
        try:
            since, until = span(request.query)
        except NoQuestion as error:
            return error_answer(400, str(error))
        first = await anext(pieces := exported(self._store, since, until, self._now()))
        told = web.StreamResponse(headers={"Content-Type": "text/csv; charset=utf-8"})
        await told.prepare(request)
        await told.write(first)
        async for piece in pieces:
            await told.write(piece)
        await told.write_eof()
        return told

    async def _healthy(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _: web.Request) -> web.Response:
        # A full disk does not make it unready: it could not be told of when there is room again.
        await self._store.alive()
        return web.Response(text="ok\n")

    async def _metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain", charset="utf-8")


def _batch(body: bytes) -> Batch | _NoBatch:
    try:
        batch = decode_batch(body)
    except ValueError as error:
        return _NoBatch(str(error)[:200])
    if not 1 <= len(batch.records) <= MOST_RECORDS:
        return _NoBatch(f"records: want 1 to {MOST_RECORDS}, not {len(batch.records)}")
    if batch.first_seq < 1 or not 1 <= batch.epoch < CLOSED_EPOCH:
        return _NoBatch("first_seq, epoch: both begin with 1")
    return batch
