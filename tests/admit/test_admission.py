"""Who is let in: decided from the table, the credential and the time."""

import gc
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from builders.cluster_tokens import NOW, b64, ec_signer, issuer, rsa_signer, token
from builders.tables import table
from byway_contract.table import Issuer, Table
from byway_proxy.admit.admit import KEPT_S, REFUSED, REFUSED_S, Admission, Caller, Denied
from byway_proxy.api.callers import caller_of, credential_in
from byway_proxy.api.errors import ApiError
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

APP = Caller("team-a", "app")


def letting_in(anonymous: str | None = None, known: Issuer | None = None) -> Table:
    bare = table([], [], anonymous=anonymous)
    return (
        bare if known is None else msgspec.structs.replace(bare, callers={**bare.callers, "serviceaccounts": known})
    )


def admission(anonymous: str | None = None, known: Issuer | None = None) -> Admission:
    made = Admission()
    made.obey(letting_in(anonymous, known))
    return made


def denial(found: Caller | Denied) -> str:
    assert isinstance(found, Denied)
    return found.message


def looks(door: Admission) -> int:
    """How many tokens were really verified."""
    return sum(door.verifications.values())


def test_a_token_makes_its_namespace_the_tenant() -> None:
    assert admission(known=issuer()).admit(token("team-a", "app"), NOW) == APP


@pytest.mark.parametrize("credential", [None, "none-needed", "sk-or-v1-0", "sk-proj-0.1", "a.b", "1.2.3.4"])
def test_who_brings_nothing_of_ours_is_anonymous_where_the_table_says_so(credential: str | None) -> None:
    for known in (None, issuer()):
        assert admission("public", known).admit(credential, NOW) == Caller("public")


@pytest.mark.parametrize("credential", [None, "none-needed", "sk-or-v1-0"])
def test_who_brings_nothing_of_ours_is_told_the_way_in(credential: str | None) -> None:
    told = denial(admission(known=issuer(audience="models")).admit(credential, NOW))
    assert "kubectl create token NAME --audience models" in told
    assert "serviceAccountToken.audience: models" in told


def test_a_table_that_lets_nobody_in_says_so() -> None:
    assert "lets nobody in" in denial(admission().admit(None, NOW))
    assert "lets nobody in" in denial(Admission().admit(None, NOW))
    assert "no cluster's keys" in denial(admission().admit(token(), NOW))


def test_on_one_machine_a_token_is_not_looked_at() -> None:
    assert admission("default").admit(token(), NOW) == Caller("default")


BROKEN: list[Callable[[], str]] = [
    lambda: token(aud=["byway-control"]), lambda: token(exp=NOW), lambda: token(by=rsa_signer("else")),
    lambda: token()[:-4], lambda: token()[:40], lambda: token().replace(".", ""), lambda: token() + "é",
    lambda: token() + ".AA.AA", lambda: token() + "\udcff", lambda: b64('{ "alg":"none"}') + "." + b64("{}") + ".",
    lambda: "eyJ" + "." * 20_000, lambda: "a.b.c",
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
def test_a_bad_token_never_falls_back_to_nobody(broken: Callable[[], str]) -> None:
    for anonymous in (None, "public"):
        told = denial(admission(anonymous, issuer()).admit(broken(), NOW))
        assert told.startswith("the ServiceAccount token is refused: ")


def test_an_access_key_is_not_taken_for_nobody() -> None:
    for anonymous in (None, "public"):
        for known in (None, issuer()):
            told = denial(admission(anonymous, known).admit("sk-byway-0123", NOW))
            assert "not a key that this gateway knows" in told


def test_a_token_is_verified_once_a_minute() -> None:
    door, one = admission(known=issuer()), token()
    for after, so_far in ((0, 1), (1, 1), (KEPT_S - 0.001, 1), (KEPT_S, 2), (KEPT_S + 1, 2)):
        assert door.admit(one, NOW + after) == APP
        assert looks(door) == so_far


def test_what_was_found_is_not_kept_past_the_tokens_end() -> None:
    door, one = admission(known=issuer()), token(exp=NOW + 20)
    assert door.admit(one, NOW) == door.admit(one, NOW + 19.999) == APP
    assert "expired" in denial(door.admit(one, NOW + 20))
    assert "expired" in denial(door.admit(one, NOW + 21))
    assert door.verifications == {"accepted": 1, "refused": 1}


def test_a_clock_that_is_set_back_keeps_nothing_longer() -> None:
    door, one = admission(known=issuer()), token()
    door.admit(one, NOW + 1000)
    assert door.admit(one, NOW) == APP
    assert looks(door) == 2


def test_new_keys_are_obeyed_at_once_and_old_ones_no_more() -> None:
    door, old, new = admission(known=issuer(rsa_signer())), token(), token(by=ec_signer())
    assert door.admit(old, NOW) == APP
    assert "has not (any more)" in denial(door.admit(new, NOW))
    door.obey(letting_in(known=issuer(rsa_signer(), ec_signer())))
    assert door.admit(old, NOW) == door.admit(new, NOW) == APP
    door.obey(letting_in(known=issuer(ec_signer())))
    assert "has not (any more)" in denial(door.admit(old, NOW))
    assert door.admit(new, NOW) == APP
    door.obey(letting_in())
    assert "no cluster's keys" in denial(door.admit(new, NOW))
    assert looks(door) == 6


def test_another_audience_is_obeyed_at_once() -> None:
    door, one = admission(known=issuer()), token()
    assert door.admit(one, NOW) == APP
    door.obey(letting_in(known=issuer(audience="models")))
    assert 'not made for the audience "models"' in denial(door.admit(one, NOW))


def test_a_new_table_with_the_same_keys_verifies_nothing_anew() -> None:
    door, one = admission(known=issuer()), token()
    door.admit(one, NOW)
    door.obey(letting_in("public", known=issuer()))
    assert door.admit(one, NOW + 1) == APP
    assert door.admit(None, NOW + 1) == Caller("public")
    assert looks(door) == 1


def test_who_is_refused_again_and_again_costs_one_look() -> None:
    door, one = admission(known=issuer()), token(nbf=NOW + 61)
    assert "not valid yet" in denial(door.admit(one, NOW))
    assert "not valid yet" in denial(door.admit(one, NOW + REFUSED_S - 0.001))
    assert door.admit(one, NOW + REFUSED_S) == APP
    assert looks(door) == 2


def test_strangers_can_fill_no_memory_and_push_out_nobody() -> None:
    door, one = admission(known=issuer()), token()
    door.admit(one, NOW)
    for number in range(3 * REFUSED):
        door.admit(f"eyJ{number}.a.a", NOW)
    assert len(door._refused) == REFUSED
    before = looks(door)
    assert door.admit(one, NOW + 1) == APP
    assert looks(door) == before


@given(st.text(), st.text())
def test_what_is_kept_is_kept_for_the_whole_token(end: str, beginning: str) -> None:
    """A cache keyed by a part of a token is how one caller becomes another."""
    door, one = admission("public", issuer()), token()
    assert door.admit(one, NOW) == APP
    for other in (one + end, beginning + one, one[: len(one) // 2] + end, one.swapcase() + end):
        assert other == one or door.admit(other, NOW) != APP


@pytest.mark.parametrize(
    ("headers", "credential"),
    [
        ({}, None),
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bEaReR   abc "}, "abc"),
        ({"Authorization": "Bearer "}, None),
        ({"Authorization": "Bearer"}, None),
        ({"Authorization": "Basic abc"}, None),
        ({"Authorization": "Bearerabc"}, None),
        ({"Authorization": "abc"}, None),
        ({"X-API-KEY": "abc"}, "abc"),
        ({"x-api-key": ""}, None),
        ({"Authorization": "Basic abc", "x-api-key": "def"}, "def"),
        ({"Authorization": "Bearer abc", "x-api-key": "def"}, "abc"),
    ],
)
def test_a_credential_is_where_clients_put_it(headers: dict[str, str], credential: str | None) -> None:
    assert credential_in(CIMultiDictProxy(CIMultiDict(headers))) == credential


def test_a_caller_costs_next_to_nothing() -> None:
    """3 µs for a token that is known (sha256 of it is one of them), a tenth for who brings none; here with room for
    a slow machine. A verification is 100 µs."""
    door = admission("public", issuer())

    def cost_s(**more: str) -> float:
        headers: Any = CIMultiDictProxy(CIMultiDict({"Host": "x", "User-Agent": "x", "Accept": "*/*", **more}))
        best = 1.0
        for _ in range(5):
            began = time.perf_counter()
            for _ in range(2000):
                caller_of(headers, door, NOW)
            best = min(best, (time.perf_counter() - began) / 2000)
        return best

    gc.collect()
    assert cost_s(Authorization=f"Bearer {token()}") < 15e-6
    assert cost_s() < 2e-6


def test_a_denied_caller_is_told_which_scheme_there_is() -> None:
    with pytest.raises(ApiError) as caught:
        caller_of({}, admission(known=issuer()), NOW)
    assert caught.value.status == 401
    assert caught.value.headers() == b"WWW-Authenticate: Bearer\r\n"
