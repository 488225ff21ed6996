"""A token is taken for what it says only if this cluster signed it, for us, and for now."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from builders.cluster_tokens import (
    AUDIENCE,
    ISSUER,
    NOW,
    Minted,
    Signer,
    b64,
    claims,
    ec_signer,
    issuer,
    rsa_signer,
    signed,
    token,
    unb64,
    with_hmac,
)
from byway_contract.table import SigningKey
from byway_process.tokens import LONGEST, ServiceAccount, TokenError, Verifier, usable
from hypothesis import example, given, settings
from hypothesis import strategies as st

RSA, EC = rsa_signer(), ec_signer()
STRANGER = rsa_signer("stranger")
OURS = issuer(RSA, EC)
HERE = Verifier(OURS.issuer, OURS.audience, OURS.keys)
HEADER = '{"alg":"RS256","kid":"one"}'
BODY = json.dumps(claims())


def refusal(text: str, now: float = NOW, verifier: Verifier = HERE) -> str:
    """Why it is refused; fails if it is not, or if the reason quotes any of it."""
    with pytest.raises(TokenError) as caught:
        verifier.verify(text, now)
    reason = str(caught.value)
    # An exception that is kept or printed must not carry the token either.
    assert caught.value.__cause__ is None
    assert all(part not in reason for part in text.split(".") if len(part) > 7)
    return reason


@pytest.mark.parametrize(
    "signer",
    [
        RSA, rsa_signer("r384", alg="RS384"), rsa_signer("r512", alg="RS512"), rsa_signer("big", 4096),
        EC, ec_signer("e384", "ES384"), ec_signer("e512", "ES512"),
    ],
    ids=lambda signer: f"{signer.alg}-{signer.kid}",
)  # fmt: skip
def test_a_token_of_this_cluster_says_who_brings_it(signer: Signer) -> None:
    verifier = Verifier(ISSUER, AUDIENCE, [RSA.public, signer.public])
    assert verifier.verify(token("team-a", "app", by=signer), NOW) == ServiceAccount(
        "team-a", "app", "s-1", "app-7d9f", "p-1", NOW + 3600
    )


def test_a_token_need_not_be_bound_to_a_pod() -> None:
    bound = {"namespace": "team-a", "serviceaccount": {"name": "app.v2", "uid": "s-1"}}
    found = HERE.verify(token("team-a", "app.v2", **{"kubernetes.io": bound, "nbf": None, "iat": None}), NOW)
    assert (found.name, found.pod_name, found.pod_uid) == ("app.v2", "", "")


@pytest.mark.parametrize("aud", [AUDIENCE, ["other", AUDIENCE]])
def test_one_of_a_tokens_audiences_is_ours(aud: object) -> None:
    assert HERE.verify(token(aud=aud), NOW).namespace == "team-a"


def test_a_token_may_say_that_it_is_a_jwt() -> None:
    assert HERE.verify(str(Minted(header={"typ": "JWT"})), NOW).namespace == "team-a"


def test_a_key_that_names_no_algorithm_is_for_the_usual_one() -> None:
    bare = Signer("bare", RSA.key, "")
    verifier = Verifier(ISSUER, AUDIENCE, [bare.public])
    assert verifier.verify(token(by=Signer("bare", RSA.key)), NOW).namespace == "team-a"
    assert "algorithm" in refusal(token(by=Signer("bare", RSA.key, "RS512")), verifier=verifier)


def test_a_token_is_good_until_the_second_it_ends_and_from_a_minute_before_it_begins() -> None:
    one = token(exp=NOW + 10, nbf=NOW)
    assert HERE.verify(one, NOW + 9.999).expires == NOW + 10
    assert HERE.verify(one, NOW - 60).expires == NOW + 10
    assert "expired" in refusal(one, NOW + 10)
    assert "not valid yet" in refusal(one, NOW - 60.001)


def changed(**changes: Any) -> str:
    return token(**changes)


def header(**changes: Any) -> str:
    return str(Minted(header=changes))


JWK = {"kty": "RSA", "n": STRANGER.public.n, "e": STRANGER.public.e}
JSON_DEEP = '{"a":' + "[" * 5000 + "]" * 5000 + "}"

CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another audience": ({"aud": ["byway-control"]}, "not made for the audience"),
    "our audience as a part of one": ({"aud": f"{AUDIENCE}-ledger"}, "not made for the audience"),
    "our audience in other letters": ({"aud": ["BYWAY"]}, "not made for the audience"),
    "no audience": ({"aud": None}, "body"),
    "an empty list of audiences": ({"aud": []}, "not made for the audience"),
    "an audience that is an object": ({"aud": {AUDIENCE: True}}, "body"),
    "an audience that is a number": ({"aud": [1]}, "body"),
    "the issuer of another cluster": ({"iss": "https://elsewhere.example"}, "another cluster"),
    "our issuer with a slash more": ({"iss": ISSUER + "/"}, "another cluster"),
    "no issuer": ({"iss": None}, "body"),
    "expired": ({"exp": NOW - 1}, "expired"),
    "expired long ago": ({"exp": -(10**400)}, "expired"),
    "no end": ({"exp": None}, "body"),
    "an end that is a word": ({"exp": str(NOW + 3600)}, "body"),
    "an end that is a fraction": ({"exp": NOW + 3600.5}, "body"),
    "an end that is true": ({"exp": True}, "body"),
    "an end that is a list": ({"exp": [NOW + 3600]}, "body"),
    "an end that never comes": ({"exp": float("inf")}, "body"),
    "an end that is no number": ({"exp": float("nan")}, "body"),
    "a beginning that is to come": ({"nbf": NOW + 61}, "not valid yet"),
    "a beginning that is a word": ({"nbf": "0"}, "body"),
    "no subject": ({"sub": None}, "body"),
    "a person": ({"sub": "jane"}, "subject"),
    "a node": ({"sub": "system:node:node-1"}, "subject"),
    "another namespace than it is bound to": ({"sub": "system:serviceaccount:team-b:app"}, "subject"),
    "another name than it is bound to": ({"sub": "system:serviceaccount:team-a:root"}, "subject"),
    "a name of two parts": ({"sub": "system:serviceaccount:team-a:app:x"}, "subject"),
    "a name with a line's end": ({"sub": "system:serviceaccount:team-a:app\n"}, "subject"),
    "bound to nothing": ({"kubernetes.io": None}, "body"),
    "bound to no ServiceAccount": ({"kubernetes.io": {"namespace": "team-a"}}, "body"),
    "bound to a list": ({"kubernetes.io": ["team-a", "app"]}, "body"),
}


@pytest.mark.parametrize("case", CLAIMS)
def test_what_this_cluster_signed_is_refused_where_it_is_not_for_us(case: str) -> None:
    changes, why = CLAIMS[case]
    assert why in refusal(token(**changes))


@pytest.mark.parametrize(
    "name", ["Team-A", "team_a", "-team", "team-", "te am", "", "t" * 64, "../a", "a'--", "té", "*"]
)
def test_no_namespace_that_kubernetes_would_not_have(name: str) -> None:
    assert "subject" in refusal(token(name, "app"))


HEADERS: dict[str, tuple[dict[str, Any], str]] = {
    "alg none": ({"alg": "none"}, "algorithm"),
    "alg None": ({"alg": "None"}, "algorithm"),
    "alg empty": ({"alg": ""}, "algorithm"),
    "no alg": ({"alg": None}, "header"),
    "alg a list": ({"alg": ["RS256"]}, "header"),
    "alg of another family": ({"alg": "PS256"}, "algorithm"),
    "alg of the other key": ({"alg": "ES256"}, "algorithm"),
    "alg longer than its key's": ({"alg": "RS512"}, "algorithm"),
    "no kid": ({"kid": None}, "header"),
    "an empty kid": ({"kid": ""}, "key"),
    "a kid that is a number": ({"kid": 1}, "header"),
    "a kid that is a path": ({"kid": "../../../../dev/null"}, "key"),
    "a kid that is SQL": ({"kid": "one' UNION SELECT 'secret"}, "key"),
    "a kid that is a command": ({"kid": "one|/bin/id"}, "key"),
    "a kid with a NUL": ({"kid": "one\0"}, "key"),
    "a kid of 8 KiB": ({"kid": "k" * 8000}, "key"),
    "a kid of the stranger's": ({"kid": "stranger"}, "key"),
    "its own key": ({"jwk": JWK}, "header"),
    "the address of a key": ({"jku": "https://elsewhere.example/keys"}, "header"),
    "the address of a certificate": ({"x5u": "https://elsewhere.example/cert"}, "header"),
    "its own certificate": ({"x5c": ["MIIB"]}, "header"),
    "a certificate's digest": ({"x5t": "AAAA"}, "header"),
    "an extension that must be understood": ({"crit": ["exp"]}, "header"),
    "an empty crit": ({"crit": []}, "header"),
    "a body that is not encoded": ({"b64": False, "crit": ["b64"]}, "header"),
    "compressed": ({"zip": "DEF"}, "header"),
    "encrypted": ({"enc": "A256GCM"}, "header"),
    "a typ that is a number": ({"typ": 1}, "header"),
}


@pytest.mark.parametrize("case", HEADERS)
def test_a_header_has_no_say(case: str) -> None:
    changes, why = HEADERS[case]
    assert why in refusal(header(**changes))


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("ending", ["", ".", ".AA", "." + b64("{}")])
def test_no_token_is_good_without_a_signature(alg: str, ending: str) -> None:
    for kid in ("one", "two", "", "nobody"):
        refusal(f"{b64(json.dumps({'alg': alg, 'kid': kid}))}.{b64(BODY)}{ending}")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
@pytest.mark.parametrize("signer", [RSA, EC], ids=["rsa", "ec"])
def test_a_public_key_is_nobodys_password(alg: str, signer: Signer) -> None:
    public = signer.public
    secrets = [signer.pem, signer.pem.strip(), json.dumps(signer.jwk).encode(), b"", public.n.encode()]
    for secret in secrets:
        said = json.dumps({"alg": alg, "kid": signer.kid})
        assert "algorithm" in refusal(with_hmac(secret, said, BODY, f"sha{alg[2:]}"))
        refusal(with_hmac(secret, json.dumps({"alg": signer.alg, "kid": signer.kid}), BODY))


def test_a_key_of_one_kind_is_not_tried_as_another() -> None:
    assert "algorithm" in refusal(str(Minted(RSA, header={"kid": "two"})))
    assert "algorithm" in refusal(str(Minted(EC, header={"kid": "one"})))


def test_a_stranger_who_borrows_our_keys_name_has_still_not_our_key() -> None:
    assert "signature" in refusal(str(Minted(STRANGER, header={"kid": "one"})))
    assert "signature" in refusal(str(Minted(ec_signer("other"), header={"kid": "two"})))
    zero = b64(bytes(64))
    assert "signature" in refusal(f"{b64(json.dumps({'alg': 'ES256', 'kid': 'two'}))}.{b64(BODY)}.{zero}")


def test_a_key_that_the_cluster_has_no_more_is_said_to_be_so() -> None:
    assert refusal(token(by=STRANGER)) == "it is signed by a key that this cluster has not (any more)"


SHAPES: dict[str, Callable[[], str]] = {
    "nothing": lambda: "",
    "a word": lambda: "sk-or-v1-0123456789abcdef",
    "dots": lambda: "..",
    "two parts": lambda: token().rpartition(".")[0],
    "four parts": lambda: token() + ".AAAA",
    "five parts, encrypted": lambda: ".".join([b64('{"alg":"RSA-OAEP","enc":"A256GCM"}'), "AA", "AA", "AA", "AA"]),
    "five parts, ours": lambda: token() + ".AA.AA",
    "nothing in the middle": lambda: f"{b64(HEADER)}..AAAA",
    "padded": lambda: token() + "==",
    "another base64": lambda: f"{b64(HEADER)}.a+/b.AAAA",
    "a line's end after it": lambda: token() + "\n",
    "a space before it": lambda: " " + token(),
    "a NUL in it": lambda: token().replace(".", "\0.", 1),
    "the scheme before it": lambda: "Bearer " + token(),
    "not ASCII": lambda: token() + "é",
    "digits of another script": lambda: token()[:-1] + "٣",
    "half a character": lambda: token() + "\udc80",
    "as a JSON object": lambda: json.dumps({"protected": b64(HEADER), "payload": b64(BODY), "signature": "AAAA"}),
    "a header that is no JSON": lambda: signed(RSA, "{alg:RS256}", BODY),
    "a header that is a list": lambda: signed(RSA, f"[{HEADER}]", BODY),
    "a header twice": lambda: signed(RSA, HEADER * 2, BODY),
    "a header in UTF-16": lambda: b64(HEADER.encode("utf-16")) + "." + ".".join(token().split(".")[1:]),
    "a header that is not UTF-8": lambda: b64(b'{"alg":"\xff"}') + "." + ".".join(token().split(".")[1:]),
    "a header without an end": lambda: signed(RSA, '{"a":' * 1500, BODY),
    "a header that is too deep": lambda: f"{b64(JSON_DEEP)}.AAAA.AAAA",
    "an alg that comes twice": lambda: signed(RSA, '{"alg":"none","alg":"RS256","kid":"one"}', BODY),
    "a kid that comes twice": lambda: signed(RSA, '{"alg":"RS256","kid":"two","kid":"one"}', BODY),
    "a body that is no JSON": lambda: signed(RSA, HEADER, "team-a"),
    "a body that is a list": lambda: signed(RSA, HEADER, f"[{BODY}]"),
    "a body that is too deep": lambda: signed(RSA, HEADER, JSON_DEEP),
    "a sub that comes twice": lambda: signed(RSA, HEADER, BODY[:-1] + ',"sub":"system:serviceaccount:team-a:app"}'),
    "an aud that comes twice": lambda: signed(RSA, HEADER, BODY[:-1] + f',"aud":["{AUDIENCE}"]}}'),
    "an inner name that comes twice": lambda: signed(
        RSA, HEADER, BODY.replace('{"namespace"', '{"namespace":"team-b","namespace"')
    ),
    "a name in disguise that comes twice": lambda: signed(
        RSA, HEADER, BODY[:-1] + r',"s\u0075b":"system:serviceaccount:team-a:app"}'
    ),
    "a number of 6,000 digits": lambda: signed(RSA, HEADER, BODY.replace(str(NOW + 3600), "9" * 6000)),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES)
def test_what_is_no_token_is_refused_with_a_reason(case: str) -> None:
    assert refusal(SHAPES[case]())


def test_what_is_too_long_is_not_looked_at() -> None:
    longest = signed(RSA, HEADER, BODY[:-1] + ',"x":"' + "x" * 11_000 + '"}')
    assert 14_000 < len(longest) < LONGEST
    assert HERE.verify(longest, NOW).namespace == "team-a"
    more = signed(RSA, HEADER, BODY[:-1] + ',"x":"' + "x" * 12_500 + '"}')
    assert refusal(more) == refusal("a." * 400_000) == "it is longer than 16 KiB"


def test_a_token_has_one_spelling() -> None:
    """The last letter of a part has bits that mean nothing: 15 of 16 spellings must not pass for the one."""
    for one in (token(), token(by=EC)):
        head, body, signature = one.split(".")
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        same = [s for x in letters if unb64(s := signature[:-1] + x) == unb64(signature)]
        assert len(same) == 16
        assert [s for s in same if _accepted(f"{head}.{body}.{s}")] == [signature]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_change_of_a_token_is_let_in(data: st.DataObject) -> None:
    one = data.draw(st.sampled_from([GOOD_RSA, GOOD_EC]))
    at = data.draw(st.integers(0, len(one)))
    until = data.draw(st.integers(at, min(len(one), at + 8)))
    put = data.draw(st.text(st.characters(codec="utf-8") | st.sampled_from("AZaz09-_.=ey"), max_size=8))
    other = one[:at] + put + one[until:]
    assert not _accepted(other) or other == one


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["alg", "kid", "typ", "jwk", "crit", "b64", "x"]),
        st.from_type(str) | st.none() | st.integers() | st.lists(st.text()),
    ),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(list(claims())) | st.text(), inner),
        max_leaves=12,
    ),
    st.binary(max_size=80),
)
@example({"alg": "RS256", "kid": "one"}, {}, b"")
def test_nothing_that_a_stranger_makes_up_is_let_in(head: object, body: object, signature: bytes) -> None:
    assert not _accepted(f"{b64(json.dumps(head))}.{b64(json.dumps(body))}.{b64(signature)}")
    # Nor, signed by the cluster, anything but what Kubernetes writes.
    assert not _accepted(signed(RSA, HEADER, json.dumps(body)))


GOOD_RSA, GOOD_EC = token(), token(by=EC)


def _accepted(text: str) -> bool:
    """Refused means TokenError: any other exception fails the test."""
    try:
        HERE.verify(text, NOW)
    except TokenError:
        return False
    return True


SMALL = rsa_signer("small", 1024).public


@pytest.mark.parametrize(
    "key",
    [
        SMALL,
        SigningKey("RSA", "", "RS256", n=RSA.public.n, e=RSA.public.e),
        SigningKey("RSA", "k", "HS256", n=RSA.public.n, e=RSA.public.e),
        SigningKey("RSA", "k", "PS256", n=RSA.public.n, e=RSA.public.e),
        SigningKey("RSA", "k", "RS256", n="", e="AQAB"),
        SigningKey("RSA", "k", "RS256", n="?", e="AQAB"),
        SigningKey("RSA", "k", "RS256", n=RSA.public.n, e=""),
        SigningKey("EC", "k", "ES256", crv="P-224", x="AA", y="AA"),
        SigningKey("EC", "k", "ES384", crv="P-256", x=EC.public.x, y=EC.public.y),
        SigningKey("EC", "k", "ES256", crv="P-256", x=EC.public.x, y=EC.public.x),
        SigningKey("EC", "k", "ES256", crv="P-256", x="AA", y="AA"),
        SigningKey("EC", "k", "ES256", crv="P-256"),
    ],
    ids=repr,
)
def test_a_key_that_cannot_be_used_harms_no_other(key: SigningKey) -> None:
    assert not usable(key)
    assert Verifier(ISSUER, AUDIENCE, [key, RSA.public, key]).verify(token(), NOW).namespace == "team-a"


def test_a_cluster_without_keys_lets_nobody_in() -> None:
    assert "key" in refusal(token(), verifier=Verifier(ISSUER, AUDIENCE, []))
