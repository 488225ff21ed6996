"""What the ledger asks of a store. SQLite is one; whatever passes the conformance suite is another."""

from dataclasses import dataclass
from typing import Protocol

from byway_contract.activity import Attempt, By, Sums
from byway_contract.records import Batch, Fenced, Forked, Gap

from byway_ledger.books import Foreign


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


@dataclass(frozen=True)
class Done:
    """A batch is on the disk, and with it everything up to `seq`."""

    seq: int
    records: int
    """That were new."""
    repeated: int = 0
    flagged: int = 0
    hole: int = 0


class Store(Protocol):
    async def book(self, batch: Batch, now: float, sender: str = "") -> Done | Gap | Fenced | Forked | Foreign:
        """The whole batch or nothing of it, durably. Raises StoreError, StoreFull.

        `sender`: see `books.judge`.
        """

    async def sums(self, question: Question) -> Sums:
        """Raises StoreError."""

    async def attempts(self, request: str) -> list[Attempt]:
        """Of one request, in the order they were made. Raises StoreError."""

    async def alive(self) -> None:
        """Raises StoreError if the books cannot be read."""

    async def close(self) -> None: ...
