"""The Lease as it was read, and whether it may be taken. No clock but the arguments."""

from typing import Any

from byway_operator.kube.lease import LEASE_S, Candidate, Lease, Seen, may_take, new_term, released, taken

A, B = Candidate("operator-a", "192.0.2.1:8443"), Candidate("operator-b", "192.0.2.2:8443")
WALL = 1_790_000_000.0
TERM = int(WALL * 1000)


def stored(lease: Lease, version: str) -> dict[str, Any]:
    """As the API server gives back what was written."""
    return {**lease, "metadata": {**lease["metadata"], "uid": "u", "resourceVersion": version}}


def held_by(candidate: Candidate, *, version: str = "1", term: int = TERM) -> dict[str, Any]:
    return stored(taken(Seen(None, 0.0), candidate, term, "byway-operator", WALL), version)


def test_a_lease_that_is_not_there_may_be_taken() -> None:
    assert may_take(Seen(None, 0.0), A, 0.0)


def test_anothers_lease_is_waited_for_until_we_have_seen_it_unchanged_for_its_whole_duration() -> None:
    seen = Seen(held_by(A), 100.0)
    assert not may_take(seen, B, 100.0 + LEASE_S - 0.1)
    assert may_take(seen, B, 100.0 + LEASE_S)


def test_a_renewal_begins_the_wait_anew_and_reading_the_same_again_does_not() -> None:
    seen = Seen(held_by(A, version="1"), 100.0)
    assert seen.again(held_by(A, version="1"), 110.0).since == 100.0
    assert seen.again(held_by(A, version="2"), 110.0).since == 110.0


def test_what_another_nodes_clock_wrote_does_not_count() -> None:
    lease = held_by(A)
    lease["spec"]["renewTime"] = "1999-01-01T00:00:00.000000Z"
    assert not may_take(Seen(lease, 100.0), B, 101.0)


def test_a_released_lease_may_be_taken_at_once_by_a_later_term() -> None:
    seen = Seen(stored(released(Seen(held_by(A), 0.0), WALL), "2"), 0.0)
    assert seen.address is None
    assert may_take(seen, B, 0.0)
    assert new_term(seen, WALL - 3600) == TERM + 1


def test_after_a_deleted_lease_the_clock_makes_the_term() -> None:
    assert new_term(Seen(None, 0.0), WALL + 1) == TERM + 1000


def test_a_term_that_is_no_number_is_none() -> None:
    lease = held_by(A)
    lease["metadata"]["annotations"]["byway.dev/term"] = "9" * 30
    assert Seen(lease, 0.0).term == 0


def test_who_renews_keeps_when_it_began_and_who_takes_over_counts_a_transition() -> None:
    first = held_by(A)
    renewed = taken(Seen(first, 0.0), A, TERM, "byway-operator", WALL + 2)
    assert renewed["spec"]["acquireTime"] == first["spec"]["acquireTime"]
    assert renewed["spec"]["leaseTransitions"] == 0
    other = taken(Seen(first, 0.0), B, TERM + 1, "byway-operator", WALL + 20)
    assert other["spec"]["holderIdentity"] == "operator-b"
    assert other["spec"]["leaseTransitions"] == 1
    assert Seen(stored(other, "2"), 0.0).address == B.address


def test_what_others_wrote_on_the_lease_stays() -> None:
    lease = held_by(A)
    lease["metadata"]["labels"] = {"team": "platform"}
    lease["metadata"]["annotations"]["note"] = "x"
    renewed = taken(Seen(lease, 0.0), A, TERM, "byway-operator", WALL)
    assert renewed["metadata"]["labels"] == {"team": "platform"}
    assert renewed["metadata"]["annotations"]["note"] == "x"
    assert renewed["metadata"]["resourceVersion"] == "1"
