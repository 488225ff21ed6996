"""When to compile, by the times of changes."""

from itertools import pairwise

import pytest
from byway_operator.quiet import AT_MOST_S, LEAD_S, QUIET_S, Quiet


def test_the_first_change_after_a_quiet_time_is_compiled_at_once() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    assert quiet.due() == 100.0 + LEAD_S


def test_changes_that_follow_are_gathered_until_it_is_quiet() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    quiet.compiled(100.02)
    quiet.changed(100.05)
    quiet.changed(100.09)
    assert quiet.due() == 100.09 + QUIET_S


def test_changes_that_never_end_are_compiled_all_the_same() -> None:
    quiet = Quiet()
    quiet.changed(100.0)
    quiet.compiled(100.02)
    for n in range(100):
        quiet.changed(100.1 + n / 50)
    assert quiet.due() == 100.1 + AT_MOST_S


def compiles(changes: list[float]) -> list[float]:
    """When it is compiled, with changes at these times."""
    quiet, at, left = Quiet(), [], list(changes)
    while left or quiet.due() is not None:
        due = quiet.due()
        if due is None or (left and left[0] <= due):
            quiet.changed(left.pop(0))
        else:
            quiet.compiled(due)
            at.append(due)
    return at


def test_two_hundred_files_saved_at_once_are_few_compiles() -> None:
    assert len(compiles([n * 0.002 for n in range(200)])) <= 4


def test_a_burst_that_comes_unevenly_is_two_compiles_a_second() -> None:
    at = compiles([turn * 0.25 + n * 0.02 for turn in range(20) for n in range(6)])
    assert len(at) >= 9
    assert all(later - earlier >= AT_MOST_S - 1e-9 for earlier, later in pairwise(at))


def test_one_change_after_another_waits_for_no_burst() -> None:
    at = compiles([n * 0.2 for n in range(10)])
    assert at == pytest.approx([LEAD_S, *(n * 0.2 + QUIET_S for n in range(1, 10))])


def test_nothing_changed_is_nothing_due() -> None:
    quiet = Quiet()
    quiet.changed(1.0)
    quiet.compiled(1.02)
    assert quiet.due() is None
