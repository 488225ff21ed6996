"""What every store must do with what is old, and with what is asked of a part of the books."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

from byway_contract.activity import By
from byway_contract.grants import Limit, Match
from byway_contract.records import Forked, Record
from byway_ledger.focus import Daily
from byway_ledger.stores.store import Done, Folded, Question, Store
from fakes.grants import MONTH, NOON, TEAM, ask, counter, given, limit, limits
from fakes.usage import COST, USAGE, batch, intent, settle

Telling = Callable[[Callable[[Store], Awaitable[None]]], None]
DAY_S = 86_400.0
OLD = NOON - 500 * DAY_S
EVERYTHING: tuple[By, ...] = ("day", "namespace", "route", "access_key", "user", "model", "account", "byok")


def some_attempts(count: int, seed: int = 1) -> list[Record]:
    """Of ten days, of many callers, failed and open ones among them."""
    dice, records = random.Random(seed), list[Record]()
    for number in range(count):
        fields: dict[str, Any] = {
            "at": OLD + dice.random() * 10 * DAY_S,
            "namespace": dice.choice(["team-a", "team-b"]),
            "access_key": dice.choice(["", "ci"]),
            "user_id": dice.choice(["", "ann"]),
            "byok": dice.random() < 0.5,
            "attempt_no": dice.choice([1, 1, 2]),
        }
        records.append(intent(f"a{number}", **fields))
        if dice.random() < 0.9:
            failed = dice.random() < 0.2
            cost = dice.randrange(10**12)
            how = {"outcome": "failed", "billed": 0} if failed else {"billed": cost}
            reckoned = 0 if failed else dice.randrange(2 * 10**12)
            records.append(settle(f"a{number}", cost=cost, reckoned=reckoned, **how))
    return records


async def fold_all(store: Store, before: float, most: int = 500) -> int:
    folded = 0
    while done := (await store.fold(before, None, most)).attempts:
        folded += done
    return folded


async def told(store: Store, *by: By, **how: Any) -> list[Any]:
    return sorted(
        (await store.sums(Question(by, limit=10_000, **how))).rows, key=lambda row: list(row.key.values())
    )


def test_folding_changes_no_sum(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, *some_attempts(300)), NOON)
        before = [await told(store, *by) for by in (EVERYTHING, ("namespace",), ("day", "access_key"))]
        alone = await told(store, "user", only=(("namespace", "team-b"), ("byok", "1")))
        files = await store.daily(0.0, NOON, None, 10_000)
        middle = (OLD + 5 * DAY_S) // DAY_S * DAY_S
        assert await fold_all(store, middle, most=40) > 100
        assert await fold_all(store, middle) == 0
        assert [await told(store, *by) for by in (EVERYTHING, ("namespace",), ("day", "access_key"))] == before
        await fold_all(store, NOON)
        assert [await told(store, *by) for by in (EVERYTHING, ("namespace",), ("day", "access_key"))] == before
        assert await told(store, "user", only=(("namespace", "team-b"), ("byok", "1"))) == alone
        assert await store.daily(0.0, NOON, None, 10_000) == files

    tell(story)


def test_an_attempt_that_has_not_ended_is_kept_and_ends_once(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a", at=OLD), intent("b", at=OLD), settle("b")), NOON)
        assert await fold_all(store, NOON) == 1
        assert len(await store.attempts("gen-a")) == 1
        assert await store.attempts("gen-b") == []
        await store.book(batch(4, settle("a")), NOON)
        (row,) = await told(store, "namespace")
        assert (row.attempts, row.open, row.billed_nanodollars) == (2, 0, 2 * COST)

    tell(story)


def test_records_of_folded_attempts_are_still_known_to_be_booked(tell: Telling) -> None:
    async def story(store: Store) -> None:
        old = (intent("a", at=OLD), settle("a"))
        await store.book(batch(1, *old), NOON)
        await fold_all(store, NOON)
        assert await store.book(batch(1, *old), NOON) == Done(2, 0, repeated=2)
        assert await store.book(batch(1, intent("z", at=NOON), settle("z")), NOON) == Forked(1)
        (row,) = await told(store, "namespace")
        assert (row.attempts, row.billed_nanodollars) == (1, COST)

    tell(story)


def lifetime(**fields: Any) -> Limit:
    return limit(10**15, period="Lifetime", **fields)


def test_a_limit_for_a_lifetime_is_opened_from_what_was_folded_too(tell: Telling) -> None:
    async def story(store: Store) -> None:
        records = some_attempts(200)
        await store.book(batch(1, *records), NOON)
        some = [
            lifetime(budget="p/money", match=Match(namespaces=("team-a",), access_keys=("team-a/ci",))),
            lifetime(budget="p/dearest", dearest=True),
            lifetime(budget="p/tokens", unit="tokens", per="User"),
            lifetime(budget="p/requests", unit="requests", match=Match(models=("openai/*",))),
        ]
        await store.rule(limits(*some), NOON)
        _, before, _ = await store.counters(100)
        assert sum(one.spent for one in before) > 0
        await fold_all(store, NOON - 495 * DAY_S)
        # Aimed elsewhere and back, so that each is opened anew.
        await store.rule(limits(generation=2), NOON)
        await store.rule(limits(*some, generation=3), NOON)
        assert (await store.counters(100))[1] == before

    tell(story)


def test_folding_leaves_a_months_limit_and_its_grants_alone(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(10 * COST)), NOON)
        one = await given(store, ask(1, need=3 * COST))
        await store.book(batch(1, intent("a", at=OLD), settle("a"), intent("b", at=NOON)), NOON)
        before = await counter(store)
        await fold_all(store, NOON - 400 * DAY_S)
        await store.book(batch(4, settle("b", legs=((one.grant, COST),))), NOON)
        now = await counter(store)
        assert (now.spent, now.reserved) == (before.spent + COST, before.reserved - COST)

    tell(story)


def test_sums_are_forgotten_when_it_is_time_but_never_under_a_limit_for_a_lifetime(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a", at=OLD), settle("a"), intent("b", at=NOON), settle("b")), NOON)
        await fold_all(store, NOON - DAY_S)
        await store.rule(limits(lifetime()), NOON)
        kept = await store.fold(NOON - DAY_S, NOON - 450 * DAY_S, 500)
        assert kept == Folded(kept_for="platform/team-a/Lifetime/nanodollars")
        await store.rule(limits(limit(), generation=2), NOON)
        assert await store.fold(NOON - DAY_S, NOON - 450 * DAY_S, 500) == Folded(rollups=1)
        (row,) = await told(store, "namespace")
        assert row.attempts == 1

    tell(story)


def test_two_that_fold_and_one_that_books_count_everything_once(tell: Telling) -> None:
    async def story(store: Store) -> None:
        records = some_attempts(200)
        for number in range(0, len(records), 50):
            await asyncio.gather(
                store.book(batch(number + 1, *records[number : number + 50]), NOON),
                *(store.fold(NOON, None, 30) for _ in range(3)),
            )
        await asyncio.gather(*(fold_all(store, NOON, 20) for _ in range(3)))
        rows = await told(store, "namespace")
        assert sum(row.attempts for row in rows) == 200
        booked = sum(row.cost_nanodollars for row in rows)
        assert booked == sum(getattr(record, "cost", 0) for record in records)

    tell(story)


def test_sums_are_of_those_alone_who_are_asked_about(tell: Telling) -> None:
    async def story(store: Store) -> None:
        for number, (namespace, key) in enumerate([("team-a", "ci"), ("team-a", ""), ("team-b", "ci")]):
            one = intent(str(number), namespace=namespace, access_key=key, byok=number == 0)
            await store.book(batch(2 * number + 1, one, settle(str(number))), NOON)
        (row,) = await told(store, "namespace", "access_key", only=(("namespace", "team-a"), ("access_key", "")))
        assert (row.key, row.attempts, row.answered) == ({"namespace": "team-a", "access_key": ""}, 1, 1)
        (row,) = await told(store, "request", only=(("byok", "1"),))
        assert row.key == {"request": "gen-0"}
        assert await told(store, "namespace", only=(("namespace", "' OR 1=1 --"),)) == []

    tell(story)


def test_a_request_is_told_to_its_own_namespace(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a", namespace="team-a"), settle("a")), NOON)
        assert len(await store.attempts("gen-a", "team-a")) == 1
        assert await store.attempts("gen-a", "team-b") == []
        assert len(await store.attempts("gen-a")) == 1

    tell(story)


def test_days_come_in_order_and_in_pieces(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, *some_attempts(120)), NOON)
        await fold_all(store, OLD + 4 * DAY_S)
        whole = await store.daily(0.0, NOON, None, 10_000)
        assert [(one.day, one.kind) for one in whole] == sorted((one.day, one.kind) for one in whole)
        pieces, after = list[Daily](), None
        while piece := await store.daily(0.0, NOON, after, 7):
            pieces += piece
            after = piece[-1]
        assert pieces == whole
        assert sum(one.attempts for one in whole) == 120
        assert sum(one.prompt for one in whole) % USAGE.prompt == 0
        assert await store.daily(0.0, OLD - DAY_S, None, 10) == []

    tell(story)


def test_where_limits_stand_is_told_of_those_that_are_asked_about(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(limit(1000), limit(7, budget="p/each", per="Namespace")), NOON)
        await given(store, ask(1, need=100))
        names = [(TEAM, ""), ("p/each/Month/nanodollars", "team-a"), ("p/none/Month/nanodollars", "")]
        rules, found = await store.counters_of(names, NOON)
        assert [(one.limit, one.subject, one.start, one.used) for one in found] == [
            (TEAM, "", MONTH, 100), ("p/each/Month/nanodollars", "team-a", MONTH, 0),
        ]  # fmt: skip
        assert set(rules.limits) == {TEAM, "p/each/Month/nanodollars"}
        # The next month has a window of its own, before anybody has spent anything in it.
        _, (later, _) = await store.counters_of(names, NOON + 31 * DAY_S)
        assert (later.used, later.start) == (0, MONTH + 30 * DAY_S)

    tell(story)
