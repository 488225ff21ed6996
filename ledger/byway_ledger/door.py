"""Who may do what over TLS. Decided from what is shown; no I/O.

    POST /v1/usage /v1/grants /v1/hello
    GET  /v1/usage /v1/attempts /v1/counters, with a token
                     a proxy: a token of our audience, of the proxies' ServiceAccount, bound to a pod
    everything else  the operator: a client certificate of our authority, in its name

Whoever connects to the unix socket passes no door: its file mode let them in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from byway_process.tokens import TokenError, Verifier

AWAIT_KEYS_S = 2


@dataclass(frozen=True)
class Denied:
    """401: shows nothing that counts; 403: may not; 503: nobody can tell yet."""

    status: int
    why: str


@dataclass(frozen=True)
class Proxy:
    """A proxy that proved itself."""

    pod: str


@dataclass(frozen=True)
class Door:
    account: str
    """`namespace/name` of the proxies' ServiceAccount."""
    operator: str
    """The name on the operator's certificate."""

    def proxy(self, authorization: str, verifier: Verifier | None, now: float) -> Proxy | Denied:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            return Denied(401, "want Authorization: Bearer, and a projected ServiceAccount token of our audience")
        if verifier is None:
            return Denied(
                503, "no signing keys yet: the operator brings them; keep the records and send them again"
            )
        try:
            shown = verifier.verify(token.strip(), now)
        except TokenError as error:
            return Denied(401, f"the token is refused: {error}")
        if f"{shown.namespace}/{shown.name}" != self.account:
            return Denied(403, f"the token is of {shown.namespace}/{shown.name}; records come from {self.account}")
        if not shown.pod_name:
            return Denied(403, "the token names no pod; mount a projected one (serviceAccountToken in a volume)")
        return Proxy(shown.pod_name)

    def as_operator(self, certificate: Mapping[str, Any] | None) -> Denied | None:
        """`certificate` is verified already, in the form of `ssl.SSLObject.getpeercert`; empty: none is shown."""
        if not certificate:
            return Denied(403, "this is the operator's: show its client certificate, or ask on the unix socket")
        if self.operator not in _names(certificate):
            return Denied(403, f"this is the operator's: the client certificate does not name {self.operator!r}")
        return None


def _names(certificate: Mapping[str, Any]) -> set[str]:
    common = {value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"}
    return common | {value for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}
