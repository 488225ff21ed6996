from typing import Any

import pytest
from byway_contract.money import Price, Usage
from byway_contract.records import Boot, Fenced, Gap, Intent, Record, Settle
from byway_ledger.books import Entries, Known, Position, Take, asked, entries, forked, judge
from fakes.usage import COST, PRICE, batch, intent, settle


def taken(position: Position, *records: Record, first: int, **fields: Any) -> Take:
    take = judge(position, batch(first, *records, **fields))
    assert isinstance(take, Take)
    return take


def test_the_next_records_are_taken() -> None:
    take = taken(Position(1, 4), intent(), settle(), first=5)
    assert list(take.records) == [intent(), settle()]
    assert take.position == Position(1, 6)


def test_what_is_booked_is_skipped() -> None:
    take = taken(Position(1, 5), intent("a"), intent("b"), first=5)
    assert list(take.records) == [intent("b")]
    assert take.position == Position(1, 6)


def test_a_whole_repetition_changes_nothing() -> None:
    take = taken(Position(1, 9), intent("a"), intent("b"), first=5)
    assert list(take.records) == []
    assert take.position == Position(1, 9)


def test_records_are_not_taken_while_some_before_them_miss() -> None:
    assert judge(Position(1, 4), batch(6, intent())) == Gap(5)
    assert judge(Position(), batch(2, intent())) == Gap(1)


def test_records_that_no_log_has_any_more_are_not_waited_for() -> None:
    take = taken(Position(1, 4), intent(), first=9, oldest=9)
    assert take.hole == 4
    assert take.position == Position(1, 9)


def test_an_older_opening_of_a_log_is_fenced() -> None:
    assert judge(Position(3, 4), batch(5, intent(), epoch=2)) == Fenced(3)
    assert taken(Position(3, 4), intent(), first=5, epoch=4).position == Position(4, 5)


def test_a_log_that_says_something_else_under_the_same_numbers_is_found_out() -> None:
    take = taken(Position(1, 9), intent("a"), intent("b"), first=5)
    known = {"a": Known(PRICE, ended=False)}
    fork = forked(take, known)
    assert fork is not None
    assert fork.seq == 6
    assert forked(take, {**known, "b": Known(PRICE, ended=True)}) is None


def test_an_attempt_is_one_row_from_beginning_to_end() -> None:
    made = entries([Boot(1, 0.0), intent("a"), settle("a"), intent("b")], {})
    assert made.rows["a"].settle == settle("a")
    assert made.rows["b"].settle is None
    assert not made.flagged


def test_an_attempt_that_began_earlier_is_completed() -> None:
    made = entries([settle("a")], {"a": Known(PRICE, ended=False)})
    assert made.completions["a"].settle == settle("a")
    assert not made.rows


@pytest.mark.parametrize(
    "records",
    [[intent("a")], [settle("a")], [intent("a"), settle("a")]],
    ids=["begun again", "ended again", "both again"],
)
def test_an_attempt_that_ended_is_not_touched_again(records: list[Intent | Settle]) -> None:
    made = entries(records, {"a": Known(PRICE, ended=True)})
    assert made == Entries(ignored=len(records))


def test_an_attempt_is_ended_once_in_a_batch() -> None:
    made = entries([intent("a"), settle("a"), settle("a", billed=0)], {})
    assert made.rows["a"].settle == settle("a")
    twice = entries([settle("a"), settle("a", billed=0)], {"a": Known(PRICE, ended=False)})
    assert twice.completions["a"].settle == settle("a")
    assert (made.ignored, twice.ignored) == (1, 1)


@pytest.mark.parametrize(
    ("wrong", "flag"),
    [
        ({"cost": COST + 1}, "cost"),
        ({"billed": COST + 1}, "cost"),
        ({"usage": Usage(prompt=1, cached=2)}, "usage"),
        ({"usage_from": "unknown"}, "cost"),
    ],
)
def test_a_cost_that_does_not_follow_from_its_own_price_is_flagged(wrong: dict[str, Any], flag: str) -> None:
    assert entries([intent("a"), settle("a", **wrong)], {}).rows["a"].flag == flag
    assert entries([settle("a", **wrong)], {"a": Known(PRICE, ended=False)}).completions["a"].flag == flag


@pytest.mark.parametrize(
    ("said", "flag"),
    [
        ({"reckoned": 2 * COST}, ""),
        ({"reckoned": COST}, "cost"),
        ({"reckoned": 0}, "cost"),
        ({"reckoned": 0, "billed": 0}, ""),
        ({"reckoned": 2 * COST, "billed": 0}, ""),
        ({"reckoned": 1, "billed": 0}, "cost"),
    ],
)
def test_what_does_not_follow_from_its_list_price_is_flagged(said: dict[str, Any], flag: str) -> None:
    listed = Price(2 * PRICE.input, 2 * PRICE.output)
    assert entries([intent("a", list_price=listed), settle("a", **said)], {}).rows["a"].flag == flag
    known = {"a": Known(PRICE, ended=False, list_price=listed)}
    assert entries([settle("a", **said)], known).completions["a"].flag == flag


def test_money_whose_attempt_was_lost_is_booked_all_the_same() -> None:
    row = entries([settle("a")], {}).rows["a"]
    assert (row.flag, row.settle) == ("orphan", settle("a"))


def test_a_store_is_asked_about_each_attempt_once() -> None:
    assert asked(taken(Position(), Boot(1, 0.0), intent("a"), settle("a"), settle("b"), first=1)) == ["a", "b"]
