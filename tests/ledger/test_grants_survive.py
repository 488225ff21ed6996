"""Limits and grants when anything stops anywhere: between two statements, before an answer arrives, or for good."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from byway_contract.grants import Closing, Hello, Limits, Want
from byway_contract.records import Intent, Record, Release, Settle
from byway_ledger.grants import Rules
from byway_ledger.stores import booking, granting, rollups, sqlite
from byway_ledger.stores.connection import opened
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.script import Script, Step
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Question
from fakes.grants import MONTH, NOON, TEAM, ask, asked, counter, given, limit, limits, names
from fakes.usage import COST, batch, intent, settle
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

AMOUNT = 20 * COST
DAY = "platform/team-a/Day/nanodollars"
TODAY = MONTH + 24 * 86_400
BOTH = limits(limit(AMOUNT), limit(AMOUNT // 2, period="Day"))


class StoppedError(Exception):
    """The process, here."""


def stopping(script: Script[Any], after: int) -> Script[Any]:
    """The same, until so many statements are obeyed."""
    step: Step = next(script)
    while True:
        if after == 0:
            raise StoppedError
        after -= 1
        rows = yield step
        try:
            step = script.send(rows)
        except StopIteration as ended:
            if after == 0:
                raise StoppedError from ended
            return ended.value


def dump(using: sqlite3.Connection) -> list[str]:
    return list(using.iterdump())


def transactions() -> dict[str, Callable[[], Script[Any]]]:
    """Each as it is after those before it; `held` anew each time, as in another ledger."""
    mint = names()
    one = ask(1, wants=(Want(TEAM, COST, 3 * COST), Want(DAY, COST, COST)))
    drawn = batch(
        1, intent("a", at=NOON), settle("a", legs=(("g-1", COST),)), Release("g-2", 5), intent("b", at=NOON)
    )

    def held() -> InForce:
        return InForce(Rules())

    return {
        "limits": lambda: granting.rule(BOTH, NOON, held()),
        "an ask": lambda: granting.ask(one, NOON, "", held(), mint),
        "a batch": lambda: booking.book(drawn, NOON, "", held()),
        "an end": lambda: booking.book(batch(5, settle("b")), NOON, "", held()),
        "other limits": lambda: granting.rule(limits(limit(COST), generation=2), NOON, held()),
        "a hello": lambda: granting.hello(Hello("s-1", 2, 5), NOON, ""),
        "a grant": lambda: granting.ask(ask(1, need=10, epoch=2), NOON, "", held(), mint),
        "a lost log": lambda: granting.close_source(Closing("s-1"), NOON),
        "an old day": lambda: rollups.fold(NOON + 1, None, 500, held()),
    }


@pytest.mark.parametrize("which", list(transactions()))
def test_a_crash_between_any_two_statements_changes_nothing_and_a_repetition_all(
    which: str, tmp_path: Path
) -> None:
    using = opened(tmp_path / "books.sqlite", writing=True)
    for name, script in transactions().items():
        before, stops = dump(using), 0
        while True:
            using.execute("BEGIN IMMEDIATE")
            try:
                first = sqlite.obeyed(using, stopping(script(), stops) if name == which else script())
            except StoppedError:
                using.execute("ROLLBACK")
                assert dump(using) == before
                stops += 1
                continue
            using.execute("COMMIT")
            break
        if name != which:
            continue
        assert stops > 1
        after = dump(using)
        using.execute("BEGIN IMMEDIATE")
        again = sqlite.obeyed(using, script())
        using.execute("COMMIT")
        assert _without_counts(again) == _without_counts(first)
        assert dump(using) == after
        break
    using.close()


def _without_counts(answer: Any) -> Any:
    """What an answer says besides how much of it was new."""
    kind = type(answer).__name__
    counted: dict[str, Callable[[], object]] = {
        "Limited": lambda: answer.hash, "Done": lambda: answer.seq, "Welcome": lambda: answer.epoch,
        "Folded": lambda: None,
    }  # fmt: skip
    return counted.get(kind, lambda: answer)()


class GrantsMachine(RuleBasedStateMachine):
    """Proxies that ask, spend, give back, die and are lost; answers that get lost; limits that change.

    What the providers were really paid is kept beside the books.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="byway-grants-")
        self.runner = asyncio.Runner()
        self.store = SQLite(Path(self.folder.name) / "books.sqlite")
        self.amount, self.highest, self.generation = 0, 0, 0
        self.logs: dict[str, list[Record]] = {}
        self.booked: dict[str, int] = {}
        self.epochs: dict[str, int] = {}
        self.asks: dict[str, int] = {}
        self.grants: dict[str, dict[str, int]] = {}
        self.paid = 0
        self.attempts = 0

    @initialize()
    def begin(self) -> None:
        for number in range(3):
            self._new_proxy(f"s-{number}")
        self.change_the_limit(AMOUNT)

    def _new_proxy(self, name: str) -> None:
        self.logs[name], self.booked[name], self.epochs[name], self.asks[name] = [], 0, 1, 0
        self.grants[name] = {}

    def _pick(self, number: int) -> str:
        return sorted(self.logs)[number % len(self.logs)]

    @rule(amount=some.integers(0, 2 * AMOUNT))
    def change_the_limit(self, amount: int) -> None:
        self.generation += 1
        self.amount, self.highest = amount, max(self.highest, amount)
        self._rule(limits(limit(amount), generation=self.generation))

    @rule()
    def delete_the_limit(self) -> None:
        self.generation += 1
        self._rule(limits(generation=self.generation))
        self.change_the_limit(self.amount)

    def _rule(self, new: Limits) -> None:
        self.runner.run(self.store.rule(new, NOON))

    @rule(
        who=some.integers(0, 9),
        need=some.integers(1, 3 * COST),
        want=some.integers(0, AMOUNT),
        lost=some.booleans(),
    )
    def ask_for_more(self, who: int, need: int, want: int, lost: bool) -> None:
        name = self._pick(who)
        self.asks[name] += 1
        message = ask(self.asks[name], need, want, name, epoch=self.epochs[name], done=self.asks[name] - 1)
        answer = self.runner.run(asked(self.store, message))
        if lost:
            assert self.runner.run(asked(self.store, message)) == answer
        for one in answer.given:
            self.grants[name][one.grant] = one.amount
        for one in answer.denied:
            assert need > one.left

    @rule(who=some.integers(0, 9), share=some.floats(0.0, 1.0), settled=some.booleans())
    def spend(self, who: int, share: float, settled: bool) -> None:
        name = self._pick(who)
        for grant, free in self.grants[name].items():
            cost = min(COST, int(free * share))
            self.attempts += 1
            attempt = f"{name}-{self.attempts}"
            begun = intent(attempt, at=NOON, price=None, legs=((grant, cost),))
            self.logs[name].append(begun)
            self.paid += cost
            self.grants[name][grant] -= cost
            if settled:
                self._settle(name, attempt, cost, grant)
            return

    def _settle(self, name: str, attempt: str, cost: int, grant: str) -> None:
        self.logs[name].append(settle(attempt, cost=cost, billed=cost, legs=((grant, cost),)))

    @rule(who=some.integers(0, 9))
    def give_back(self, who: int) -> None:
        name = self._pick(who)
        for grant, free in self.grants[name].items():
            self.logs[name].append(Release(grant, free))
        self.grants[name].clear()

    @rule(who=some.integers(0, 9), count=some.integers(1, 9), back=some.integers(0, 3))
    def ship(self, who: int, count: int, back: int) -> None:
        name = self._pick(who)
        first = max(1, self.booked[name] + 1 - back)
        piece = self.logs[name][first - 1 : self.booked[name] + count]
        if piece:
            sent = batch(first, *piece, source=name, epoch=self.epochs[name])
            self.runner.run(self.store.book(sent, NOON))
            self.booked[name] = max(self.booked[name], first + len(piece) - 1)

    @rule(who=some.integers(0, 9))
    def kill_and_start_a_proxy(self, who: int) -> None:
        name = self._pick(who)
        ended = {record.attempt for record in self.logs[name] if isinstance(record, Settle)}
        for record in list(self.logs[name]):
            if isinstance(record, Intent) and record.attempt not in ended:
                ((grant, cost),) = record.legs
                self._settle(name, record.attempt, cost, grant)
        self.grants[name].clear()
        self.epochs[name] += 1
        self.asks[name] = 0
        self.ship(sorted(self.logs).index(name), len(self.logs[name]) + 1, 0)
        self.runner.run(self.store.hello(Hello(name, self.epochs[name], len(self.logs[name])), NOON))

    @rule(who=some.integers(0, 9))
    def lose_a_proxy(self, who: int) -> None:
        name = self._pick(who)
        self.runner.run(self.store.close_source(Closing(name), NOON))
        for held in (self.logs, self.booked, self.epochs, self.asks, self.grants):
            del held[name]  # type: ignore[attr-defined] # mypy's join of dicts is `object`
        self._new_proxy(f"s-{self.generation}-{name}")

    @rule()
    def restart_the_ledger(self) -> None:
        self.runner.run(self.store.close())
        self.store = SQLite(Path(self.folder.name) / "books.sqlite")

    @invariant()
    def no_more_is_out_than_there_is(self) -> None:
        if not self.generation:
            return
        now = self.runner.run(counter(self.store))
        assert now.used <= self.highest
        assert min(now.spent, now.extra, now.reserved, now.stranded) >= 0
        assert self.paid <= now.used, "somebody was paid what nobody counts"
        rows = self.runner.run(self.store.sums(Question(("namespace",)))).rows
        assert now.spent + now.extra == sum(row.billed_nanodollars for row in rows)
        held = sum(sum(grants.values()) for grants in self.grants.values())
        assert held <= now.reserved + now.stranded

    def teardown(self) -> None:
        if self.generation:
            for name in range(len(self.logs)):
                self.give_back(name)
                self.kill_and_start_a_proxy(name)
            now = self.runner.run(counter(self.store))
            assert now.reserved == 0, "stranded at the end"
            assert now.spent + now.stranded >= self.paid
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


GrantsMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
TestTheGrants = GrantsMachine.TestCase


def test_a_grant_is_not_given_again_after_the_ledger_was_restarted(tmp_path: Path) -> None:
    async def story() -> None:
        store = SQLite(tmp_path / "books.sqlite")
        await store.rule(limits(limit(1000)), NOON)
        one = await given(store, ask(1, need=600))
        await store.close()
        store = SQLite(tmp_path / "books.sqlite")
        assert await given(store, ask(1, need=600)) == one
        assert (await counter(store)).reserved == 600
        await store.close()

    asyncio.run(story())
