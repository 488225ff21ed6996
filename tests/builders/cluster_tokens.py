"""ServiceAccount tokens as a cluster would sign them, and as somebody would who should not.

Signed by hand, with `cryptography` alone: what we verify with must not be what the tests sign with.
"""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from byway_contract.table import Issuer, SigningKey
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

ISSUER = "https://kubernetes.default.svc.cluster.local"
AUDIENCE = "byway"
NOW = 1_795_000_000
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512(),
}  # fmt: skip


def b64(data: bytes | str) -> str:
    data = data.encode() if isinstance(data, str) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def of_number(number: int, size: int | None = None) -> str:
    return b64(number.to_bytes(size or (number.bit_length() + 7) // 8))


@dataclass(frozen=True)
class Signer:
    """A key pair of an API server."""

    kid: str
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
    alg: str = "RS256"

    @property
    def public(self) -> SigningKey:
        """As it stands in the table."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            numbers = self.key.public_key().public_numbers()
            return SigningKey("RSA", self.kid, self.alg, n=of_number(numbers.n), e=of_number(numbers.e))
        at, size = self.key.public_key().public_numbers(), (self.key.key_size + 7) // 8
        curve = f"P-{self.key.key_size}"
        return SigningKey(
            "EC", self.kid, self.alg, crv=curve, x=of_number(at.x, size), y=of_number(at.y, size)
        )  # fmt: skip

    @property
    def jwk(self) -> dict[str, str]:
        """As the API server publishes it."""
        members = {name: getattr(self.public, name) for name in SigningKey.__struct_fields__}
        return {"use": "sig"} | {name: value for name, value in members.items() if value}

    @property
    def pem(self) -> bytes:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self.key.public_key().public_bytes(serialization.Encoding.PEM, form)

    def sign(self, data: bytes, alg: str | None = None) -> bytes:
        how = _HASHES[(alg or self.alg)[-3:]]
        if isinstance(self.key, rsa.RSAPrivateKey):
            return self.key.sign(data, padding.PKCS1v15(), how)
        r, s = decode_dss_signature(self.key.sign(data, ec.ECDSA(how)))
        size = (self.key.key_size + 7) // 8
        return r.to_bytes(size) + s.to_bytes(size)


@cache
def rsa_signer(kid: str = "one", bits: int = 2048, alg: str = "RS256") -> Signer:
    return Signer(kid, rsa.generate_private_key(65537, bits), alg)


@cache
def ec_signer(kid: str = "two", alg: str = "ES256") -> Signer:
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return Signer(kid, ec.generate_private_key(curves[alg]), alg)


def claims(namespace: str = "team-a", name: str = "app", **changes: Any) -> dict[str, Any]:
    """What kubelet asks for; a change of None takes the claim out."""
    usual: dict[str, Any] = {
        "aud": [AUDIENCE],
        "exp": NOW + 3600,
        "iat": NOW,
        "iss": ISSUER,
        "jti": "0b6a0a4e-5f0a-4b0e-9d0e-1a6f3f5d2c11",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "n-1"},
            "pod": {"name": f"{name}-7d9f", "uid": "p-1"},
            "serviceaccount": {"name": name, "uid": "s-1"},
            "warnafter": NOW + 3607,
        },
        "nbf": NOW,
        "sub": f"system:serviceaccount:{namespace}:{name}",
    }
    return {key: value for key, value in (usual | changes).items() if value is not None}


@dataclass
class Minted:
    """A token in its making: `str()` signs it."""

    signer: Signer = field(default_factory=rsa_signer)
    body: dict[str, Any] | str = field(default_factory=claims)
    header: dict[str, Any] = field(default_factory=dict)
    """Beside `alg` and `kid`, or instead of them; None takes a member out."""

    def __str__(self) -> str:
        usual = {"alg": self.signer.alg, "kid": self.signer.kid}
        header = {key: value for key, value in (usual | self.header).items() if value is not None}
        body = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return signed(self.signer, json.dumps(header), body)


def token(namespace: str = "team-a", name: str = "app", *, by: Signer | None = None, **changes: Any) -> str:
    return str(Minted(by or rsa_signer(), claims(namespace, name, **changes)))


def signed(signer: Signer, header: str, body: str) -> str:
    """Whatever they say; the signature is right for what the signer's key is for."""
    data = f"{b64(header)}.{b64(body)}"
    return f"{data}.{b64(signer.sign(data.encode()))}"


def with_hmac(secret: bytes, header: str, body: str, hash_name: str = "sha256") -> str:
    data = f"{b64(header)}.{b64(body)}"
    return f"{data}.{b64(hmac.new(secret, data.encode(), getattr(hashlib, hash_name)).digest())}"


def issuer(*signers: Signer, audience: str = AUDIENCE) -> Issuer:
    keys = sorted((signer.public for signer in signers or (rsa_signer(),)), key=lambda key: key.kid)
    return Issuer(ISSUER, audience, tuple(keys))
