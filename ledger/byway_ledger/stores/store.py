"""What the ledger asks of a store. SQLite is one; whatever passes the conformance suite is another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from byway_contract.activity import Attempt, By, Sums
from byway_contract.fees import Bought, Credits, Purchase, Taken
from byway_contract.grants import Answered, Ask, Closed, Closing, Grants, Hello, Limited, Limits, Stale, Welcome
from byway_contract.records import Batch, Fenced, Forked, Gap

from byway_ledger.books import Foreign
from byway_ledger.focus import Daily
from byway_ledger.grants import Counter, Rules


class StoreError(Exception):
    """The books cannot be read or written just now. Nothing of the batch is booked; it may be sent again."""


class StoreFull(StoreError):
    """There is no room."""


class StoreInUse(StoreError):
    """Another ledger has these books."""


@dataclass(frozen=True)
class Question:
    """Sums of the attempts that began from `since` until before `until` (seconds since 1970)."""

    by: tuple[By, ...]
    since: float = 0.0
    until: float = float("inf")
    limit: int = 1000
    only: tuple[tuple[By, str], ...] = ()
    """Of attempts with these values alone."""


@dataclass(frozen=True)
class Folded:
    """Attempts that became sums of their days."""

    attempts: int = 0
    rollups: int = 0
    """That were deleted, being older than they are kept."""
    kept_for: str = ""
    """A limit for which older ones are kept all the same."""


@dataclass(frozen=True)
class Done:
    """A batch is on the disk, and with it everything up to `seq`."""

    seq: int
    records: int
    """That were new."""
    repeated: int = 0
    flagged: int = 0
    hole: int = 0
    recall: tuple[str, ...] = ()
    """Grants of the source that others need."""


class Store(Protocol):
    async def book(self, batch: Batch, now: float, sender: str = "") -> Done | Gap | Fenced | Forked | Foreign:
        """The whole batch or nothing of it, durably. Raises StoreError, StoreFull.

        `sender`: see `books.judge`.
        """

    async def rule(self, limits: Limits, now: float) -> Limited | Stale:
        """Put these limits in force. Raises ValueError: they are none; StoreError, StoreFull."""

    async def ask(
        self, message: Ask, now: float, sender: str, mint: Callable[[], str]
    ) -> Grants | Fenced | Foreign | Answered:
        """Obey an ask, or answer it as before. `mint` names a grant. Raises StoreError, StoreFull."""

    async def hello(self, message: Hello, now: float, sender: str = "") -> Welcome | Fenced | Foreign | Gap:
        """Fence older openings of a log, and release what their grants hold. Raises StoreError, StoreFull."""

    async def close_source(self, message: Closing, now: float) -> Closed:
        """Charge what a lost log held. Raises StoreError, StoreFull."""

    async def counters(self, limit: int, ends_after: float = 0.0) -> tuple[Rules, list[Counter], bool]:
        """The limits in force, their newest counters of windows that end later (or never), and whether there are
        more. Raises StoreError."""

    async def counters_of(self, names: Sequence[tuple[str, str]], now: float) -> tuple[Rules, list[Counter]]:
        """Where these (limit, subject) stand in the window of now, of limits in force. Raises StoreError."""

    async def buy(self, purchase: Purchase, now: float) -> Bought | Taken:
        """Raises ValueError: more than can be counted; StoreError, StoreFull."""

    async def credits(self, namespace: str | None) -> Credits:
        """Of that namespace, or of all. Raises StoreError."""

    async def sums(self, question: Question) -> Sums:
        """Raises StoreError."""

    async def daily(self, since: float, until: float, after: Daily | None, limit: int) -> list[Daily]:
        """Sums by all that is kept of a day, in their own order: the next `limit` ones. Raises StoreError."""

    async def span(self) -> tuple[float, float] | None:
        """When the first and the last attempt began; None of empty books. Raises StoreError."""

    async def attempts(self, request: str, namespace: str | None = None) -> list[Attempt]:
        """Of one request, in the order they were made; of that namespace alone, if one is named.

        Raises StoreError."""

    async def fold(self, before: float, forget_before: float | None, most: int) -> Folded:
        """Make sums of attempts that began before a day and have ended, at most so many; and forget sums of days
        before another, unless a limit for a lifetime may be opened from them. Raises StoreError, StoreFull."""

    async def alive(self) -> None:
        """Raises StoreError if the books cannot be read."""

    async def close(self) -> None: ...
