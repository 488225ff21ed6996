"""What every store must do with usage. The stores are in `conftest`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from byway_contract.activity import Attempt
from byway_contract.money import Price, Tier, Usage
from byway_contract.records import Boot, Fenced, Forked, Gap
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Done, Question, Store, StoreError, StoreInUse
from fakes.usage import COST, USAGE, batch, intent, settle

DAY_S = 86400.0

Opening = Callable[[], Awaitable[Store]]
Telling = Callable[[Callable[[Store], Awaitable[None]]], None]


async def billed(store: Store) -> int:
    return sum(row.billed_nanodollars for row in (await store.sums(Question(("namespace",)))).rows)


def test_a_batch_is_booked_once_however_often_it_comes(tell: Telling) -> None:
    async def story(store: Store) -> None:
        one = batch(1, Boot(1, 0.0), intent(), settle())
        assert await store.book(one, 0.0) == Done(3, 3)
        assert await store.book(one, 0.0) == Done(3, 0, repeated=3)
        assert await billed(store) == COST

    tell(story)


def test_batches_that_overlap_are_booked_once(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a"), settle("a"), intent("b")), 0.0)
        assert await store.book(batch(2, settle("a"), intent("b"), settle("b")), 0.0) == Done(4, 1, repeated=2)
        assert await billed(store) == 2 * COST

    tell(story)


def test_a_gap_books_nothing(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent()), 0.0)
        assert await store.book(batch(3, settle()), 0.0) == Gap(2)
        assert await store.attempts("gen-a-1") == [Attempt(intent())]

    tell(story)


def test_a_batch_that_cannot_be_written_leaves_nothing_behind(tell: Telling) -> None:
    async def story(store: Store) -> None:
        with pytest.raises((OverflowError, StoreError)):
            await store.book(batch(1, intent("a"), settle("a"), intent("b"), settle("b", status=2**70)), 0.0)
        assert await billed(store) == 0
        assert await store.book(batch(1, intent("c"), settle("c")), 0.0) == Done(2, 2)
        assert await billed(store) == COST

    tell(story)


def test_sources_are_numbered_apart(tell: Telling) -> None:
    async def story(store: Store) -> None:
        assert await store.book(batch(1, intent("a"), settle("a"), source="one"), 0.0) == Done(2, 2)
        assert await store.book(batch(1, intent("b"), settle("b"), source="two"), 0.0) == Done(2, 2)
        assert await billed(store) == 2 * COST

    tell(story)


def test_an_older_opening_is_fenced_and_a_newer_one_goes_on(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a"), epoch=1), 0.0)
        assert await store.book(batch(2, settle("a"), epoch=2), 0.0) == Done(2, 1)
        assert await store.book(batch(3, intent("b"), epoch=1), 0.0) == Fenced(2)
        assert await store.attempts("gen-b") == []

    tell(story)


def test_other_records_under_booked_numbers_are_found_out(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a"), settle("a")), 0.0)
        assert await store.book(batch(1, intent("b"), settle("b"), intent("c")), 0.0) == Forked(1)
        assert await billed(store) == COST

    tell(story)


def test_books_outlive_their_process(opening: Opening) -> None:
    async def story() -> None:
        store = await opening()
        await store.book(batch(1, intent(), settle()), 0.0)
        await store.close()
        again = await opening()
        assert await again.book(batch(1, intent(), settle()), 0.0) == Done(2, 0, repeated=2)
        assert await billed(again) == COST
        await again.close()

    asyncio.run(story())


def test_who_spent_it_is_a_namespace_and_a_service_account(tell: Telling) -> None:
    async def story(store: Store) -> None:
        callers = [("team-a", "app"), ("team-a", "job"), ("team-b", "app"), ("team-a", "app")]
        for number, (namespace, name) in enumerate(callers):
            one = intent(str(number), namespace=namespace, service_account=name)
            await store.book(batch(2 * number + 1, one, settle(str(number))), 0.0)
        rows = (await store.sums(Question(("namespace", "service_account")))).rows
        assert [(*row.key.values(), row.attempts) for row in rows] == [
            ("team-a", "app", 2), ("team-a", "job", 1), ("team-b", "app", 1),
        ]  # fmt: skip

    tell(story)


def test_who_spent_it_is_an_access_key_and_its_proven_user(tell: Telling) -> None:
    async def story(store: Store) -> None:
        for number, (key, user) in enumerate([("ci", "ann"), ("ci", "ann"), ("cd", "ann"), ("", "")]):
            one = intent(str(number), access_key=key, user_id=user, user="whoever it says")
            await store.book(batch(2 * number + 1, one, settle(str(number))), 0.0)
        rows = (await store.sums(Question(("access_key", "user")))).rows
        assert [(*row.key.values(), row.attempts) for row in rows] == [
            ("ci", "ann", 2), ("", "", 1), ("cd", "ann", 1),
        ]  # fmt: skip

    tell(story)


def test_an_attempt_is_given_back_as_it_was_written(tell: Telling) -> None:
    full = intent(
        price=Price(1, 2, cache_read=3, tiers=(Tier(200_000, 4, 5),)),
        list_price=Price(5, 6, audio_input=7),
        streamed=True,
        attempt_no=2,
        api="messages",
        service_account="sa",
        access_key="k",
        byok=True,
        user="u",
        session="s",
        referer="r",
        title="t\u2028'; DROP TABLE attempt; --",
        user_agent="ua",
        user_id="ann@example.com",
    )
    ended = settle(
        outcome="upstream_cut",
        cost=5,
        billed=0,
        reckoned=7,
        usage=Usage(9, 8, 7, 1, 2, audio_prompt=3, audio_completion=4, image_prompt=5, image_completion=1),
        usage_from="estimated",
        reason="status",
        status=500,
        first_token_ms=12.5,
        duration_ms=99.0,
        native_finish="STOP",
        upstream_id="id",
    )

    async def story(store: Store) -> None:
        await store.book(batch(1, full, ended), 0.0)
        assert await store.attempts(full.request) == [Attempt(full, ended, "cost")]

    tell(story)


def test_a_requests_attempts_come_in_the_order_they_were_made(tell: Telling) -> None:
    async def story(store: Store) -> None:
        made = [intent(name, request="gen-1", attempt_no=number) for name, number in (("z", 1), ("y", 2), ("x", 3))]
        await store.book(batch(1, *reversed(made)), 0.0)
        assert [one.intent for one in await store.attempts("gen-1")] == made

    tell(story)


def test_sums_are_exact_and_by_whatever_is_asked(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(
            batch(
                1,
                intent("a", request="gen-1"),
                settle("a", billed=0, outcome="failed"),
                intent("b", request="gen-1", account="team-a/azure", attempt_no=2),
                settle("b"),
                intent("c", namespace="team-b", at=1_795_000_000.0 + DAY_S),
            ),
            0.0,
        )
        (first, second) = (await store.sums(Question(("namespace", "day")))).rows
        assert first.key == {"namespace": "team-a", "day": "2026-11-18"}
        assert (first.requests, first.attempts, first.open) == (1, 2, 0)
        assert (first.prompt_tokens, first.completion_tokens) == (2 * USAGE.prompt, 2 * USAGE.completion)
        assert (first.cost, first.billed, first.absorbed) == ("0.000456", "0.000228", "0.000228")
        assert (first.cost_nanodollars, first.billed_nanodollars) == (2 * COST, COST)
        assert second.key == {"namespace": "team-b", "day": "2026-11-19"}
        assert (second.requests, second.attempts, second.open, second.cost) == (1, 1, 1, "0")

    tell(story)


def test_sums_are_of_the_time_that_is_asked_about(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, *(intent(str(n), at=float(n)) for n in range(10))), 0.0)
        (row,) = (await store.sums(Question(("route",), since=3.0, until=7.0))).rows
        assert row.attempts == 4

    tell(story)


def test_more_rows_than_asked_for_are_said_to_be_there(tell: Telling) -> None:
    async def story(store: Store) -> None:
        await store.book(batch(1, *(intent(str(n)) for n in range(4))), 0.0)
        some = await store.sums(Question(("request",), limit=3))
        assert len(some.rows) == 3
        assert some.more
        assert not (await store.sums(Question(("request",), limit=4))).more

    tell(story)


def test_amounts_beyond_what_a_float_can_hold_are_summed_to_the_last_nanodollar(tell: Telling) -> None:
    much = 2**53 + 1

    async def story(store: Store) -> None:
        await store.book(batch(1, intent("a"), settle("a", cost=much, billed=much), intent("b"), settle("b")), 0.0)
        assert await billed(store) == much + COST

    tell(story)


def test_batches_at_the_same_time_are_booked_one_after_the_other(tell: Telling) -> None:
    async def story(store: Store) -> None:
        many = [batch(1, intent(f"a{n}"), settle(f"a{n}"), source=f"s{n}") for n in range(20)]
        await asyncio.gather(*(store.book(one, 0.0) for one in many * 3))
        assert await billed(store) == 20 * COST

    tell(story)


def test_a_file_of_books_has_one_ledger(tmp_path: Path) -> None:
    store = SQLite(tmp_path / "books.sqlite")
    with pytest.raises(StoreInUse, match="in use by another ledger"):
        SQLite(tmp_path / "books.sqlite")
    asyncio.run(store.close())


def test_a_text_that_a_database_cannot_hold_is_booked_without_what_it_cannot(tell: Telling) -> None:
    async def story(store: Store) -> None:
        odd = intent(user="a\0b", session="c")
        assert await store.book(batch(1, odd, settle()), 0.0) == Done(2, 2)
        (attempt,) = await store.attempts(odd.request)
        assert attempt.intent.user in ("a\0b", "a\ufffdb")

    tell(story)


def test_a_store_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="BYWAY_DATABASE"):
        SQLite(tmp_path / "file" / "books.sqlite")
    (tmp_path / "books.sqlite").write_text("this is no database " * 100)
    with pytest.raises(StoreError, match="not a database"):
        SQLite(tmp_path / "books.sqlite")
