"""What every store must do with limits and grants."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from byway_contract.grants import (
    Answered,
    Closed,
    Closing,
    Denied,
    Hello,
    Limited,
    Match,
    Renewed,
    Stale,
    TopUp,
    Unaccounted,
    Want,
    Welcome,
)
from byway_contract.money import Price
from byway_contract.records import CLOSED_EPOCH, Fenced, Gap, Release
from byway_ledger.books import Foreign
from byway_ledger.stores.store import Done, Store
from fakes.grants import MONTH, NOON, TEAM, ask, asked, counter, denied, given, limit, limits, names
from fakes.usage import COST, PRICE, batch, intent, settle

Telling = Callable[[Callable[[Store], Awaitable[None]]], None]
DAY_S = 86_400.0
NEXT_MONTH = MONTH + 30 * 86_400
ROW: dict[str, Any] = {"at": NOON}


def attempt(name: str, *legs: tuple[str, int], **fields: Any) -> tuple[Any, Any]:
    """An attempt of `COST`, drawn from these grants."""
    ended = {"legs": legs, **{key: fields.pop(key) for key in ("billed", "outcome") if key in fields}}
    return intent(name, **{**ROW, **fields}), settle(name, **ended)


def test_a_grant_is_counted_from_the_moment_it_is_given(tell: Telling) -> None:
    async def story(store: Store) -> None:
        assert await store.rule(limits(limit(1000)), NOON) == Limited(1, 1, "hash-1-1", 1)
        one = await given(store, ask(1, need=100, want=1000))
        assert (one.limit, one.amount, one.start, one.low_water) == (TEAM, 250, MONTH, 125)
        assert (await counter(store)).reserved == 250

    tell(story)


def test_near_the_end_each_request_is_given_what_it_needs_and_then_none(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        assert (await given(store, ask(1, need=900, want=5000))).amount == 900
        exact = await given(store, ask(2, need=60, want=5000))
        assert (exact.amount, exact.low_water) == (60, 0)
        why = await denied(store, ask(3, need=41))
        assert (why.reason, why.left, why.amount, why.resets_at) == ("too_much", 40, 1000, NEXT_MONTH)
        await given(store, ask(4, need=40))
        assert (await denied(store, ask(5, need=1))).reason == "spent"
        assert (await counter(store)).used == 1000

    tell(story)


def test_what_is_no_limit_gives_nothing(tell: Telling) -> None:
    async def story(store: Store) -> None:
        assert await denied(store, ask(1)) == Denied(TEAM, "unknown")

    tell(story)


def test_an_ask_is_obeyed_once_however_often_it_comes(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        first = await asked(store, ask(1, want=200))
        assert await asked(store, ask(1, want=200)) == first
        await asked(store, ask(2, done=1))
        assert await store.ask(ask(1, want=200), NOON, "", names()) == Answered(1)
        assert (await counter(store)).reserved == 300

    tell(story)


def test_what_an_attempt_draws_is_spent_and_what_is_released_is_back(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=3 * COST))
        drawn = batch(1, *attempt("a", (one.grant, COST)), Release(one.grant, COST // 2))
        for _ in range(2):
            assert (await store.book(drawn, NOON)).seq == 3  # type: ignore[union-attr] # a Done, or it fails
        now = await counter(store)
        assert (now.spent, now.extra, now.metered, now.unmetered) == (COST, 0, 1, 0)
        assert now.reserved == 3 * COST - COST - COST // 2

    tell(story)


def test_no_more_goes_back_than_a_grant_holds(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        one = await given(store, ask(1, need=100))
        await store.book(batch(1, Release(one.grant, 70), Release(one.grant, 70), Release("g-else", 9)), NOON)
        assert (await counter(store)).reserved == 0

    tell(story)


def test_nobody_draws_from_anothers_grant(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000, match=Match(models=("no/*",)))), NOON)
        one = await given(store, ask(1, need=100))
        await store.book(batch(1, Release(one.grant, 100), *attempt("a", (one.grant, 50)), source="s-2"), NOON)
        assert (await counter(store)).reserved == 100

    tell(story)


def test_an_attempt_beyond_its_hold_is_charged_whole(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=10))
        await store.book(batch(1, *attempt("a", (one.grant, COST))), NOON)
        now = await counter(store)
        assert (now.spent, now.reserved, now.overrun) == (COST, 0, COST - 10)

    tell(story)


def test_a_crash_is_charged_its_hold_until_more_is_known(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=2 * COST))
        crash = attempt("a", (one.grant, 2 * COST), billed=COST, outcome="crash")
        await store.book(batch(1, *crash), NOON)
        now = await counter(store)
        assert (now.spent, now.extra, now.reserved) == (COST, COST, 0)

    tell(story)


def test_a_failed_attempt_costs_its_caller_nothing(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000), limit(1000, unit="tokens")), NOON)
        money = await given(store, ask(1, need=500))
        tokens = await given(store, ask(2, need=500, limit="platform/team-a/Month/tokens"))
        legs = ((money.grant, 0), (tokens.grant, 0))
        await store.book(batch(1, *attempt("a", *legs, billed=0, outcome="failed")), NOON)
        now = await counter(store)
        assert (now.spent, now.reserved, now.metered, now.unmetered) == (0, 500, 1, 0)

    tell(story)


def test_a_log_opened_anew_gets_nothing_of_its_past_and_its_past_may_ask_no_more(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=5 * COST))
        assert await store.hello(Hello("s-1", 2, 2), NOON) == Gap(1)
        assert (await counter(store)).reserved == 5 * COST
        await store.book(batch(1, *attempt("a", (one.grant, COST)), epoch=2), NOON)
        for released in (1, 0):
            assert await store.hello(Hello("s-1", 2, 2), NOON) == Welcome(2, released)
        now = await counter(store)
        assert (now.spent, now.reserved) == (COST, 0)
        assert await store.ask(ask(2), NOON, "", names()) == Fenced(2)
        assert (await given(store, ask(1, epoch=2))).amount == 100
        assert await store.hello(Hello("s-1", 2, 2), NOON) == Welcome(2), "said again, late"
        assert (await counter(store)).reserved == 100

    tell(story)


def test_what_a_log_held_whose_machine_lost_power_is_charged_and_the_log_goes_on(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=3 * COST))
        await store.book(batch(1, *attempt("a", (one.grant, COST)), epoch=2), NOON)
        for stranded in (1, 0):
            assert await store.hello(Hello("s-1", 2, 2, unsure=True), NOON) == Welcome(2, stranded=stranded)
        now = await counter(store)
        assert (now.spent, now.reserved, now.stranded) == (COST, 0, 2 * COST)
        await given(store, ask(1, epoch=2, need=COST))
        assert await store.hello(Hello("s-1", 3, 2, unsure=True), NOON) == Welcome(3, stranded=1)
        assert (await counter(store)).stranded == 3 * COST
        lost = (await store.close_source(Closing("s-1", "node gone"), NOON)).unaccounted
        assert [(row.amount, row.limit) for row in lost] == [(3 * COST, TEAM)]

    tell(story)


def test_what_a_lost_log_held_is_charged_and_said(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        await given(store, ask(1, need=100))
        await given(store, ask(2, need=50))
        said = Closed((Unaccounted("s-1", TEAM, "", MONTH, 150, NOON, "node gone"),))
        for _ in range(2):
            assert await store.close_source(Closing("s-1", "node gone"), NOON) == said
        now = await counter(store)
        assert (now.reserved, now.stranded, now.used) == (0, 150, 150)
        assert await store.ask(ask(3), NOON, "", names()) == Fenced(CLOSED_EPOCH)
        assert await store.book(batch(1, intent()), NOON) == Fenced(CLOSED_EPOCH)
        assert await store.hello(Hello("s-1", 9, 0), NOON) == Fenced(CLOSED_EPOCH)
        assert await store.close_source(Closing("never-seen"), NOON) == Closed()

    tell(story)


def test_a_lower_limit_gives_no_more_and_recalls_what_is_out(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        one = await given(store, ask(1, need=600))
        assert (await store.rule(limits(limit(500), generation=2), NOON)).opened == 0  # type: ignore[union-attr]
        answer = await asked(store, ask(2, need=1))
        assert (answer.denied[0].reason, answer.recall) == ("spent", (one.grant,))
        assert await store.book(batch(1, Release(one.grant, 50)), NOON) == Done(1, 1, recall=(one.grant,))
        assert await store.book(batch(2, Release(one.grant, 450)), NOON + 60) == Done(2, 1)
        assert (await given(store, ask(3, need=400), NOON + 60)).amount == 400

    tell(story)


def test_whoever_is_denied_has_the_others_recalled(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        idle = await given(store, ask(1, need=900, source="idle"))
        why = await denied(store, ask(1, need=200, source="busy"))
        assert (why.left, why.returning) == (100, 900)
        told = await store.book(batch(1, Release(idle.grant, 800), source="idle"), NOON + 1)
        assert told == Done(1, 1, recall=(idle.grant,))
        assert (await given(store, ask(2, need=200, source="busy"), NOON + 1)).amount == 200

    tell(story)


def test_more_than_the_whole_limit_recalls_nobody(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        await given(store, ask(1, need=900, source="idle"))
        assert (await denied(store, ask(1, need=1001, source="busy"))).reason == "too_much"
        assert await store.book(batch(1, Release("g-else", 1), source="idle"), NOON) == Done(1, 1)

    tell(story)


def test_a_new_a_renamed_and_a_recreated_limit_begin_with_what_is_booked(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, *attempt("a"), *attempt("b", namespace="team-b"), *attempt("c", at=1.0)), NOON)
        mine = limit(10 * COST, match=Match(namespaces=("team-a",)))
        renamed = limit(10 * COST, budget="platform/other", match=mine.match)
        await store.rule(limits(mine), NOON)
        assert (await counter(store)).spent == COST
        one = await given(store, ask(1, need=COST))
        await store.rule(limits(renamed, generation=2), NOON)
        assert (await counter(store, renamed.id)).spent == COST
        # Under no limit of its own name now; its grant is settled all the same, and the new one counts it too.
        await store.book(batch(7, *attempt("d", (one.grant, COST))), NOON)
        assert (await counter(store, renamed.id)).spent == 2 * COST
        await store.book(batch(9, *attempt("e")), NOON)
        await store.rule(limits(mine, generation=3), NOON)
        now = await counter(store)
        assert (now.spent, now.reserved) == (3 * COST, 0)

    tell(story)


def test_a_limit_of_the_platforms_counts_the_dearer_of_two_prices_and_begins_with_it(tell: Telling) -> None:
    async def story(store: Store) -> None:
        own = Price(0, 0)
        dear, cheap = Price(2 * PRICE.input, 2 * PRICE.output), Price(PRICE.input // 2, PRICE.output // 2)
        mine = limit(10 * COST, dearest=True)
        for number, (listed, reckoned) in enumerate(((dear, 2 * COST), (cheap, COST // 2), (None, 0))):
            # Nothing that is billed, and something: what was booked before, and what comes after.
            priced = intent(f"a{number}", at=NOON, price=own, list_price=listed)
            ended = settle(f"a{number}", cost=0, billed=0, reckoned=reckoned)
            first = await store.book(batch(1 + 4 * number, priced, ended), NOON)
            billed = intent(f"b{number}", at=NOON, list_price=listed)
            second = await store.book(batch(3 + 4 * number, billed, settle(f"b{number}", reckoned=reckoned)), NOON)
            assert isinstance(first, Done)
            assert isinstance(second, Done)
            assert (first.flagged, second.flagged) == (0, 0)
        booked = 2 * COST + 2 * COST + COST // 2 + COST + COST
        await store.rule(limits(mine, limit(10 * COST, budget="team-a/own")), NOON)
        assert (await counter(store)).spent == booked
        assert (await counter(store, "team-a/own/Month/nanodollars")).spent == 3 * COST
        one = await given(store, ask(1, need=2 * COST))
        late = intent("c", at=NOON, price=own, list_price=dear)
        drawn = settle("c", cost=0, billed=0, reckoned=2 * COST, legs=((one.grant, 2 * COST),))
        await store.book(batch(13, late), NOON)
        done = await store.book(batch(14, drawn), NOON)
        assert isinstance(done, Done)
        assert done.flagged == 0
        assert (await counter(store)).spent == booked + 2 * COST
        assert (await counter(store, "team-a/own/Month/nanodollars")).spent == 3 * COST
        await store.rule(limits(generation=2), NOON)
        await store.rule(limits(mine, generation=3), NOON)
        assert (await counter(store)).spent == booked + 2 * COST

    tell(story)


def test_a_limit_that_is_made_again_still_counts_what_is_out_and_what_is_lost(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        await given(store, ask(1, need=300))
        await given(store, ask(1, need=200, source="s-2"))
        await store.close_source(Closing("s-2"), NOON)
        await store.rule(limits(generation=2), NOON)
        await store.rule(limits(limit(1000), generation=3), NOON)
        now = await counter(store)
        assert (now.reserved, now.stranded) == (300, 200)
        assert (await denied(store, ask(2, need=501))).left == 500

    tell(story)


def test_what_a_crash_held_of_a_limit_that_was_gone_is_still_charged_when_it_is_made_again(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=6 * COST))
        await store.rule(limits(generation=2), NOON)
        crash = attempt("a", (one.grant, 2 * COST), billed=0, outcome="crash")
        await store.book(batch(1, *crash, *attempt("b", (one.grant, COST))), NOON)
        await store.rule(limits(limit(10 * COST), generation=3), NOON)
        now = await counter(store)
        assert (now.spent, now.extra, now.reserved) == (COST, 2 * COST, 3 * COST)

    tell(story)


def test_an_attempt_under_way_when_a_limit_comes_is_counted_when_it_ends(tell: Telling) -> None:
    async def story(store: Store) -> None:
        begun, ended = attempt("a")
        await store.book(batch(1, begun), NOON)
        await store.rule(limits(limit(10 * COST, match=Match(accounts=("team-a/openai",)))), NOON)
        await store.book(batch(2, ended), NOON)
        now = await counter(store)
        assert (now.spent, now.unmetered, now.metered) == (COST, 1, 0)

    tell(story)


def test_who_is_not_meant_by_a_limit_is_not_counted(tell: Telling) -> None:
    async def story(store: Store) -> None:
        match = Match(namespaces=("team-a", "team-b"), access_keys=("team-a/ci",), models=("openai/*",))
        await store.rule(limits(limit(10 * COST, match=match)), NOON)
        await store.book(
            batch(
                1,
                *attempt("a", access_key="ci"),
                *attempt("b", access_key="ci", namespace="team-b"),
                *attempt("c", access_key="ci", model="anthropic/claude"),
                *attempt("d"),
            ),
            NOON,
        )
        assert (await counter(store)).spent == COST

    tell(story)


def test_each_of_those_a_limit_is_per_has_a_counter(tell: Telling) -> None:
    async def story(store: Store) -> None:
        each = limit(10 * COST, per="ServiceAccount", top_ups=(TopUp(COST, NOON + 60, "team-a/app"),))
        await store.book(batch(1, *attempt("a", service_account="app"), *attempt("b", service_account="job")), NOON)
        await store.rule(limits(each), NOON)
        await store.book(batch(5, *attempt("c", service_account="app")), NOON)
        assert (await counter(store, subject="team-a/app")).spent == 2 * COST
        assert (await counter(store, subject="team-a/job")).spent == COST
        assert (await denied(store, ask(1, need=9 * COST + 1, subject="team-a/app"))).left == 9 * COST
        assert (await given(store, ask(2, need=9 * COST, subject="team-a/job"))).amount == 9 * COST
        assert (await denied(store, ask(3, need=9 * COST, subject="team-a/app"), NOON + 60)).left == 8 * COST

    tell(story)


def test_tokens_and_requests_are_counted_as_such(tell: Telling) -> None:
    async def story(store: Store) -> None:
        both = (limit(10_000, unit="tokens"), limit(10, unit="requests"))
        await store.book(batch(1, *attempt("a"), *attempt("b", attempt_no=2)), NOON)
        await store.rule(limits(*both), NOON)
        await store.book(batch(5, *attempt("c"), *attempt("d", attempt_no=2)), NOON)
        assert (await counter(store, both[0].id)).spent == 4 * 1280
        assert (await counter(store, both[1].id)).spent == 2

    tell(story)


def test_a_month_ends_and_what_was_held_in_it_is_billed_to_it(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        eve = NEXT_MONTH - 5.0
        one = await given(store, ask(1, need=10 * COST), eve)
        assert one.use_for_s == 5.0
        new = await asked(store, ask(2, need=10 * COST, renew=(one.grant, "g-else")), NEXT_MONTH + 1.0)
        assert new.given[0].start == NEXT_MONTH
        assert new.renewed == (Renewed(one.grant, 0.0), Renewed("g-else", 0.0))
        assert new.recall == (one.grant,)
        await store.book(batch(1, *attempt("a", (one.grant, COST), at=eve)), NEXT_MONTH + 2.0)
        assert (await counter(store)).spent == COST
        assert (await counter(store, start=NEXT_MONTH)).spent == 0

    tell(story)


def test_a_clock_that_is_set_back_opens_no_closed_month(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000)), NOON)
        await given(store, ask(1, need=1), NOON)
        await given(store, ask(2, need=1000), NEXT_MONTH + 1.0)
        assert (await denied(store, ask(3, need=1), NEXT_MONTH - 600.0)).reason == "spent"

    tell(story)


def test_a_proxys_clock_that_is_ahead_opens_no_month(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        await store.book(batch(1, *attempt("a", at=NEXT_MONTH + 600.0), *attempt("b", at=1e300)), NEXT_MONTH - 1.0)
        assert (await counter(store)).spent == 2 * COST

    tell(story)


def test_older_limits_are_refused(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000), generation=7, term=2), NOON)
        assert await store.rule(limits(limit(2000), generation=8, term=1), NOON) == Stale(2, 7)
        assert await store.rule(limits(limit(1000), generation=7, term=2), NOON) == Limited(2, 7, "hash-2-7")
        assert (await denied(store, ask(1, need=1001))).amount == 1000

    tell(story)


def test_a_log_is_asked_for_by_its_own_pod_alone(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await asked(store, ask(1), sender="proxy-0")
        assert await store.ask(ask(2), NOON, "proxy-1", names()) == Foreign("proxy-0")
        assert await store.hello(Hello("s-1", 2, 0), NOON, "proxy-1") == Foreign("proxy-0")

    tell(story)


def test_many_proxies_at_once_are_given_no_more_than_there_is(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000), limit(700, period="Day")), NOON)
        wants = (Want(TEAM, 10, 50), Want("platform/team-a/Day/nanodollars", 10, 50))
        asks = [ask(n, source=f"s-{s}", wants=wants) for n in range(1, 11) for s in range(8)]
        answers = await asyncio.gather(*(asked(store, one) for one in asks))
        for of, most in ((TEAM, 1000), (wants[1].limit, 700)):
            amounts = sum(one.amount for answer in answers for one in answer.given if one.limit == of)
            assert 0 < amounts <= most
            assert sum(one.limit == of for answer in answers for one in answer.denied) > 0

    tell(story)


def test_minutes_that_are_over_and_grants_that_are_used_up_are_forgotten(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(100, period="Minute", unit="requests")), NOON)
        rate = "platform/team-a/Minute/requests"
        for minute in range(4):
            one = await given(store, ask(minute + 1, need=100, limit=rate), NOON + 60 * minute)
            assert one.start == NOON + 60 * minute
            await store.book(batch(minute + 1, Release(one.grant, 100)), NOON + 60 * minute)
        await given(store, ask(5, need=100, limit=rate), NOON + 2 * DAY_S)
        _, left, _ = await store.counters(100)
        assert [one.start for one in left] == [NOON + 2 * DAY_S]
        late = Release("g-else", 1), *attempt("late", (one.grant, 1))
        assert await store.book(batch(5, *late), NOON + 2 * DAY_S) == Done(7, 3)

    tell(story)


def test_counters_of_windows_that_are_over_can_be_left_out(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000, period="Day"), limit(1000, period="Lifetime")), NOON)
        for day in range(3):
            await given(
                store, ask(2 * day + 1, need=1, limit="platform/team-a/Day/nanodollars"), NOON + day * DAY_S
            )
        await given(store, ask(6, need=1, limit="platform/team-a/Lifetime/nanodollars"), NOON + 2 * DAY_S)
        assert len((await store.counters(100))[1]) == 4
        _, left, more = await store.counters(2, NOON + 2 * DAY_S)
        assert [(one.limit.split("/")[2], more) for one in left] == [("Day", False), ("Lifetime", False)]

    tell(story)


def test_amounts_beyond_all_measure_do_not_stop_the_books(tell: Telling) -> None:
    async def story(store: Store) -> None:
        most = 2**63 - 1
        await store.rule(limits(limit(1000)), NOON)
        one = await given(store, ask(1, need=10))
        two = [attempt(name, (one.grant, most), billed=most) for name in "ab"]
        await store.book(batch(1, *two[0], *two[1]), NOON)
        assert (await denied(store, ask(2, need=1))).reason == "spent"

    tell(story)
