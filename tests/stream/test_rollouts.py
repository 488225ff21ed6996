"""Who is given a new table, and when: decided without a socket."""

from byway_operator.push.rollout import Seat, answered, begin, joined, refused

OLD, TWO, NEW = Seat(1, "1"), Seat(2, "1"), Seat(3, "2")


def test_one_of_each_build_is_a_scout_and_the_rest_wait() -> None:
    rollout = begin("t", [OLD, TWO, NEW], now=0.0, wait_s=0.3)
    assert [rollout.gives(seat.id, 0.1) for seat in (OLD, TWO, NEW)] == [True, False, True]
    half = answered(rollout, OLD.id)
    assert not half.through(0.1)
    assert answered(half, NEW.id).through(0.1)


def test_waiting_for_scouts_ends() -> None:
    rollout = begin("t", [OLD, TWO], now=0.0, wait_s=0.3)
    assert not rollout.through(0.29)
    assert rollout.through(0.3)


def test_a_refusal_stops_a_rollout_unless_it_is_through() -> None:
    rollout = begin("t", [OLD, TWO], now=0.0, wait_s=0.3)
    stopped = refused(rollout, OLD.id, now=0.1)
    assert not stopped.through(99.0)
    assert not stopped.gives(OLD.id, 99.0)
    assert refused(rollout, OLD.id, now=0.4).through(0.4)


def test_a_free_proxy_is_sent_ahead_of_a_busy_one() -> None:
    rollout = begin("t", [Seat(1, "1", busy=True), Seat(2, "1")], now=0.0, wait_s=0.3)
    assert rollout.gives(2, 0.0)
    assert not rollout.gives(1, 0.0)


def test_a_build_that_serves_the_table_already_needs_no_scout() -> None:
    rollout = begin("t", [OLD, Seat(2, "1", acked="t")], now=0.0, wait_s=0.3)
    assert rollout.through(0.0)


def test_the_first_of_a_build_to_dial_meanwhile_is_a_scout_too() -> None:
    rollout = joined(begin("t", [OLD], now=0.0, wait_s=0.3), NEW, 0.1)
    assert rollout.gives(NEW.id, 0.1)
    assert not answered(rollout, OLD.id).through(0.1)
    assert joined(rollout, TWO, 0.1) == rollout


def test_with_nobody_connected_there_is_nobody_to_wait_for() -> None:
    assert begin("t", [], now=0.0, wait_s=0.3).through(0.0)
