"""What happens next while a request is carried, as conversations."""

import random

import pytest
from builders.choosing import ask, fail
from builders.tables import account, endpoint, providers, table
from byway_proxy.carry.failover import Answered, Broke, Deliver, Failover, GiveUp, Left, Order, Refused, Try
from byway_proxy.carry.failure import TOLD
from byway_proxy.carry.retries import RetryBudget
from byway_proxy.choose.candidate import Candidate
from byway_proxy.choose.health import Health
from byway_proxy.choose.trouble import FAILURES
from hypothesis import given, settings
from hypothesis import strategies as st

THREE = providers(("a", 1.0), ("b", 2.0), ("c", 3.0))
A, B, C = ask(THREE, provider={"sort": "price"}).candidates

OVERLOADED = Refused("overloaded", 529)
BROKEN = Refused("server_error", 500)
BUSY = Refused("rate_limited", 429)
UNREACHED = Refused("connect", sent=False)


class Fixed:
    def random(self) -> float:
        return 0.5


def carried(*candidates: Candidate, retries: RetryBudget | None = None, **settings: object) -> Failover:
    return Failover(candidates, retries or RetryBudget(), Fixed(), **settings)  # type: ignore[arg-type]  # its own


def given_up(order: Order) -> GiveUp:
    assert isinstance(order, GiveUp)
    return order


def test_the_second_candidate_answers_when_the_first_is_overloaded() -> None:
    failover = carried(A, B)
    assert failover.begin() == Try(A)
    assert failover.after(OVERLOADED) == Try(B)
    assert failover.after(Answered()) == Deliver(B)


@pytest.mark.parametrize(
    "kind",
    [*FAILURES.keys() - {"cut"}, "rate_limited", "payment_required", "unauthorized", "forbidden", "model_missing"],
)
def test_any_failure_of_a_provider_goes_to_the_next(kind: str) -> None:
    failover = carried(A, B)
    failover.begin()
    order = failover.after(Refused(kind))  # type: ignore[arg-type]  # words of a closed set
    if kind == "connect":
        assert order == Try(A)
        order = failover.after(UNREACHED)
    assert order == Try(B)


def test_a_connection_that_fails_is_tried_once_more_and_then_the_next() -> None:
    failover = carried(A, B)
    failover.begin()
    assert failover.after(UNREACHED) == Try(A)
    assert failover.after(UNREACHED) == Try(B)
    assert failover.after(UNREACHED) == Try(B)
    assert isinstance(failover.after(UNREACHED), GiveUp)
    assert failover.attempts == 4


def test_the_only_candidate_is_tried_once_more_after_a_pause() -> None:
    failover = carried(A)
    failover.begin()
    assert failover.after(BROKEN) == Try(A, 0.525)
    assert given_up(failover.after(BROKEN)).error.status == 502


def test_the_only_candidate_is_not_tried_again_when_it_asks_for_longer() -> None:
    failover = carried(A)
    failover.begin()
    error = given_up(failover.after(Refused("overloaded", 503, retry_after_s=20.0))).error
    assert (error.status, error.retry_after_s) == (503, 20.0)


def test_a_rate_limited_only_candidate_is_not_asked_again_at_once() -> None:
    failover = carried(A)
    failover.begin()
    error = given_up(failover.after(Refused("rate_limited", 429, retry_after_s=12.0))).error
    assert (error.status, error.retry_after_s, error.availability) == (429, 12.0, "capacity_exhausted")


@pytest.mark.parametrize(("kind", "status"), [("bad_request", 400), ("too_large", 413), ("unprocessable", 422)])
def test_what_the_client_did_wrong_is_returned_as_it_is(kind: str, status: int) -> None:
    failover = carried(A, B)
    failover.begin()
    error = given_up(failover.after(Refused(kind, status))).error  # type: ignore[arg-type]  # words of a closed set
    assert (error.status, error.as_is, error.retry_after_s) == (status, True, None)


def two_models() -> tuple[Candidate, ...]:
    shop = table(
        [account("a"), account("b"), account("c")],
        [endpoint("team-a/a", "x", 1.0), endpoint("team-a/b", "x", 2.0), endpoint("team-a/c", "y")],
    )
    return ask(shop, "x", "y", provider={"sort": "price"}).candidates


def test_a_prompt_too_long_for_a_model_goes_to_another_model_only() -> None:
    x1, x2, y = two_models()
    failover = carried(x1, x2, y)
    failover.begin()
    assert failover.after(Refused("context_length", 400)) == Try(y)
    assert failover.after(Answered()) == Deliver(y)
    alone = carried(x1, x2)
    alone.begin()
    error = given_up(alone.after(Refused("context_length", 400))).error
    assert (error.status, error.error_type, error.as_is) == (400, "context_length_exceeded", True)


def test_refused_content_after_a_failover_goes_to_another_model_only() -> None:
    x1, x2, y = two_models()
    failover = carried(x1, x2, y)
    failover.begin()
    assert failover.after(BROKEN) == Try(x2)
    assert failover.after(Refused("content_filter", 400)) == Try(y)


def test_all_rate_limited_is_429_with_the_shortest_time_if_each_named_one() -> None:
    def end(*times: float | None) -> tuple[int, float | None]:
        failover = carried(A, B)
        failover.begin()
        failover.after(Refused("rate_limited", 429, times[0]))
        error = given_up(failover.after(Refused("rate_limited", 429, times[1]))).error
        return error.status, error.retry_after_s

    assert end(30.0, 12.0) == (429, 12.0)
    assert end(30.0, None) == (429, None)


def test_the_same_failure_everywhere_keeps_its_status_and_different_ones_are_503() -> None:
    def end(*facts: Refused) -> int:
        failover = carried(A, B, C)
        failover.begin()
        for fact in facts[:-1]:
            assert isinstance(failover.after(fact), Try)
        return given_up(failover.after(facts[-1])).error.status

    assert end(BROKEN, BROKEN, BROKEN) == 502
    assert end(Refused("timeout"), Refused("first_token_timeout"), Refused("timeout")) == 504
    assert end(BROKEN, Refused("timeout"), BUSY) == 503
    assert end(*[Refused("model_missing", 404)] * 3) == 404


def test_the_companys_refused_credential_is_never_told_as_the_callers() -> None:
    for kind in ("unauthorized", "payment_required", "forbidden"):
        failover = carried(A)
        failover.begin()
        error = given_up(failover.after(Refused(kind, 401))).error  # type: ignore[arg-type]  # words of a closed set
        assert (error.status, error.should_retry) == (502, False)


def test_the_errors_before_the_last_are_told() -> None:
    failover = carried(A, B)
    failover.begin()
    failover.after(BUSY)
    error = given_up(failover.after(BROKEN)).error
    assert [(p.provider, p.code, p.status) for p in error.previous] == [("a", "rate_limit_exceeded", 429)]
    assert error.message == '2 attempts for "acme/m" failed; in the last, B failed'
    assert error.candidate is B


def test_every_5xx_of_ours_says_when_to_come_back() -> None:
    for kind, (status, _, _) in TOLD.items():
        if status < 500 or kind == "left" or kind == "cut":
            continue
        failover = carried(A, most_attempts=1)
        failover.begin()
        assert given_up(failover.after(Refused(kind))).error.retry_after_s  # type: ignore[arg-type]


def test_a_full_endpoint_was_not_asked_and_costs_no_attempt() -> None:
    failover = carried(A, B, most_attempts=1)
    failover.begin()
    assert failover.after(Refused("at_capacity")) == Try(B)
    assert failover.attempts == 1
    error = given_up(failover.after(BUSY)).error
    assert error.candidate is B


def test_when_all_are_full_it_is_429_of_our_own() -> None:
    failover = carried(A, B)
    failover.begin()
    failover.after(Refused("at_capacity"))
    error = given_up(failover.after(Refused("at_capacity"))).error
    assert (error.status, error.retry_after_s, error.availability) == (429, 1.0, "capacity_exhausted")


def test_what_is_too_dear_for_the_budget_goes_to_the_next_and_is_402_if_all_are() -> None:
    failover = carried(A, B)
    failover.begin()
    assert failover.after(Refused("budget")) == Try(B)
    assert given_up(failover.after(Refused("budget"))).error.status == 402


def test_a_chain_is_no_longer_than_its_route_says_nor_than_eight() -> None:
    many = ask(providers(*((f"p{i}", 1.0) for i in range(12)))).candidates
    for most, expected in ((3, 3), (100, 8)):
        failover = carried(*many, most_attempts=most)
        order: Order = failover.begin()
        while isinstance(order, Try):
            order = failover.after(BROKEN)
        assert failover.attempts == expected


def test_without_fallbacks_the_providers_error_is_returned_as_it_is() -> None:
    failover = carried(A, fallbacks=False)
    failover.begin()
    error = given_up(failover.after(BROKEN)).error
    assert error.as_is


def test_a_deadline_ends_it_whoever_is_left() -> None:
    failover = carried(A, B)
    failover.begin()
    assert given_up(failover.after(Refused("deadline"))).error.status == 504


def test_an_answer_that_breaks_is_an_event_in_the_stream_and_no_second_try() -> None:
    failover = carried(A, B)
    failover.begin()
    failover.after(Answered())
    error = given_up(failover.after(Broke("cut"))).error
    assert (error.committed, error.status, error.error_type) == (True, 502, "provider_unavailable")


def test_a_client_that_leaves_ends_it_from_anywhere() -> None:
    waiting = carried(A, B)
    waiting.begin()
    assert not given_up(waiting.after(Left())).error.committed
    reading = carried(A, B)
    reading.begin()
    reading.after(Answered())
    assert given_up(reading.after(Left())).error.committed


def test_an_endpoint_known_to_be_out_is_tried_from_the_retry_budget() -> None:
    health = Health()
    for candidate in (A, B):
        fail(health, candidate, "rate_limited", retry_after_s=60.0)
    chain = ask(THREE, health=health).candidates
    retries = RetryBudget(least=1)
    first, second = carried(*chain, retries=retries), carried(*chain, retries=retries)
    for failover in (first, second):
        assert failover.begin() == Try(chain[0])
    assert first.after(BROKEN) == Try(chain[1])
    error = given_up(second.after(BROKEN)).error
    assert error.should_retry is False
    first.after(Answered())
    third = carried(*chain, retries=retries)
    third.begin()
    assert third.after(BROKEN) == Try(chain[1])


def test_an_empty_retry_budget_goes_on_to_the_next_instead() -> None:
    failover = carried(A, B, retries=RetryBudget(least=0, share=0.0))
    failover.begin()
    assert failover.after(UNREACHED) == Try(B)


def test_a_retry_budget_grows_with_what_is_under_way() -> None:
    retries = RetryBudget()
    for _ in range(3):
        assert retries.take(("r", "a"))
    assert not retries.take(("r", "a"))
    for _ in range(20):
        retries.enter(("r", "a"))
    assert retries.take(("r", "a"))
    assert not retries.take(("r", "a"))
    assert not retries.take(("s", "a"))


refusals = st.builds(
    Refused,
    st.sampled_from([kind for kind in TOLD if kind not in ("left", "cut")]),
    st.none() | st.sampled_from([400, 404, 429, 500, 503]),
    st.none() | st.floats(0, 100),
    st.booleans(),
)


@settings(deadline=None, max_examples=200)
@given(
    st.integers(1, 12), st.lists(refusals | st.just(Answered()) | st.just(Left()), max_size=40), st.integers(1, 10),
    st.booleans(), st.integers(0, 3),
)  # fmt: skip
def test_every_chain_ends_and_keeps_to_its_bounds(size, facts, most, fallbacks, least) -> None:  # type: ignore[no-untyped-def]
    chain = ask(providers(*((f"p{i}", float(i)) for i in range(size))), dice=random.Random(size)).candidates
    retries = RetryBudget(least=least, share=0.0)
    failover = carried(*chain, retries=retries, most_attempts=most, fallbacks=fallbacks)
    order: Order = failover.begin()
    tried: list[Candidate] = []
    for fact in [*facts, *[BROKEN] * 40]:
        if not isinstance(order, Try):
            break
        tried.append(order.candidate)
        assert 0.0 <= order.after_s <= 1.0
        order = failover.after(fact)
    if isinstance(order, Deliver):
        assert order.candidate is tried[-1]
        order = failover.after(Broke())
    assert isinstance(order, GiveUp)
    assert failover.attempts <= min(most, 8)
    assert all(tried.count(candidate) <= 2 for candidate in tried)
    places = [chain.index(candidate) for candidate in tried]
    assert places == sorted(places)
    assert 400 <= order.error.status < 600
    # Whatever was taken was given back.
    assert retries._active == {}
    assert retries._retrying == {}
