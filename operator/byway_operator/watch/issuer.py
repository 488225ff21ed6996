"""The cluster as an issuer of ServiceAccount tokens: from what its API server publishes to what proxies verify by.

`GET /.well-known/openid-configuration` says the issuer's name, `GET /openid/v1/jwks` its public keys. Keys are
rotated: what is read here is read again and again, and sorted, so that the same keys make the same table.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from byway_contract.table import Issuer, SigningKey
from byway_process.tokens import usable

Document = Mapping[str, object]


class IssuerError(ValueError):
    """What the API server says of itself is not enough to know its tokens by."""


def issuer_of(discovery: Document, jwks: Document, audience: str) -> Issuer:
    """Keys of kinds that we cannot verify with are passed over. Raises IssuerError if none is left."""
    name = discovery.get("issuer")
    if not isinstance(name, str) or not name:
        raise IssuerError("/.well-known/openid-configuration: names no issuer; is --service-account-issuer set?")
    keys = {key.kid: key for key in _signing_keys(jwks)}
    if not keys:
        raise IssuerError(
            "/openid/v1/jwks: no RSA or EC key to verify tokens with, so no app can be known by its ServiceAccount"
        )
    return Issuer(name, audience, tuple(key for _, key in sorted(keys.items())))


def _signing_keys(jwks: Document) -> Iterator[SigningKey]:
    listed = jwks.get("keys")
    for jwk in listed if isinstance(listed, Sequence) else ():
        if not isinstance(jwk, Mapping) or jwk.get("use", "sig") != "sig":
            continue
        members = {name: jwk[name] for name in SigningKey.__struct_fields__ if name in jwk}
        try:
            key = msgspec.convert(members, SigningKey)
        except msgspec.ValidationError:
            continue  # of a kind that we do not know
        if usable(key):
            yield key
