"""What a transaction does, said once for every database: a generator that yields statements and is sent their rows.

    def moved(name: str) -> Script[int]:
        rows = yield Read("SELECT at FROM source WHERE id = ?", (name,), lock=True)
        ...
        yield Write("UPDATE source SET at = ? WHERE id = ?", [(at, name)])
        return at

A store runs a script in one transaction, and from its beginning again when another ledger was in its way. The SQL
is what SQLite and PostgreSQL both understand; a test stops a script between any two of its statements.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Value = str | int | float | None
Row = Sequence[Value]


@dataclass(frozen=True)
class Read:
    sql: str
    values: Sequence[Value] = ()
    among: Sequence[str] | None = None
    """Takes the place of the word AMONG, which stands last but for an order: `WHERE id AMONG`."""
    lock: bool = False
    """Nobody else changes these rows until the transaction ends."""


@dataclass(frozen=True)
class Write:
    sql: str
    rows: Sequence[Row]
    """It is obeyed for each of them."""


@dataclass(frozen=True)
class Quiet:
    """Wait until no other transaction counts attempts, and keep them waiting until this one ends; unless `alone`,
    only those that want to be alone. Comes first in a script."""

    alone: bool


Step = Read | Write | Quiet
Script = Generator[Step, Sequence[Row], T]
