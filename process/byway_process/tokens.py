"""Who signed this ServiceAccount token, and for whom: verified offline, by the cluster's public keys alone.

    text --shape--> header --kid--> key --its algorithm--> signature --then only--> claims --> ServiceAccount

What a stranger wrote is looked at as little as possible before the signature holds: the size, three parts, and a
header of three known members, whose only say is which of *our* keys to try. The algorithm is the key's; a header
that names another one is refused, so `none` and HMAC with a public key are not even tried. No JSON name may come
twice, and joserfc takes a signature in one spelling alone: a token has one meaning, and one digest.

Time is an argument. Offline means that a token is good until it expires: nobody is asked whether its ServiceAccount
or Pod is still there.
"""

import base64
import json
import re
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from byway_contract.table import SigningKey
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from msgspec import Struct

LONGEST = 16 * 1024
"""Bytes of a token. Kubernetes' own are about 1 KiB."""
LATER_S = 60
"""How far our clock may be behind the cluster's: as Kubernetes has it. After its end a token has no such grace."""
LEAST_RSA_BITS = 2048

_TOKEN = re.compile(r"([\w-]+)\.([\w-]+)\.[\w-]+", re.ASCII)
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SUBJECT = re.compile(rf"system:serviceaccount:({_LABEL}):({_LABEL}(?:\.{_LABEL})*)", re.ASCII)
# Those that Kubernetes signs with; the first is meant where a key names none.
_RSA = ("RS256", "RS384", "RS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}


class TokenError(ValueError):
    """Why a token is refused. Nothing of the token is in it."""


class ServiceAccount(Struct, frozen=True):
    """Who a token speaks for. `pod_*` are empty where it is bound to no Pod."""

    namespace: str
    name: str
    uid: str
    pod_name: str
    pod_uid: str
    expires: int
    """Seconds since 1970."""


class Verifier:
    """One cluster's tokens for one audience. Keys that cannot be used are passed over: see `usable`."""

    def __init__(self, issuer: str, audience: str, keys: Iterable[SigningKey]) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys = {key.kid: loaded for key in keys if (loaded := _load(key)) is not None}

    def verify(self, token: str, now: float) -> ServiceAccount:
        """`now` is in seconds since 1970. Raises TokenError."""
        header, body = _parts(token)
        key = self._key(_object(header, _Header))
        if not key.signed(token):
            raise TokenError("its signature is wrong")
        claims = _object(body, _Claims)
        self._check(claims, now)
        return _subject(claims)

    def _key(self, header: "_Header") -> "_Key":
        key = self._keys.get(header.kid)
        if key is None:
            raise TokenError("it is signed by a key that this cluster has not (any more)")
        if header.alg != key.algorithm:
            raise TokenError("it names an algorithm that is not its key's")
        return key

    def _check(self, claims: "_Claims", now: float) -> None:
        if claims.iss != self._issuer:
            raise TokenError("another cluster issued it")
        if self._audience not in ([claims.aud] if isinstance(claims.aud, str) else claims.aud):
            raise TokenError(f'it is not made for the audience "{self._audience}"')
        if claims.exp <= now:
            raise TokenError("it has expired; a projected token is renewed in its file, so read it anew")
        if claims.nbf > now + LATER_S:
            raise TokenError("it is not valid yet; compare the clocks")


def usable(key: SigningKey) -> bool:
    """Whether tokens can be verified with it: RSA of 2,048 bits or more, or one of the three NIST curves."""
    return _load(key) is not None


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    """`jwk`, `jku`, `x5u`, `x5c`, `crit`, `b64`: whatever else a header says is somebody's wish, and refused."""

    alg: str
    kid: str
    typ: str = "JWT"


class _Named(Struct, frozen=True):
    name: str
    uid: str


class _Bound(Struct, frozen=True):
    namespace: str
    serviceaccount: _Named
    pod: _Named | None = None


class _Claims(Struct, frozen=True):
    iss: str
    aud: str | list[str]
    exp: int
    sub: str
    kubernetes: _Bound = msgspec.field(name="kubernetes.io")
    nbf: int = 0


class _Key:
    """A key and the one algorithm it is for."""

    def __init__(self, key: RSAKey | ECKey, algorithm: str) -> None:
        self.algorithm = algorithm
        self._key = key
        self._registry = jws.JWSRegistry(algorithms=[algorithm])
        # The whole is bounded already; Kubernetes allows names of keys that joserfc thinks long.
        self._registry.max_header_length = self._registry.max_signature_length = LONGEST

    def signed(self, token: str) -> bool:
        try:
            jws.deserialize_compact(token, self._key, registry=self._registry)
        except (JoseError, ValueError):
            return False
        return True


def _load(key: SigningKey) -> _Key | None:
    try:
        if key.kid and key.kty == "RSA" and (algorithm := key.alg or _RSA[0]) in _RSA:
            if int.from_bytes(_bytes(key.n)).bit_length() < LEAST_RSA_BITS:
                return None
            return _Key(RSAKey.import_key({"kty": "RSA", "n": key.n, "e": key.e}), algorithm)
        if key.kid and key.kty == "EC" and (algorithm := _CURVES.get(key.crv, "")) and key.alg in ("", algorithm):
            return _Key(ECKey.import_key({"kty": "EC", "crv": key.crv, "x": key.x, "y": key.y}), algorithm)
    except (JoseError, ValueError):
        return None
    return None


def _parts(token: str) -> tuple[str, str]:
    """Header and body, as they are written."""
    if len(token) > LONGEST:
        raise TokenError(f"it is longer than {LONGEST // 1024} KiB")
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise TokenError("it is not a signed token of three parts")
    return found[1], found[2]


S = TypeVar("S", _Header, _Claims)


def _object(part: str, kind: type[S]) -> S:
    what = "header" if kind is _Header else "body"
    try:
        read = json.loads(_bytes(part), object_pairs_hook=_once)
        return msgspec.convert(read, kind)
    # Without `from`: those errors keep the text they could not read.
    except (ValueError, RecursionError):
        raise TokenError(f"its {what} is not what Kubernetes writes") from None


def _bytes(part: str) -> bytes:
    """Raises ValueError."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a name comes twice")
    return read


def _subject(claims: _Claims) -> ServiceAccount:
    found, bound = _SUBJECT.fullmatch(claims.sub), claims.kubernetes
    if found is None or (found[1], found[2]) != (bound.namespace, bound.serviceaccount.name):
        raise TokenError("its subject is not the ServiceAccount that it is bound to")
    pod = bound.pod or _Named("", "")
    return ServiceAccount(found[1], found[2], bound.serviceaccount.uid, pod.name, pod.uid, claims.exp)
