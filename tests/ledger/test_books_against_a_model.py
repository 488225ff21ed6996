"""Random logs, sent in random pieces, more than once and out of order, against what the books should hold."""

import asyncio
import random
import tempfile
from pathlib import Path

from byway_contract.records import Boot, Gap, Intent, Record, Settle
from byway_ledger.stores.sqlite import SQLite
from byway_ledger.stores.store import Done, Question
from fakes.usage import COST, batch, intent, settle
from hypothesis import settings
from hypothesis import strategies as some
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

SOURCES = some.sampled_from(["s-1", "s-2"])


class BooksMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(prefix="byway-books-")
        self.runner = asyncio.Runner()
        self.store = SQLite(Path(self.folder.name) / "books.sqlite")
        self.logs: dict[str, list[Record]] = {"s-1": [], "s-2": []}
        self.booked = {"s-1": 0, "s-2": 0}
        self.epochs = {"s-1": 1, "s-2": 1}

    @rule(source=SOURCES, count=some.integers(1, 5))
    def begin_attempts(self, source: str, count: int) -> None:
        log = self.logs[source]
        log.extend([intent(f"{source}-{len(log) + n}") for n in range(count)])

    @rule(source=SOURCES, dice=some.randoms(use_true_random=False))
    def end_attempts(self, source: str, dice: random.Random) -> None:
        log = self.logs[source]
        ended = {record.attempt for record in log if isinstance(record, Settle)}
        for record in list(log):
            if isinstance(record, Intent) and record.attempt not in ended and dice.random() < 0.5:
                log.append(settle(record.attempt))

    @rule(source=SOURCES)
    def restart_the_proxy(self, source: str) -> None:
        self.epochs[source] += 1
        self.logs[source].append(Boot(self.epochs[source], 0.0))

    @rule(source=SOURCES, first=some.integers(1, 40), count=some.integers(1, 12))
    def send_a_piece(self, source: str, first: int, count: int) -> None:
        piece = self.logs[source][first - 1 : first - 1 + count]
        if not piece:
            return
        answer = self.runner.run(
            self.store.book(batch(first, *piece, source=source, epoch=self.epochs[source]), 0.0)
        )
        if first > self.booked[source] + 1:
            assert answer == Gap(self.booked[source] + 1)
        else:
            self.booked[source] = max(self.booked[source], first + len(piece) - 1)
            assert isinstance(answer, Done)
            assert answer.seq == self.booked[source]

    @rule(source=SOURCES)
    def send_what_is_next(self, source: str) -> None:
        self.send_a_piece(source, self.booked[source] + 1, 5)

    @rule()
    def restart_the_ledger(self) -> None:
        self.runner.run(self.store.close())
        self.store = SQLite(Path(self.folder.name) / "books.sqlite")

    @invariant()
    def the_books_hold_each_booked_record_once(self) -> None:
        taken = [record for source, log in self.logs.items() for record in log[: self.booked[source]]]
        attempts = sum(isinstance(record, Intent) for record in taken)
        ended = sum(isinstance(record, Settle) for record in taken)
        rows = self.runner.run(self.store.sums(Question(("namespace",)))).rows
        assert sum(row.attempts for row in rows) == attempts
        assert sum(row.open for row in rows) == attempts - ended
        assert sum(row.cost_nanodollars for row in rows) == ended * COST

    def teardown(self) -> None:
        self.runner.run(self.store.close())
        self.runner.close()
        self.folder.cleanup()


BooksMachine.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
TestTheBooks = BooksMachine.TestCase
