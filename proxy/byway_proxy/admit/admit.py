"""Who is asking, and may they ask at all? Decided from the table and the request's credential alone.

    `sk-byway-…` ------------------------------> whose access key it is, or denied: never anonymous
    none --------------------------------------> anonymous, where the table names a namespace for it; else denied
    like a token, and the table has keys ------> verified, or denied: never anonymous
    anything else (clients insist on one) -----> as none

A token is verified once a minute, not at each request: what was found is kept under the SHA-256 of the whole token,
never past the token's own end, and only as long as the cluster's keys are the same. So a token that is revoked, or
whose ServiceAccount is deleted, is good until it expires.
"""

import hashlib
import re

from byway_contract.access_key import PREFIX
from byway_contract.table import AccessKey, Issuer, Table
from byway_process.tokens import TokenError, Verifier
from cachetools import FIFOCache
from msgspec import Struct

from byway_proxy.admit.access_keys import AccessKeys
from byway_proxy.admit.caller import Caller, Denied

__all__ = ["Admission", "Caller", "Denied"]

KEPT_S = 60.0
REFUSED_S = 5.0
"""For a client that repeats itself; short, because a refusal may have been the clock's."""
# Pods that call within a minute; clients that are refused within seconds. A stranger fills only the second.
KEPT, REFUSED = 8192, 512

_LIKE_A_TOKEN = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class _Kept(Struct, frozen=True, gc=False):
    found: Caller | Denied
    since: float
    until: float


class Admission:
    """Obeys one table after the other; `now` is in seconds since 1970."""

    def __init__(self) -> None:
        self._issuer: Issuer | None = None
        self._verifier: Verifier | None = None
        self._way = ""
        self._without: Caller | Denied = _CLOSED
        self._other: Caller | Denied = _CLOSED
        self._access_keys = AccessKeys()
        self.verifications = {"accepted": 0, "refused": 0}
        """Since the process started; what was kept is not counted again."""
        self._forget()

    def obey(self, table: Table) -> None:
        issuer = table.issuer
        if issuer != self._issuer:
            self._issuer = issuer
            self._verifier = Verifier(issuer.issuer, issuer.audience, issuer.keys) if issuer is not None else None
            self._forget()
        self._way = way = _way_in(issuer, bool(table.access_keys))
        self._access_keys.obey({n: c for n, c in table.callers.items() if isinstance(c, AccessKey)}, way)
        if table.anonymous is not None:
            self._without = self._other = Caller(table.anonymous)
        else:
            self._without = Denied(f"no credential; {way}") if issuer or table.access_keys else _CLOSED
            self._other = Denied(f"this gateway does not know this credential; {way}")

    def admit(self, credential: str | None, now: float) -> Caller | Denied:
        if credential is None:
            return self._without
        if credential.startswith(PREFIX):
            return self._access_keys.caller(credential, now)
        # `eyJ` is how `{"` begins in base64: what was a token before it was damaged is not let in as nobody either.
        if self._verifier is not None and (credential.startswith("eyJ") or _LIKE_A_TOKEN.fullmatch(credential)):
            return self._of_token(credential, now, self._verifier)
        return self._other

    def last_used(self) -> dict[str, float]:
        """Access keys, by `namespace/name/key`, and when each last let somebody in, in seconds since 1970."""
        return self._access_keys.last_used()

    def _of_token(self, token: str, now: float, verifier: Verifier) -> Caller | Denied:
        digest = hashlib.sha256(token.encode(errors="surrogatepass")).digest()
        for found in (self._known, self._refused):
            kept = found.get(digest)
            # Not before it was kept either: a clock may be set back.
            if kept is not None and kept.since <= now < kept.until:
                return kept.found
        try:
            account = verifier.verify(token, now)
        except TokenError as error:
            denied = Denied(f"the ServiceAccount token is refused: {error}; {self._way}")
            self.verifications["refused"] += 1
            self._refused[digest] = _Kept(denied, now, now + REFUSED_S)
            return denied
        self.verifications["accepted"] += 1
        caller = Caller(account.namespace, account.name)
        self._known[digest] = _Kept(caller, now, min(now + KEPT_S, account.expires))
        return caller

    def _forget(self) -> None:
        self._known: FIFOCache[bytes, _Kept] = FIFOCache(KEPT)
        self._refused: FIFOCache[bytes, _Kept] = FIFOCache(REFUSED)


_CLOSED = Denied(
    "this gateway lets nobody in: it has no cluster's keys to know a token by, no access keys, and no anonymous "
    "namespace"
)


def _way_in(issuer: Issuer | None, keyed: bool) -> str:
    if issuer is None and keyed:
        return f'send "Authorization: Bearer {PREFIX}…" with an access key; `byway key new NAME` makes one'
    if issuer is None:
        return "this gateway has no cluster's keys to know a ServiceAccount token by"
    return (
        f'send "Authorization: Bearer TOKEN" with a ServiceAccount token of audience "{issuer.audience}": in a pod '
        f"from a projected volume (serviceAccountToken.audience: {issuer.audience}), by hand from "
        f"`kubectl create token NAME --audience {issuer.audience}`" + (", or send an access key" if keyed else "")
    )
