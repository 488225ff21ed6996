"""`chaos.compare` finds what it is for: a comparison that cannot fail proves nothing."""

from collections.abc import Callable
from typing import Any

import pytest
from builders.chaos.compare import compare
from builders.chaos.story import Death, Seen, Story

Spoil = Callable[[Story], object]


def a_story() -> Story:
    """One whole answer, one crash, one stream that a provider cut."""

    def served(number: int, name: str, kind: str = "ok", completion: int = 10) -> dict[str, Any]:
        tokens = {"prompt_tokens": 4, "completion_tokens": completion}
        return {"number": number, "body": {"mark": name}, "kind": kind, **tokens}

    def row(number: int, name: str, outcome: str, **fields: Any) -> dict[str, Any]:
        usual = {
            "attempt": f"at-{name}", "user": name, "account": "default/a", "request": f"gen-{name}", "flag": None,
            "upstream_id": f"chatcmpl-fake{number}", "status": 200, "prompt": 4, "completion": 10,
            "usage_from": "provider", "streamed": 1, "cost": 14, "billed": 14, "at": 100.0, "ended": 101.0,
        }  # fmt: skip
        return usual | {"outcome": outcome} | fields

    nothing = {"usage_from": "unknown", "cost": 0, "billed": 0, "prompt": 0, "completion": 0, "upstream_id": ""}
    return Story(
        killed=[Death("proxy-0", 100.5)],
        seen=[
            Seen("fine", "ok", 100.0, 101.0, "gen-fine", 10),
            Seen("crashed", "broke", 100.0, 100.5),
            Seen("cut", "cut", 100.0, 101.0, "gen-cut", 0),
        ],
        served={"default/a": [served(1, "fine"), served(2, "crashed"), served(3, "cut", "cut", 3)]},
        rows=[
            row(1, "fine", "ok"),
            row(2, "crashed", "crash", ended=102.0, **nothing),
            row(3, "cut", "upstream_cut", completion=3, usage_from="estimated"),
        ],
    )


def test_books_that_agree_have_no_differences() -> None:
    assert compare(a_story()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda s: s.rows.pop(0), id="a row lost"),
        pytest.param(lambda s: s.rows.append(s.rows[0] | {"attempt": "at-again"}), id="a row twice"),
        pytest.param(lambda s: s.rows[0].update(completion=11), id="other tokens"),
        pytest.param(lambda s: s.rows[0].update(billed=0), id="an answer not billed"),
        pytest.param(lambda s: s.rows[0].update(outcome=None), id="left open"),
        pytest.param(lambda s: s.rows[0].update(flag="cost"), id="flagged"),
        pytest.param(lambda s: s.rows[1].update(cost=1), id="a crash with a cost"),
        pytest.param(lambda s: s.rows[2].update(completion=4), id="more than was sent"),
        pytest.param(lambda s: s.killed.clear(), id="a crash, and nobody was killed"),
        pytest.param(lambda s: s.served["default/a"].pop(0), id="booked and never served"),
        pytest.param(lambda s: s.served["default/a"][2].update(kind="ok"), id="cut by us"),
        pytest.param(lambda s: s.seen.append(Seen("x", "ok", 1.0, 2.0, wrong="503")), id="a wrong answer"),
        pytest.param(lambda s: s.seen.append(Seen("x", "broke", 1.0, 2.0)), id="a connection that broke by itself"),
    ],
)
def test_every_difference_is_found(spoil: Spoil) -> None:
    story = a_story()
    spoil(story)
    assert compare(story) != []
