"""Limits of a minute: who comes under them, when there is room, and by how much a fleet exceeds them at most."""

import random
from collections import defaultdict

from builders.rates import WALL, a_minute, attempt, enter, entered, obeying
from byway_contract.grants import Match, TopUp
from byway_contract.rates import overshoot, overshoot_with_valkey, share
from byway_contract.report import MOST_SUBJECTS
from byway_contract.table import Account
from byway_proxy.meter.minute_limits import of_account
from byway_proxy.meter.rates import HEARD_FOR_S, Over, Rates, Taken
from byway_proxy.meter.window import Window
from hypothesis import given
from hypothesis import strategies as st


def test_a_minute_has_room_for_as_many_as_its_limit_and_again_when_they_are_past() -> None:
    rates = obeying(a_minute(requests=3))
    assert [entered(rates, t) for t in (0.0, 10.0, 20.0, 30.0)] == [True, True, True, False]
    assert [entered(rates, t) for t in (59.9, 61.0, 61.0)] == [False, True, False]


def test_around_the_end_of_a_clocks_minute_nobody_gets_twice_as_much() -> None:
    rates = obeying(a_minute(requests=5))
    assert sum(entered(rates, 59.0) for _ in range(9)) == 5
    assert not any(entered(rates, 60.0 + t) for t in range(30))


def test_who_is_refused_is_told_when_there_is_room() -> None:
    rates = obeying(a_minute(requests=2))
    enter(rates, 0.0)
    enter(rates, 30.0)
    over = enter(rates, 40.0)
    assert over == Over("team-a/rate", "requests", 1, 2, 0, 21.0, everywhere=True)
    assert entered(rates, 40.0 + 21.0)


def test_tokens_are_set_aside_and_what_was_not_needed_comes_back() -> None:
    rates = obeying(a_minute(tokens=1000))
    taken = enter(rates, tokens=900)
    assert isinstance(taken, Taken)
    assert not entered(rates, tokens=200)
    taken.settle(100, 100, 1.0)
    taken.settle(0, 0, 1.0)
    assert entered(rates, 1.0, tokens=900)
    assert not entered(rates, 1.0, tokens=1)


def test_an_answer_longer_than_reckoned_counts_whole() -> None:
    rates = obeying(a_minute(tokens=1000))
    taken = enter(rates, tokens=10)
    assert isinstance(taken, Taken)
    taken.settle(995, 995, 30.0)
    assert not entered(rates, 31.0, tokens=10)
    assert entered(rates, 91.0, tokens=10)


def test_an_attempt_that_was_not_made_is_not_counted() -> None:
    rates, counted = obeying(a_minute(requests=1, tokens=10)), set[str]()
    taken = enter(rates, tokens=10, counted=counted)
    assert isinstance(taken, Taken)
    taken.cancel()
    assert entered(rates, tokens=10, counted=counted)


def test_nothing_is_taken_where_one_of_several_limits_is_over() -> None:
    rates = obeying(a_minute(requests=5), a_minute(tokens=100, name="small"))
    assert not any(entered(rates, tokens=200) for _ in range(9))
    assert sum(entered(rates, tokens=1) for _ in range(9)) == 5


def test_a_request_is_counted_once_however_many_attempts_it_takes() -> None:
    rates, counted = obeying(a_minute(requests=2, tokens=100)), set[str]()
    assert all(entered(rates, counted=counted, tokens=30) for _ in range(3))
    assert not entered(rates, counted=counted, tokens=30)
    assert entered(rates)


def test_a_request_that_fails_over_to_a_budgets_account_is_counted_then() -> None:
    rates = obeying(a_minute(requests=1, match=Match(accounts=("team-a/b",))))
    counted = set[str]()
    assert entered(rates, counted=counted)
    assert entered(rates, intent=attempt(account="team-a/b", attempt_no=2), counted=counted)
    assert not entered(rates, intent=attempt(account="team-a/b", attempt_no=2))


def test_a_limit_binds_whom_it_says_and_counts_each_alone() -> None:
    rates = obeying(a_minute(requests=1, per="AccessKey"))
    ci, cd = attempt(access_key="ci"), attempt(access_key="cd")
    assert [entered(rates, intent=i) for i in (ci, ci, cd, attempt("team-b"), attempt("team-b"))] == [
        True, False, True, True, True,
    ]  # fmt: skip


def test_a_limit_of_one_model_does_not_end_the_request() -> None:
    rates = obeying(a_minute(requests=0, match=Match(models=("acme/*",))))
    over = enter(rates)
    assert isinstance(over, Over)
    assert not over.everywhere
    assert entered(rates, intent=attempt(model="other/m"))


def test_a_top_up_raises_a_limit_until_its_end_for_whom_it_names() -> None:
    more = TopUp(2, until=WALL + 5, subject="team-a/ci")
    rates = obeying(a_minute(requests=1, per="AccessKey", top_ups=(more,)))
    ci, cd = attempt(access_key="ci"), attempt(access_key="cd")
    assert [entered(rates, intent=ci) for _ in range(4)] == [True, True, True, False]
    assert [entered(rates, intent=cd) for _ in range(2)] == [True, False]
    assert [entered(rates, 61.0, intent=ci, wall=WALL + 5) for _ in range(2)] == [True, False]


def test_who_only_observes_refuses_nobody_and_says_whom_it_would_have() -> None:
    rates = obeying(a_minute(requests=1, observe=True))
    assert all(entered(rates, float(t)) for t in range(3))
    told = rates.report(3.0, WALL)["team-a/rate"]
    assert (told.counted, told.used, told.refused) == (3, {"requests": {"": 3}}, {"": WALL - 1.0})
    assert rates.refused["budget"] == 0


def test_a_report_has_what_was_used_in_the_last_minute_by_the_largest() -> None:
    rates = obeying(a_minute(requests=9, tokens=90, per="AccessKey"))
    for number in range(MOST_SUBJECTS + 5):
        enter(rates, 0.0, tokens=1, intent=attempt(access_key=f"k{number}"))
    enter(rates, 50.0, tokens=5, intent=attempt(access_key="k7"))
    used = rates.report(50.0, WALL)["team-a/rate"].used
    assert {unit: (len(by), by["team-a/k7"]) for unit, by in used.items()} == {
        "requests": (MOST_SUBJECTS, 2), "tokens": (MOST_SUBJECTS, 6),
    }  # fmt: skip
    assert rates.report(62.0, WALL)["team-a/rate"].used == {
        "requests": {"team-a/k7": 1}, "tokens": {"team-a/k7": 5},
    }  # fmt: skip


def test_a_new_table_keeps_what_was_counted() -> None:
    rates = obeying(a_minute(requests=2))
    enter(rates)
    rates.obey({"team-a/rate": a_minute(requests=3)})
    assert [entered(rates) for _ in range(3)] == [True, True, False]


def test_of_too_many_counters_the_newest_are_remembered() -> None:
    rates = Rates(most_counters=2)
    rates.obey({"team-a/rate": a_minute(requests=1, per="AccessKey")})
    keys = [attempt(access_key=f"k{n}") for n in range(3)]
    assert all(entered(rates, intent=key) for key in keys)
    assert not entered(rates, intent=keys[2])
    assert not entered(rates, intent=keys[1])


def test_a_provider_keys_rate_counts_every_attempt_of_every_caller() -> None:
    account = Account("team-a", "a", "a", "A", "https://a.example", requests_per_minute=2, tokens_per_minute=100)
    key, rates = of_account("team-a/a", account), Rates()
    one = [rates.admit(attempt(n), key, 40, set(), 0.0, WALL) for n in ("team-a", "team-b")]
    assert all(isinstance(taken, Taken) for taken in one)
    assert rates.full(key, 0.0)
    assert rates.admit(attempt(), key, 1, set(), 1.0, WALL) == Over("", "requests", 1, 2, 0, 60.0, everywhere=False)
    assert not rates.full(key, 61.0)


def test_a_failed_attempt_costs_the_caller_no_tokens_but_the_provider_key() -> None:
    account = Account("team-a", "a", "a", "A", "https://a.example", tokens_per_minute=100)
    rates = obeying(a_minute(tokens=100))
    taken = rates.admit(attempt(), of_account("team-a/a", account), 100, set(), 0.0, WALL)
    assert isinstance(taken, Taken)
    taken.settle(0, 100, 0.0)
    assert entered(rates, tokens=100)
    assert rates.full(of_account("team-a/a", account), 0.0)


def test_a_request_larger_than_a_share_finds_room_when_nothing_else_was_in_the_minute() -> None:
    rates = obeying(a_minute(tokens=100), proxies=10)
    assert entered(rates, tokens=60)
    assert not entered(rates, tokens=1)
    over = enter(rates, 61.0, tokens=101)
    assert isinstance(over, Over)
    assert over.after_s is None


def test_who_hears_of_the_others_may_use_what_they_leave() -> None:
    rates = obeying(a_minute(requests=10), proxies=2)
    assert [entered(rates) for _ in range(6)] == [True] * 5 + [False]
    told = {counter: (used, mark) for counter, used, mark in rates.tell(0.0)}
    for counter, (used, mark) in told.items():
        rates.hear(counter, used, 1, mark, 0.0)
    assert [entered(rates) for _ in range(3)] == [True, True, False]


def test_who_hears_no_more_of_the_others_keeps_to_its_share() -> None:
    for now, room in ((HEARD_FOR_S - 0.1, 5), (HEARD_FOR_S, 4)):
        rates = obeying(a_minute(requests=10), proxies=2)
        enter(rates)
        for counter, used, mark in list(rates.tell(0.0)):
            rates.hear(counter, used, 0, mark, 0.0)
        assert sum(entered(rates, now) for _ in range(9)) == room


EXCHANGE = ("tell", "write", "read", "hear")
arrivals = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 40), st.sampled_from([0, 0, 0, 1, 3, 12, 130])), max_size=120
)
"""At which proxy, of how many tokens, after how many tenths of a second."""


class Fleet:
    """Proxies, and a Valkey that each of them tells and asks in steps that fall anywhere between the others'."""

    def __init__(self, limit: int, proxies: int, requests: bool) -> None:
        budget = a_minute(requests=limit) if requests else a_minute(tokens=limit)
        self.proxies = [obeying(budget, proxies=proxies) for _ in range(proxies)]
        self.requests = requests
        self.admitted: list[tuple[float, int]] = []
        self.valkey: dict[int, int] = defaultdict(int)
        self.largest = 1
        self._sent: dict[int, tuple[float, int, int]] = {}
        self._read: dict[int, int] = {}

    def step(self, who: int, what: str, tokens: int, now: float) -> None:
        rates = self.proxies[who]
        match what:
            case "enter":
                need = 1 if self.requests else tokens
                self.largest = max(self.largest, need)
                if entered(rates, now, tokens=tokens):
                    self.admitted.append((now, need))
            case "tell":
                told = list(rates.tell(now))
                self._sent[who] = (now, told[0][1], told[0][2]) if told else (now, 0, 0)
                self._read.pop(who, None)
            case "write" if who in self._sent:
                self.valkey[who] = self._sent[who][1]
                self._read[who] = -1
            case "read" if self._read.get(who) == -1:
                self._read[who] = sum(used for other, used in self.valkey.items() if other != who)
            case "hear" if self._read.get(who, -1) >= 0:
                sent_at, own, mark = self._sent.pop(who)
                limit_id = "team-a/rate/Minute/" + ("requests" if self.requests else "tokens")
                rates.hear((limit_id, ""), own, self._read.pop(who), mark, sent_at)

    def most_in_a_minute(self) -> int:
        return max(
            (sum(n for at, n in self.admitted if end - 60 < at <= end) for end, _ in self.admitted), default=0
        )


@given(st.integers(0, 60), st.integers(1, 4), st.booleans(), arrivals)
def test_by_shares_no_minute_holds_more_than_the_limit_and_the_stated_overshoot(
    limit: int, proxies: int, requests: bool, story: list[tuple[int, int, int]]
) -> None:
    fleet, now = Fleet(limit, proxies, requests), 1000.0
    for who, tokens, tenths in story:
        now += tenths / 10
        fleet.step(who % proxies, "enter", tokens, now)
    assert fleet.most_in_a_minute() <= limit + overshoot(limit, proxies, fleet.largest)


def test_through_valkey_no_minute_holds_more_than_the_limit_and_the_stated_overshoot() -> None:
    beyond_shares = 0
    for seed in range(400):
        dice = random.Random(seed)
        limit, proxies, requests = dice.choice((1, 7, 40)), dice.randint(1, 4), dice.random() < 0.5
        fleet, now = Fleet(limit, proxies, requests), 1000.0
        for _ in range(150):
            now += dice.choice((0.0, 0.0, 0.1, 0.3, 20.0 if dice.random() < 0.02 else 0.0))
            what = dice.choice(("enter", "enter", "tell", "write", "read", "hear", "exchange"))
            who, tokens = dice.randrange(proxies), dice.randint(1, 12)
            for one in EXCHANGE if what == "exchange" else [what] * (tokens if what == "enter" else 1):
                fleet.step(who, one, tokens, now)
        most = fleet.most_in_a_minute()
        assert most <= limit + overshoot_with_valkey(limit, proxies, fleet.largest), f"seed {seed}"
        beyond_shares += most > limit + overshoot(limit, proxies, fleet.largest)
    assert beyond_shares, "these stories come nowhere near the bound"


@given(st.integers(1, 10_000), st.integers(1, 100))
def test_shares_make_up_the_limit_and_less_than_one_more_for_each_proxy(limit: int, proxies: int) -> None:
    assert proxies * share(limit, proxies) == limit + overshoot(limit, proxies)
    assert overshoot(limit, proxies) < proxies


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 9)), max_size=60))
def test_a_window_never_has_less_than_the_last_minute_nor_more_than_a_second_beyond(
    added: list[tuple[int, int]],
) -> None:
    window, now, story = Window(), 0.0, list[tuple[float, int]]()
    for tenths, amount in added:
        now += tenths / 10
        window.add(amount, now)
        story.append((now, amount))
        least = sum(n for at, n in story if now - at < 60)
        most = sum(n for at, n in story if now - at < 61)
        assert least <= window.at(now) <= most
