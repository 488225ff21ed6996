"""`chaos.money` finds what it is for: sums that always come out prove nothing."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from builders.chaos import money
from builders.chaos.callers import INPUT, OUTPUT
from builders.chaos.figures import Figures
from builders.chaos.story import Look, Seen, Story

Spoil = Callable[[Story], object]
BILL = 4 * INPUT + 10 * OUTPUT
LIMITS = {"default/platform": ("", 1000 * BILL), "team-a/each": ("user-0", 2 * BILL), "team-b/counted": ("", 1)}


def a_story() -> Story:
    """An app, a user with a crash, and one whose requests are counted."""
    marks = {"app": "apps", "fine": "user-0", "crashed": "user-0", "one": "counted"}

    def row(mark: str) -> dict[str, Any]:
        crash = mark == "crashed"
        return {
            "user": mark, "account": "default/a", "outcome": "crash" if crash else "ok", "attempt_no": 1,
            "billed": 0 if crash else BILL, "usage_from": "unknown" if crash else "provider",
        }  # fmt: skip

    def served(mark: str) -> dict[str, Any]:
        return {"body": {"mark": mark}, "kind": "ok", "prompt_tokens": 4, "completion_tokens": 10}

    def counter(budget: str, spent: int, extra: int) -> dict[str, Any]:
        unit = "requests" if budget == "team-b/counted" else "nanodollars"
        nothing = dict.fromkeys(("reserved", "stranded", "unmetered", "overrun"), 0)
        name = {"limit_id": f"{budget}/Lifetime/{unit}", "subject": LIMITS[budget][0]}
        return name | {"spent": spent, "extra": extra} | nothing

    return Story(
        seen=[Seen(mark, "ok", 100.0, 101.0, caller=caller) for mark, caller in marks.items()],
        served={"default/a": [served(mark) for mark in marks]},
        rows=[row(mark) for mark in marks],
        looks=[
            Look(101.0, f"{name}/Lifetime/x", subject, amount, 0, 0, 0)
            for name, (subject, amount) in LIMITS.items()
        ],
        counters=[
            counter("default/platform", 3 * BILL, BILL),
            counter("team-a/each", BILL, BILL),
            counter("team-b/counted", 1, 0),
        ],
    )


def test_sums_that_come_out_have_no_differences() -> None:
    story = a_story()
    assert money.differences(story) == []
    assert money.overspent(story) == 0


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda s: s.counters[0].update(spent=3 * BILL - 1), id="a nanodollar is missing"),
        pytest.param(lambda s: s.counters[1].update(extra=10**9), id="more on top than crashes held"),
        pytest.param(lambda s: s.counters[0].update(reserved=1), id="something is reserved for ever"),
        pytest.param(lambda s: s.counters[0].update(stranded=1), id="something is stranded"),
        pytest.param(lambda s: s.counters[2].update(unmetered=1), id="a request went past"),
        pytest.param(lambda s: s.counters[1].update(overrun=1), id="more was spent than held"),
        pytest.param(lambda s: s.counters.pop(), id="a counter is missing"),
        pytest.param(lambda s: s.rows[3].update(attempt_no=2), id="a request that was not counted"),
        pytest.param(
            lambda s: s.looks.append(replace(s.looks[1], spent=BILL, reserved=BILL, stranded=1)), id="too much out"
        ),
    ],
)
def test_every_sum_that_does_not_come_out_is_found(spoil: Spoil) -> None:
    story = a_story()
    spoil(story)
    assert money.differences(story) != []


def test_what_is_served_beyond_a_limit_is_overspend_whatever_the_books_say() -> None:
    story = a_story()
    story.served["default/a"][2]["completion_tokens"] += 3
    assert money.overspent(story) == 3 * OUTPUT


def test_what_is_lost_double_or_not_told_is_in_the_figures() -> None:
    story = a_story()
    story.rows[0]["billed"] += 7
    story.rows.append(story.rows[3] | {})
    del story.rows[1]
    figures = Figures()
    figures._join(story)
    assert (figures.lost, figures.twice, figures.mismatched) == (1, 1, 1)
    assert figures.parts["crashed"].served == BILL
