"""What is free of what was given is held, and nothing twice: whatever happens in whatever order."""

import random
from collections import Counter
from typing import Any

import pytest
from byway_contract.budget import Budget
from byway_contract.budget import Line as BudgetLine
from byway_contract.grants import Denied, Granted, Grants, Renewed
from byway_contract.records import Intent, Release, Settle
from byway_proxy.meter.budgets import Line
from byway_proxy.meter.held import Claim, Hold, Share
from byway_proxy.meter.purse import IDLE_S, Purse
from fakes.usage import intent, settle
from hypothesis import given
from hypothesis import strategies as some

BUDGET = Budget("team-a", "b", (BudgetLine("Month", "nanodollars", 1000),))
MONEY, DAYS = "team-a/b/Month/nanodollars", "team-a/b/Day/nanodollars"


def claim(need: int, limit: str = MONEY) -> Claim:
    return Claim(Line(limit, "nanodollars", "", BUDGET), need)


def granted(name: str = "g-1", amount: int = 100, **fields: Any) -> Granted:
    usual: dict[str, Any] = {"limit": MONEY, "use_for_s": 30.0, "start": 0}
    return Granted(name, amount=amount, **{**usual, **fields})


def given_to(purse: Purse, *grants: Granted, now: float = 0.0, **fields: Any) -> None:
    purse.take(Grants(1, given=grants, **fields), now)


def held(purse: Purse, *claims: Claim, now: float = 1.0) -> Hold:
    hold = purse.hold(claims, now)
    assert hold is not None
    return hold


def spent(purse: Purse, hold: Hold, billed: int) -> dict[str, int]:
    return dict(purse.settle(hold, intent(), settle(billed=billed, cost=billed)))


def purse(*grants: Granted) -> Purse:
    made = Purse()
    given_to(made, *grants)
    return made


def test_what_is_held_is_no_longer_free_and_what_was_not_drawn_is_free_again() -> None:
    one = purse(granted())
    hold = held(one, claim(70))
    assert one.hold([claim(40)], 1.0) is None
    assert spent(one, hold, 25) == {"g-1": 25}
    assert one.free((MONEY, ""), 1.0) == 75


def test_a_hold_is_all_or_nothing() -> None:
    one = purse(granted(), granted("g-2", 10, limit=DAYS))
    assert one.hold([claim(50), claim(50, DAYS)], 1.0) is None
    assert one.free((MONEY, ""), 1.0) == 100


def test_a_hold_may_lie_in_several_grants() -> None:
    one = purse(granted("g-1", 30), granted("g-2", 30))
    hold = held(one, claim(50))
    assert hold.legs == (("g-1", 30), ("g-2", 20))
    assert spent(one, hold, 35) == {"g-1": 30, "g-2": 5}
    assert one.free((MONEY, ""), 1.0) == 25


def test_nothing_is_held_in_a_grant_whose_use_has_ended() -> None:
    one = purse(granted(use_for_s=5.0))
    assert one.hold([claim(1)], 4.9) is not None
    assert one.hold([claim(1)], 5.0) is None


def test_its_time_counts_from_when_it_was_asked_for() -> None:
    one = Purse()
    given_to(one, granted(use_for_s=5.0), now=10.0)
    assert one.hold([claim(1)], 14.9) is not None
    assert one.hold([claim(1)], 15.0) is None


def test_a_grant_that_is_renewed_goes_on_and_one_that_is_not_goes_back() -> None:
    one = purse(granted("g-1"), granted("g-2"))
    assert sorted(one.renewals(15.0)) == []
    held(one, claim(150), now=12.0)
    assert one.renewals(15.0) == ["g-1", "g-2"]
    given_to(one, now=15.0, renewed=(Renewed("g-1", 30.0), Renewed("g-2", 0.0)))
    assert one.due() == [Release("g-2", 50)]
    given_to(one, granted("g-3"), now=40.0)
    assert one.free((MONEY, ""), 44.0) == 100


def test_what_others_need_goes_back_but_for_what_is_held() -> None:
    one = purse(granted())
    hold = held(one, claim(60))
    one.recall(["g-1", "nobody-knows-this"])
    assert one.due() == [Release("g-1", 40)]
    assert one.hold([claim(1)], 1.0) is None
    assert spent(one, hold, 20) == {"g-1": 20}
    assert one.owes
    assert one.due() == [Release("g-1", 40)]
    assert one.empty


def test_what_lies_idle_goes_back() -> None:
    one = purse(granted())
    spent(one, held(one, claim(10), now=5.0), 10)
    assert one.releases(5.0 + IDLE_S - 0.1) == []
    assert one.releases(5.0 + IDLE_S) == [Release("g-1", 90)]
    assert one.empty


def test_an_overrun_is_drawn_from_what_is_free_and_never_from_anothers_hold() -> None:
    one = purse(granted("g-1", 100), granted("g-2", 10))
    mine, other = held(one, claim(30)), held(one, claim(60))
    assert spent(one, mine, 70) == {"g-1": 40, "g-2": 10}
    assert spent(one, other, 60) == {"g-1": 60}
    assert one.empty


def test_an_overrun_is_not_drawn_from_another_window() -> None:
    one = purse(granted("g-1", 30), granted("g-2", 100, start=86_400))
    assert spent(one, held(one, claim(30)), 50) == {"g-1": 30}
    assert one.free((MONEY, ""), 1.0) == 100


def test_what_costs_nothing_fits_without_a_grant_and_is_drawn_as_nothing_with_one() -> None:
    assert held(Purse(), claim(0)).legs == ()
    one = purse(granted())
    hold = held(one, claim(0))
    assert hold.legs == (("g-1", 0),)
    assert spent(one, hold, 0) == {"g-1": 0}


def test_what_was_not_sent_is_free_again() -> None:
    one = purse(granted())
    one.unhold(held(one, claim(100)))
    assert one.free((MONEY, ""), 1.0) == 100


def test_more_may_be_held_for_the_same_attempt() -> None:
    one = purse(granted("g-1", 30), granted("g-2", 30))
    hold = held(one, claim(20))
    more = hold.and_more(held(one, claim(20)))
    assert more.legs == (("g-1", 30), ("g-2", 10))
    assert spent(one, more, 40) == {"g-1": 30, "g-2": 10}


def test_what_is_held_beside_stays_as_it_is_while_an_attempt_grows() -> None:
    one = purse(granted("g-1", 60))
    hold, beside = held(one, claim(20)), held(one, claim(1))
    more = Hold((*hold.parts, *beside.parts)).and_more(held(one, claim(9)))
    assert [part.legs for part in more.parts] == [(("g-1", 29),), (("g-1", 1),)]


def test_a_refill_is_wanted_below_the_low_water_and_lasts_ten_seconds() -> None:
    one = purse(granted(low_water=50))
    spent(one, held(one, claim(30), now=1.0), 30)
    assert one.refills(1.0) == []
    spent(one, held(one, claim(30), now=1.5), 30)
    [want] = one.refills(2.0)
    assert (want.limit, want.need, want.want) == (MONEY, 30, 30 + 10 * 30)
    assert one.refills(2.0) == []


def test_how_full_a_limit_is_is_what_the_ledger_said_last() -> None:
    one = purse(granted(used=600, limited=1000))
    assert one.share((MONEY, "")) == Share(600, 1000)
    given_to(one, denied=(Denied(MONEY, "too_much", left=5, amount=1000),))
    assert one.share((MONEY, "")) == Share(995, 1000)
    assert one.share((DAYS, "")) is None


@given(some.integers(0, 10**9))
def test_every_nanodollar_of_a_grant_is_drawn_given_back_or_still_here(seed: int) -> None:
    dice = random.Random(seed)
    one, now = Purse(), 0.0
    amounts: dict[str, int] = {}
    gone: Counter[str] = Counter()
    open_holds: list[tuple[Hold, int]] = []
    for step in range(60):
        now += dice.random() * 8
        what = dice.randrange(7)
        if what == 0:
            name = f"g-{step}"
            amounts[name] = dice.randrange(1, 100)
            given_to(one, granted(name, amounts[name], start=dice.randrange(2)), now=now)
        elif what in (1, 2):
            need = dice.randrange(0, 60)
            hold = one.hold([claim(need)], now)
            if hold is not None:
                assert sum(amount for _, amount in hold.legs) == need
                open_holds.append((hold, need))
        elif what in (3, 4) and open_holds:
            hold, _ = open_holds.pop(dice.randrange(len(open_holds)))
            gone.update(spent(one, hold, dice.randrange(0, 80)))
        elif what == 5 and open_holds:
            one.unhold(open_holds.pop()[0])
        else:
            one.recall(dice.sample(sorted(amounts), min(1, len(amounts))))
            gone.update({back.grant: back.amount for back in one.releases(now)})
        assert all(gone[name] <= amount for name, amount in amounts.items())
    for hold, need in open_holds:
        legs = spent(one, hold, need)
        assert sum(legs.values()) == need
        gone.update(legs)
    gone.update({back.grant: back.amount for back in one.leave()})
    assert {name: gone[name] for name in amounts} == amounts
    assert one.empty


@pytest.mark.parametrize("outcome", ["failed", "ok"])
def test_a_failed_attempt_draws_no_tokens_and_the_first_draws_a_request(outcome: str) -> None:
    lines = [Line("t", "tokens", "", BUDGET), Line("r", "requests", "", BUDGET)]
    one = Purse()
    given_to(one, granted("g-t", 5000, limit="t"), granted("g-r", 2, limit="r"))
    hold = one.hold([Claim(lines[0], 2000), Claim(lines[1], 1)], 1.0)
    assert hold is not None
    end: Settle = settle(outcome=outcome)
    begun: Intent = intent()
    drawn = dict(one.settle(hold, begun, end))
    assert drawn == {"g-t": 0 if outcome == "failed" else 1280, "g-r": 1}
