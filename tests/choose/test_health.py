"""What the proxy remembers of its endpoints, and what it makes of it."""

import random

import pytest
from builders.choosing import answer, ask, fail, order, slot_of
from builders.tables import account, endpoint, member, providers, route, table
from byway_proxy.choose.health import Health, Limits, Standing
from byway_proxy.choose.trouble import Kind, Trouble
from hypothesis import given, settings
from hypothesis import strategies as st

SHOP = providers(("a", 1.0), ("b", 1.0))
A, B = slot_of(SHOP, "a"), slot_of(SHOP, "b")
DICE = random.Random(5)


def standing(health: Health, now: float, candidate=A) -> Standing:  # type: ignore[no-untyped-def]
    return health.standing(candidate.slot, now)


def ejected(now: float = 1000.0) -> Health:
    health = Health(Limits(jitter=0.0))
    for _ in range(5):
        fail(health, A, now=now)
    return health


def test_five_failures_in_a_row_eject_and_an_answer_between_them_does_not() -> None:
    assert standing(ejected(), 1000.0) is Standing.RESTING
    health = Health()
    for _ in range(4):
        fail(health, A)
    answer(health, A)
    fail(health, A)
    assert standing(health, 1000.0) is Standing.SHAKY


def test_more_than_half_of_the_last_ones_eject_too() -> None:
    health = Health()
    for _ in range(12):
        for _ in range(4):
            fail(health, A)
        answer(health, A)
    assert standing(health, 1000.0) is Standing.RESTING


def test_slow_counts_half() -> None:
    health = Health()
    for _ in range(9):
        fail(health, A, "first_token_timeout")
    assert standing(health, 1000.0) is Standing.SHAKY
    fail(health, A, "first_token_timeout")
    assert standing(health, 1000.0) is Standing.RESTING


def test_an_ejection_takes_longer_each_time_up_to_its_cap() -> None:
    health, now = ejected(), 1000.0
    for span in (30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300):
        assert standing(health, now + span - 0.1) is Standing.RESTING
        now += span
        assert standing(health, now) is Standing.READY
        fail(health, A, now=now)  # the trial


def test_an_endpoint_on_trial_gets_one_live_attempt_at_a_time() -> None:
    health = ejected()
    trial = health.begin(A.slot, 1031.0)
    assert trial is not None
    assert standing(health, 1031.0) is Standing.RESTING
    health.end(trial)  # its client left: nothing is known, the next one tries
    assert standing(health, 1032.0) is Standing.READY


def test_what_comes_back_starts_slowly() -> None:
    health = ejected()
    answer(health, A, now=1031.0)
    assert health.warmth(A.slot, 1031.0) == 0.1
    assert health.warmth(A.slot, 1046.0) == 0.5
    assert health.warmth(A.slot, 1061.0) == 1.0
    assert standing(health, 1062.0) is Standing.READY


def test_an_answer_that_was_under_way_before_the_ejection_proves_nothing() -> None:
    health = Health(Limits(jitter=0.0))
    early = health.begin(A.slot, 999.0)
    assert early is not None
    for _ in range(5):
        fail(health, A, now=1000.0)
    health.answered(early, 1001.0)
    health.end(early)
    assert standing(health, 1002.0) is Standing.RESTING


def test_an_answer_while_all_are_out_ends_the_ejection() -> None:
    health = ejected()
    answer(health, A, now=1001.0)
    assert standing(health, 1001.5) is not Standing.RESTING


@pytest.mark.parametrize("kind", ["rate_limited", "unauthorized"])
def test_an_answer_to_a_request_that_began_during_a_rest_ends_it(kind: Kind) -> None:
    health = Health()
    early = health.begin(A.slot, 999.0)
    assert early is not None
    fail(health, A, kind, now=1000.0, retry_after_s=60.0)
    health.answered(early, 1001.0)
    assert standing(health, 1001.0) is Standing.RESTING
    answer(health, A, now=1002.0)
    assert standing(health, 1002.0) is Standing.READY


def test_ejection_can_be_switched_off() -> None:
    health = Health(Limits(eject=False))
    for _ in range(50):
        fail(health, A)
    assert standing(health, 1000.0) is Standing.SHAKY


def test_the_last_one_is_never_taken_away_and_the_least_bad_is_tried_first() -> None:
    health = ejected()
    fail(health, B, "rate_limited", retry_after_s=500.0)
    assert order(ask(SHOP, health=health)) == ["a", "b"]
    fail(health, A, "unauthorized")
    assert order(ask(SHOP, health=health)) == ["b", "a"]


def test_a_rate_limit_rests_that_model_at_that_account_alone_until_its_time() -> None:
    two = table([account("p")], [endpoint("team-a/p", "x"), endpoint("team-a/p", "y")])
    x, y = ask(two, "x").candidates[0], ask(two, "y").candidates[0]
    health = Health()
    fail(health, x, "rate_limited", retry_after_s=20.0)
    assert standing(health, 1019.0, x) is Standing.RESTING
    assert standing(health, 1019.0, y) is Standing.READY
    assert standing(health, 1020.0, x) is Standing.READY
    assert health.error_rate(x.slot) == 0.0


def test_no_provider_can_ask_for_more_than_ten_minutes() -> None:
    health = Health()
    fail(health, A, "rate_limited", retry_after_s=1e9)
    assert standing(health, 1599.0) is Standing.RESTING
    assert standing(health, 1600.0) is Standing.READY


def test_a_refused_credential_rests_the_whole_account_until_it_is_changed() -> None:
    def with_key(value: str):  # type: ignore[no-untyped-def]
        held = table(
            [account("p", credential="team-a/p")],
            [endpoint("team-a/p", "x"), endpoint("team-a/p", "y")],
            credentials={"team-a/p": value},
        )
        return ask(held, "x").candidates[0], ask(held, "y").candidates[0]

    old_x, old_y = with_key("sk-old")
    new_x, new_y = with_key("sk-new")
    health = Health()
    fail(health, old_x, "unauthorized")
    assert standing(health, 1100.0, old_y) is Standing.RESTING
    assert standing(health, 1100.0, new_y) is Standing.READY
    # A late refusal of the old one does not rest the new one.
    fail(health, old_x, "unauthorized", now=1101.0)
    assert standing(health, 1102.0, new_x) is Standing.READY


def test_a_forbidden_model_rests_alone() -> None:
    two = table([account("p")], [endpoint("team-a/p", "x"), endpoint("team-a/p", "y")])
    health = Health()
    fail(health, ask(two, "x").candidates[0], "forbidden")
    assert standing(health, 1001.0, ask(two, "y").candidates[0]) is Standing.READY


def test_what_a_caller_did_wrong_says_nothing_of_an_endpoint() -> None:
    health = Health()
    for kind in ("bad_request", "too_large", "unprocessable", "context_length", "content_filter", "budget"):
        for _ in range(10):
            fail(health, A, kind)  # type: ignore[arg-type]  # words of a closed set
    assert standing(health, 1000.0) is Standing.READY
    assert health.report(1000.0, 0.0)[0]["team-a/a:acme/m"].failures == 0


def test_a_cap_is_the_fleets_and_each_proxy_has_its_share_rounded_up() -> None:
    shop = table([account("p", max_concurrent=3)], [endpoint("team-a/p")])
    slot, health = ask(shop).candidates[0].slot, Health()
    health.proxies = 2
    first, second = health.begin(slot, 1.0), health.begin(slot, 1.0)
    assert first is not None
    assert second is not None
    assert health.begin(slot, 1.0) is None
    assert health.standing(slot, 1.0) is Standing.FULL
    health.end(first)
    health.end(first)  # a second call gives nothing back
    assert health.begin(slot, 1.0) is not None
    assert health.begin(slot, 1.0) is None


def test_a_routes_cap_is_its_own() -> None:
    shop = table(
        [account("p")],
        [endpoint("team-a/p")],
        [route("r", member("team-a/p:acme/m", max_concurrent=1)), route("s", member("team-a/p:acme/m"))],
    )
    health = Health()
    assert health.begin(ask(shop, "r").candidates[0].slot, 1.0) is not None
    assert health.begin(ask(shop, "r").candidates[0].slot, 1.0) is None
    assert health.begin(ask(shop, "s").candidates[0].slot, 1.0) is not None


def test_a_report_says_what_is_known_in_the_worlds_time() -> None:
    health = Health(Limits(jitter=0.0))
    answer(health, A, now=1000.0, ms=120.0)
    answer(health, A, now=1000.0, ms=240.0)
    fail(health, B, "rate_limited", now=1000.0, status=429, retry_after_s=60.0)
    endpoints, keys = health.report(1010.0, 5_000.0)
    assert endpoints["team-a/a:acme/m"].first_token_p50_ms == 180.0
    limited = endpoints["team-a/b:acme/m"]
    assert (limited.state, limited.resting_until) == ("resting", 5050.0)
    assert limited.last_error is not None
    assert (limited.last_error.kind, limited.last_error.at, limited.last_error.status) == (
        "rate_limited",
        4990.0,
        429,
    )
    assert keys["team-a/a"].last_ok == 4990.0
    assert keys["team-a/b"].last_ok is None


def test_a_report_tells_what_rests_with_its_account_and_what_is_back() -> None:
    health = ejected()
    name = "team-a/a:acme/m"
    assert health.report(1010.0, 0.0)[0][name].state == "ejected"
    assert health.report(1040.0, 0.0)[0][name].state == "healthy"
    fail(health, A, "unauthorized", now=1040.0)
    assert health.report(1050.0, 0.0)[0][name].state == "resting"


def test_what_left_the_table_is_forgotten_once_nothing_runs_there() -> None:
    health = Health()
    running = health.begin(A.slot, 1.0)
    assert running is not None
    health.retain(set(), set())
    assert health.inflight == 1
    health.end(running)
    health.retain(set(), set())
    assert health.report(2.0, 2.0) == ({}, {})


kinds = st.sampled_from(
    ["server_error", "first_token_timeout", "rate_limited", "unauthorized", "bad_request", "ok"]
)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.tuples(kinds, st.booleans(), st.floats(0, 60)), max_size=40))
def test_whatever_happens_places_are_given_back_and_time_heals(story) -> None:  # type: ignore[no-untyped-def]
    shop = table([account("p", max_concurrent=4)], [endpoint("team-a/p")])
    candidate, health, now, running = ask(shop).candidates[0], Health(), 1000.0, []
    for kind, keep, wait in story:
        now += wait
        attempt = health.begin(candidate.slot, now)
        if attempt is None:
            assert len(running) == 4
            health.end(running.pop())
            continue
        if kind == "ok":
            health.answered(attempt, now)
        else:
            health.failed(attempt, Trouble(kind), now, DICE)
        if keep:
            running.append(attempt)
        else:
            health.end(attempt)
        assert len(running) == health.inflight
        assert order(ask(shop, health=health, now=now)) == ["p"]
    for attempt in running:
        health.end(attempt)
    assert health.inflight == 0
    assert health.standing(candidate.slot, now + 700.0) is Standing.READY


def test_proving_a_credential_forgets_nothing_of_its_use() -> None:
    health = Health()
    answer(health, A, now=1000.0)
    health.proven(health.asked(A.slot.account_id), 1001.0)
    used = health.report(1001.0, 5000.0)[1][A.slot.account_id]
    assert (used.requests, used.last_used) == (1, 4999.0)
