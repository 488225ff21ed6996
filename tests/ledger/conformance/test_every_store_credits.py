"""What every store must do with credits and fees."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from byway_contract.fees import ALLOWANCE, CREDITS, CREDITS_LIMIT, HOME, Bought, Purchase, Taken
from byway_contract.grants import Want
from byway_contract.money import MOST
from byway_ledger.grants import Counter
from byway_ledger.stores import schema
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Done, Store
from fakes.grants import MONTH, NOON, ask, counter, denied, given, limit, limits
from fakes.usage import COST, batch, intent, settle

Telling = Callable[[Callable[[Store], Awaitable[None]]], None]
DOLLAR = 1_000_000_000
FEE = (COST * 50_000 + 500_000) // 1_000_000
OWN: dict[str, Any] = {"at": NOON, "byok": True}


def prepaid(**fields: Any) -> Any:
    return limit(
        0, budget=f"{HOME}/{CREDITS}", period="Lifetime", per="Namespace", purpose="credits", fee_ppm=55_000,
        fee_minimum=800_000_000, **fields,
    )  # fmt: skip


def allowance(requests: int) -> Any:
    return limit(
        requests, budget=f"{HOME}/{ALLOWANCE}", unit="requests", per="Namespace", purpose="allowance"
    )  # fmt: skip


async def bought(store: Store, usd: int, name: str = "i-1", namespace: str = "team-a") -> Bought | Taken:
    return await store.buy(Purchase(name, namespace, usd * DOLLAR), NOON)


async def credit(store: Store, namespace: str = "team-a") -> Counter:
    return await counter(store, CREDITS_LIMIT, namespace, 0)


def test_a_purchase_is_booked_once_with_its_fee(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(prepaid()), NOON)
        first = await bought(store, 10)
        assert isinstance(first, Bought)
        assert (first.entry.amount, first.entry.fee, first.before) == (10 * DOLLAR, 800_000_000, False)
        assert first.entry.paid == first.entry.amount + first.entry.fee
        assert await bought(store, 10) == Bought(first.entry, before=True)
        assert await bought(store, 11) == await bought(store, 10, namespace="team-b") == Taken(first.entry)
        second = await bought(store, 100, "i-2", "team-b")
        assert isinstance(second, Bought)
        assert second.entry.fee == 5_500_000_000
        assert (await store.credits(None)).total == 110 * DOLLAR
        assert (await store.credits("team-a")).entries == [first.entry]
        with pytest.raises(ValueError, match="more than the books"):
            await store.buy(Purchase("i-3", "team-a", MOST), NOON)

    tell(story)


def test_without_terms_credits_cost_what_they_are(tell: Telling) -> None:
    async def story(store: Store) -> None:
        done = await bought(store, 10)
        assert isinstance(done, Bought)
        assert (done.entry.fee, done.entry.paid) == (0, 10 * DOLLAR)

    tell(story)


def test_only_what_a_namespace_bought_is_given_to_it(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(prepaid()), NOON)
        of: dict[str, Any] = {"limit": CREDITS_LIMIT, "subject": "team-a"}
        assert (await denied(store, ask(1, **of))).reason == "spent"
        await bought(store, 1)
        await bought(store, 5, "i-2", "team-b")
        _, (named,) = await store.counters_of([(CREDITS_LIMIT, "team-c")], NOON)
        assert named.bought == 0
        why = await denied(store, ask(2, need=DOLLAR + 1, **of))
        assert (why.reason, why.left, why.amount) == ("too_much", DOLLAR, DOLLAR)
        one = await given(store, ask(3, need=DOLLAR, **of))
        assert (one.amount, one.limited) == (DOLLAR, DOLLAR)
        assert (await denied(store, ask(4, need=1, **of))).reason == "spent"

    tell(story)


def test_credits_pay_fees_and_what_the_platforms_keys_cost(tell: Telling) -> None:
    rows = (
        intent("a-1", at=NOON), settle("a-1"),
        intent("a-2", **OWN, fee_ppm=50_000), settle("a-2", fee=FEE),
        intent("a-3", **OWN), settle("a-3"),
        intent("a-4", **OWN, fee_ppm=50_000), settle("a-4", outcome="failed", billed=0),
    )  # fmt: skip

    async def story(store: Store) -> None:
        await store.rule(limits(prepaid(), allowance(9)), NOON)
        assert await store.book(batch(1, *rows), NOON) == Done(8, 8)
        assert (await credit(store)).spent == COST + FEE
        free = await counter(store, f"{HOME}/{ALLOWANCE}/Month/requests", "team-a", MONTH)
        assert free.spent == 2
        (kept,) = await store.attempts("gen-a-2")
        assert kept.settle is not None
        assert (kept.intent.fee_ppm, kept.settle.fee) == (50_000, FEE)
        # Made anew, they begin with what the books have; also where attempts are sums by now.
        for generation in (2, 4):
            await store.rule(limits(generation=generation), NOON)
            await store.rule(limits(prepaid(), allowance(9), generation=generation + 1), NOON)
            assert (await credit(store)).spent == COST + FEE
            assert (await counter(store, free.limit, "team-a", MONTH)).spent == 2
            while (await store.fold(NOON + 1, None, 500)).attempts:
                pass

    tell(story)


def test_a_fee_that_is_none_of_its_rate_is_flagged(tell: Telling) -> None:
    async def story(store: Store) -> None:
        rows = [
            intent("a-1", **OWN, fee_ppm=50_000), settle("a-1", fee=FEE + 1),
            intent("a-2", **OWN), settle("a-2", fee=FEE),
            intent("a-3", **OWN, fee_ppm=50_000),
        ]  # fmt: skip
        assert await store.book(batch(1, *rows), NOON) == Done(5, 5, flagged=2)
        assert await store.book(batch(6, settle("a-3")), NOON) == Done(6, 1, flagged=1)

    tell(story)


def test_an_allowance_gives_runs_until_it_is_used_up(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.rule(limits(allowance(1)), NOON)
        want = Want(f"{HOME}/{ALLOWANCE}/Month/requests", 1, 1, "team-a")
        one = await given(store, ask(1, wants=(want,)))
        drawn = settle("a-1", legs=((one.grant, 1),))
        rows = (intent("a-1", **OWN, legs=((one.grant, 1),)), drawn)
        await store.book(batch(1, *rows), NOON)
        assert (await counter(store, want.limit, "team-a", MONTH)).metered == 1
        assert (await denied(store, ask(2, wants=(want,)))).reason == "spent"

    tell(story)


def test_sums_of_older_books_are_charged_as_they_were(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "books.sqlite", isolation_level=None)
    for step in schema.STEPS[:6]:
        old.executescript(step)
    for name, byok in (("x", 0), ("y", 1)):
        old.execute(
            "INSERT INTO rollup VALUES (?, ?, 'team-a', '', '', '', '', 'm', 'p', 'a', 'e', ?, 1, 1, 1, 5, 5, 0, 0,"
            " 0, 70, 70, 10, 70)",
            (name, NOON - 86_400.0, byok),
        )
    old.execute("PRAGMA user_version = 6")
    old.close()

    async def story() -> None:
        store = SQLite(tmp_path / "books.sqlite")
        await store.rule(limits(prepaid()), NOON)
        assert (await credit(store)).spent == 70
        await store.close()

    asyncio.run(story())
