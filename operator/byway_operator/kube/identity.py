"""Who dials the control stream, by what the API server says of the token: one of our proxies' pods, or a stranger.

    no token, or a strange one ------------------------------------------------> 401
    TokenReview: not authenticated (expired, another audience, pod deleted) ---> 401
                 authenticated, as another ServiceAccount, or as no pod -------> 403
                 no answer ----------------------------------------------------> 503, dial again
                 authenticated, our audience, our proxies, a pod --------------> that pod

A token is never logged, answered or kept: the cache knows it by its hash.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable

from aiohttp import hdrs, web
from byway_contract.stream import Pod
from byway_process.logs import Log
from cachetools import TTLCache

from byway_operator.kube.api import KubeApi, KubeError, Reviewed
from byway_operator.push.door import Stranger

REMEMBERED_S, MOST_REMEMBERED = 60.0, 4096
# A thousand proxies that dial at once are a second of reviews; longer than this, and a proxy has hung up.
AT_ONCE, WAIT_S = 16, 4.0
POD_NAME, POD_UID = "authentication.kubernetes.io/pod-name", "authentication.kubernetes.io/pod-uid"


class TokenReviews:
    """An `Identify`. `account` is whose tokens are let in: `namespace/name` of the proxies' ServiceAccount."""

    def __init__(
        self, api: KubeApi, audience: str, account: str, log: Log, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._api, self._audience, self._log = api, audience, log
        namespace, _, name = account.partition("/")
        self._username = f"system:serviceaccount:{namespace}:{name}"
        self._known: TTLCache[bytes, Pod] = TTLCache(MOST_REMEMBERED, REMEMBERED_S, now)
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._unanswered = ""
        """Why the last review had no answer."""

    async def __call__(self, request: web.Request) -> Pod | Stranger:
        token = _bearer(request.headers.get(hdrs.AUTHORIZATION, ""))
        if token is None:
            return Stranger(401, f"want Authorization: Bearer and a projected token of audience {self._audience}")
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None:
            return known
        found = await self._review(token)
        if isinstance(found, Pod):
            self._known[digest] = found
        return found

    async def _review(self, token: str) -> Pod | Stranger:
        try:
            async with asyncio.timeout(WAIT_S), self._turns:
                reviewed = await self._api.review_token(token, self._audience)
        except KubeError as error:
            # 401 and 403 are not the proxy's: it is the operator that may not ask.
            return self._nobody_can_tell(str(error))
        except TimeoutError:
            return self._nobody_can_tell(f"no answer within {WAIT_S} s")
        self._unanswered = ""
        return judge(reviewed, self._audience, self._username)

    def _nobody_can_tell(self, why: str) -> Stranger:
        # Once, not for each of a thousand proxies that dial again.
        if why != self._unanswered:
            self._log.error("the Kubernetes API reviews no tokens: no proxy can come in", why=why)
        self._unanswered = why
        return Stranger(503, "the Kubernetes API reviews no tokens just now; dial again")


def judge(reviewed: Reviewed, audience: str, username: str) -> Pod | Stranger:
    """`authenticated` comes first: the other fields of a refused token mean nothing."""
    if not reviewed.authenticated:
        return Stranger(401, f"want a token of audience {audience} that has not expired and whose pod still exists")
    if audience not in reviewed.audiences:
        # An API server that knows no audiences says yes to any token, and does not repeat ours.
        return Stranger(401, f"the token is not of audience {audience}")
    if reviewed.username != username:
        return Stranger(403, f"the token is of {reviewed.username[:256]}; proxies here are {username}")
    name, uid = _only(reviewed, POD_NAME), _only(reviewed, POD_UID)
    if not name or not uid:
        return Stranger(403, "the token names no pod; mount a projected one (serviceAccountToken in a volume)")
    return Pod(name, uid, namespace=username.split(":")[2])


def _only(reviewed: Reviewed, claim: str) -> str:
    values = dict(reviewed.extra).get(claim) or ()
    return str(values[0]) if len(values) == 1 else ""


def _bearer(header: str) -> str | None:
    """The token, if it could be one. (How long a header may be, the server sees to.)"""
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or " " in token:
        return None
    return token if token.isascii() and token.isprintable() else None
