"""What an API server publishes of itself becomes what proxies know its tokens by."""

from typing import Any

import pytest
from builders.cluster_tokens import AUDIENCE, ISSUER, NOW, ec_signer, rsa_signer, token
from byway_contract.table import Issuer, canonical, decode_object
from byway_operator.watch.issuer import IssuerError, issuer_of
from byway_process.tokens import Verifier

# As `kubectl get --raw /.well-known/openid-configuration` prints it.
DISCOVERY = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}/openid/v1/jwks",
    "response_types_supported": ["id_token"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": ["RS256"],
}
RSA, EC = rsa_signer("b"), ec_signer("a")


def test_keys_are_sorted_and_travel_in_the_table() -> None:
    found = issuer_of(DISCOVERY, {"keys": [RSA.jwk, EC.jwk]}, AUDIENCE)
    assert found == issuer_of(DISCOVERY, {"keys": [EC.jwk, RSA.jwk, RSA.jwk]}, AUDIENCE)
    assert found == Issuer(ISSUER, AUDIENCE, (EC.public, RSA.public))
    there = decode_object("callers", "serviceaccounts", canonical(found))
    assert isinstance(there, Issuer)
    verifier = Verifier(there.issuer, there.audience, there.keys)
    assert [verifier.verify(token(by=signer), NOW).name for signer in (RSA, EC)] == ["app", "app"]


@pytest.mark.parametrize(
    "other",
    [
        {"kty": "OKP", "crv": "Ed25519", "kid": "x", "x": "AAAA"},
        {"kty": "oct", "kid": "x", "k": "AAAA"},
        {**EC.jwk, "kid": "x", "crv": "secp256k1"},
        {**RSA.jwk, "kid": "x", "use": "enc"},
        {**RSA.jwk, "kid": "x", "alg": "PS256"},
        {**RSA.jwk, "kid": 7},
        {name: value for name, value in RSA.jwk.items() if name != "kid"},
        {"kid": "x"},
        rsa_signer("x", 1024).jwk,
        "x",
        None,
    ],
    ids=str,
)
def test_a_key_that_nobody_could_verify_with_is_passed_over(other: Any) -> None:
    assert issuer_of(DISCOVERY, {"keys": [other, RSA.jwk]}, AUDIENCE).keys == (RSA.public,)


def test_no_secret_part_of_a_key_is_taken_along() -> None:
    found = issuer_of(DISCOVERY, {"keys": [{**RSA.jwk, "d": "c2VjcmV0", "p": "c2VjcmV0"}]}, AUDIENCE)
    assert b"c2VjcmV0" not in bytes(canonical(found))


@pytest.mark.parametrize("jwks", [{}, {"keys": None}, {"keys": []}, {"keys": "x"}, {"keys": [{"kty": "oct"}]}])
def test_a_cluster_without_keys_is_said_to_be_one(jwks: dict[str, Any]) -> None:
    with pytest.raises(IssuerError, match="no RSA or EC key"):
        issuer_of(DISCOVERY, jwks, AUDIENCE)


@pytest.mark.parametrize("discovery", [{}, {"issuer": ""}, {"issuer": ["x"]}])
def test_a_cluster_without_a_name_is_said_to_be_one(discovery: dict[str, Any]) -> None:
    with pytest.raises(IssuerError, match="names no issuer"):
        issuer_of(discovery, {"keys": [RSA.jwk]}, AUDIENCE)
