"""Requests that wait for grants: who is served, who is asked for, who is refused, by the ledger's last word."""

import random
from typing import Any

from byway_contract.budget import Budget
from byway_contract.budget import Line as BudgetLine
from byway_contract.grants import Denied, Granted, Grants, Want
from byway_proxy.meter.budgets import Line
from byway_proxy.meter.held import Claim, Hold, Key
from byway_proxy.meter.purse import Purse
from byway_proxy.meter.waiting import AGAIN_S, REMEMBERED_S, Short, Waiting

BUDGET = Budget("team-a", "b", (BudgetLine("Month", "nanodollars", 1000),))
MONEY = "team-a/b/Month/nanodollars"


class Room:
    """A waiting room with its purse, and what each who waits was told."""

    def __init__(self) -> None:
        self.purse = Purse()
        self.waiting = Waiting(self.purse, random.Random(1).random)
        self.told: dict[str, Hold | Short] = {}

    def enter(self, name: str, need: int, takes: bool = True) -> None:
        def tell(told: Hold | Short) -> bool:
            if takes:
                self.told[name] = told
            return takes

        self.waiting.enter([Claim(Line(MONEY, "nanodollars", "", BUDGET), need)], tell)

    def wants(self, now: float, returning: bool = False) -> list[Want]:
        def may_return(key: Key) -> bool:
            return returning

        return self.waiting.wants(now, may_return)

    def answer(self, now: float, *amounts: int, **denied: Any) -> None:
        given = tuple(Granted(f"g-{now}-{n}", MONEY, amount, 30.0, 0) for n, amount in enumerate(amounts))
        refused = (Denied(MONEY, "too_much", **denied),) if denied else ()
        answer = Grants(1, given, refused)
        self.purse.take(answer, now)
        self.waiting.answered(answer, now)


def test_each_asks_for_what_is_missing_after_those_before_it() -> None:
    room = Room()
    room.answer(0.0, 30)
    room.enter("a", 50)
    room.enter("b", 50)
    assert [want.need for want in room.wants(0.0)] == [20, 50]


def test_whoever_came_first_is_served_first() -> None:
    room = Room()
    room.enter("a", 50)
    room.enter("b", 50)
    room.wants(0.0)
    room.answer(0.0, 60)
    assert list(room.told) == ["a"]


def test_who_needs_less_does_not_wait_behind_who_needs_more() -> None:
    room = Room()
    room.enter("large", 500)
    room.enter("small", 50)
    room.wants(0.0)
    room.answer(0.0, 60)
    assert list(room.told) == ["small"]


def test_what_nobody_takes_any_more_is_free_for_the_next() -> None:
    room = Room()
    room.enter("gone", 50, takes=False)
    room.enter("here", 50)
    room.wants(0.0)
    room.answer(0.0, 50)
    assert list(room.told) == ["here"]


def test_while_others_hold_some_of_it_it_is_asked_again_in_a_moment() -> None:
    room = Room()
    room.enter("a", 50)
    room.wants(0.0)
    room.answer(0.0, left=10, amount=100, returning=60)
    assert room.told == {}
    assert room.wants(0.01) == []
    assert [want.need for want in room.wants(AGAIN_S * 1.5)] == [50]


def test_when_nothing_can_come_back_it_is_refused_at_once_and_so_is_who_comes_next() -> None:
    room = Room()
    room.enter("a", 50)
    room.wants(0.0)
    room.answer(0.0, left=10, amount=100)
    assert isinstance(room.told["a"], Short)
    again = [Claim(Line(MONEY, "nanodollars", "", BUDGET), 50)]
    assert room.waiting.refused(again, REMEMBERED_S - 0.01) is not None
    assert room.waiting.refused(again, REMEMBERED_S) is None
    smaller = [Claim(Line(MONEY, "nanodollars", "", BUDGET), 10)]
    assert room.waiting.refused(smaller, 0.1) is None


def test_what_this_process_may_give_back_itself_is_waited_for() -> None:
    room = Room()
    room.enter("a", 50)
    room.wants(0.0, returning=True)
    room.answer(0.0, left=10, amount=100)
    assert room.told == {}


def test_who_was_given_and_lost_it_to_somebody_quicker_asks_at_once() -> None:
    room = Room()
    room.enter("a", 50)
    room.wants(0.0)
    room.answer(0.0, 20)
    assert room.told == {}
    assert [want.need for want in room.wants(0.0)] == [30]
