from byway_cli.up.backoff import FIRST_S, HEALTHY_S, MOST_S, Backoff


def test_a_child_that_keeps_dying_is_waited_for_longer_and_longer() -> None:
    backoff = Backoff()
    assert [backoff.after(lived_s=0.1, dice=1.0) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0]


def test_a_child_that_was_well_for_long_starts_again_at_once() -> None:
    backoff = Backoff(deaths=9)
    assert backoff.after(lived_s=HEALTHY_S, dice=1.0) == FIRST_S


def test_half_of_the_wait_is_chance_so_that_children_do_not_return_together() -> None:
    assert Backoff(deaths=20).after(lived_s=0.0, dice=0.0) == MOST_S / 2
