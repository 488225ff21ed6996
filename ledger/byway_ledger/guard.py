"""The ledger's URLs as a cluster reaches them: over TLS, each behind its door.

POST /v1/usage /v1/grants /v1/hello     proxies       401, 403 with what to show · 503 before the first keys
PUT  /v1/keys                           the operator  204 · 400 no keys for us · 507 believed, but not kept
PUT  /v1/limits  POST /v1/close-source  the operator
POST /v1/credits                        the operator
GET  /v1/usage /v1/attempts /v1/counters /v1/credits
                                        the operator, and proxies for their callers, who see their own alone
GET  /v1/focus                          the operator

Health and metrics are elsewhere (`BYWAY_ADMIN`). A ledger without keys is ready all the same: it is by being
reachable that it gets them.
"""

import time
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web
from byway_contract.activity import ATTEMPTS_PATH, FOCUS_PATH
from byway_contract.fees import CREDITS_PATH
from byway_contract.grants import CLOSE_PATH, COUNTERS_PATH, GRANTS_PATH, HELLO_PATH, LIMITS_PATH
from byway_contract.records import KEYS_PATH, USAGE_PATH
from byway_process.logs import Log

from byway_ledger import keys as signing
from byway_ledger.answers import error_answer, explained
from byway_ledger.api import MOST_BYTES, Api
from byway_ledger.door import AWAIT_KEYS_S, Denied, Door
from byway_ledger.keys import Keys, KeysError

# A fleet that shows the wrong token is one line, not one for each batch of each proxy.
SAY_AGAIN_S = 60.0
_MOST_SAID = 64

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    def __init__(
        self,
        api: Api,
        door: Door,
        keys: Keys,
        log: Log,
        now: Callable[[], float] = time.time,
        keep: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        """`keep` writes keys down where other ledgers find them. Raises StoreError."""
        self._keep = keep
        self._api, self._door, self._keys, self._log, self._now = api, door, keys, log, now
        self._said: dict[str, float] = {}
        api.figures.keys = keys.count

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BYTES, middlewares=[explained])
        app.add_routes(
            [
                web.post(USAGE_PATH, self._proxies(self._api.take)),
                web.put(KEYS_PATH, self._believe),
                web.get(USAGE_PATH, self._readers(self._api.sums)),
                web.get(ATTEMPTS_PATH, self._readers(self._api.attempts)),
                web.get(FOCUS_PATH, self._operators(self._api.focus)),
                web.put(LIMITS_PATH, self._operators(self._api.grants.rule)),
                web.post(CLOSE_PATH, self._operators(self._api.grants.close_source)),
                web.get(COUNTERS_PATH, self._readers(self._api.grants.counters)),
                web.post(GRANTS_PATH, self._proxies(self._api.grants.ask)),
                web.post(HELLO_PATH, self._proxies(self._api.grants.hello)),
                web.post(CREDITS_PATH, self._operators(self._api.grants.buy)),
                web.get(CREDITS_PATH, self._readers(self._api.grants.credits)),
            ]
        )
        return app

    def _proxies(self, handler: Callable[[web.Request, str], Awaitable[web.StreamResponse]]) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            # Before anything of the body is read.
            shown = self._door.proxy(request.headers.get(hdrs.AUTHORIZATION, ""), self._keys.verifier, self._now())
            if isinstance(shown, Denied):
                return self._denied(request, shown)
            return await handler(request, shown.pod)

        return guarded

    def _operators(self, handler: _Handler) -> _Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            return self._stranger(request) or await handler(request)

        return guarded

    def _readers(self, handler: _Handler) -> _Handler:
        """Whoever shows a token is a proxy, everybody else has to be the operator."""
        as_operator = self._operators(handler)
        as_proxy = self._proxies(lambda request, _: handler(request))

        async def guarded(request: web.Request) -> web.StreamResponse:
            return await (as_proxy if hdrs.AUTHORIZATION in request.headers else as_operator)(request)

        return guarded

    async def _believe(self, request: web.Request) -> web.Response:
        if denied := self._stranger(request):
            return denied
        if (request.content_length or 0) > signing.MOST_BYTES:
            return error_answer(413, f"more than {signing.MOST_BYTES} bytes of keys")
        try:
            self._keys.take(await request.read())
            if self._keep is not None:
                await self._keep(self._keys.written.decode())
        except KeysError as error:
            self._log.warning("signing keys are refused", why=str(error))
            return error_answer(400, str(error))
        except OSError as error:
            self._log.error("signing keys are believed, but not kept for a restart", why=str(error))
            return error_answer(507, f"believed, but not kept for a restart: {error.strerror}", retry_after_s=5)
        finally:
            self._api.figures.keys = self._keys.count
        return web.Response(status=204)

    def _stranger(self, request: web.Request) -> web.Response | None:
        certificate = request.transport.get_extra_info("peercert") if request.transport is not None else None
        denied = self._door.as_operator(certificate)
        return self._denied(request, denied) if denied else None

    def _denied(self, request: web.Request, denied: Denied) -> web.Response:
        self._api.figures.turned_away += 1
        now = self._now()
        if now - self._said.get(denied.why, 0.0) >= SAY_AGAIN_S:
            if len(self._said) >= _MOST_SAID:
                self._said.clear()
            self._said[denied.why] = now
            self._log.warning("somebody is turned away", url=request.path, status=denied.status, why=denied.why)
        answer = error_answer(
            denied.status, denied.why, retry_after_s=AWAIT_KEYS_S if denied.status == 503 else None
        )
        if denied.status == 401:
            answer.headers[hdrs.WWW_AUTHENTICATE] = "Bearer"
        return answer
