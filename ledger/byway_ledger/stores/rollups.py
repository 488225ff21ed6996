"""Old attempts become sums of their days: one row for each kind of attempt a day had, and the attempts go.

    attempt (each try)  --has ended, and is older than it is kept-->  rollup (day × who × what)

Either table holds an attempt, never both: what is added to the one is deleted from the other in the same
transaction, some hundreds at a time, so that bookings go in between. Whoever sums adds the two up (`summing.both`),
so folding changes no sum. A rollup keeps all that decides which limits an attempt counts for, so a limit for a
lifetime can be opened from it. Shorter ones need not be: attempts are kept longer than any month, in any time zone.
"""

import hashlib
from collections.abc import Sequence

from byway_ledger.stores import granting
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.script import Quiet, Read, Row, Script, Write
from byway_ledger.stores.store import Folded
from byway_ledger.stores.summing import KIND, SUMS

DAY_S = 86_400

_FOUND = (
    f"SELECT attempt, at, {', '.join(KIND)}, {', '.join(SUMS.values())} FROM attempt"
    " WHERE at < ? AND ended IS NOT NULL ORDER BY at, attempt LIMIT ?"
)
_COLUMNS = ("name", "at", *KIND, *SUMS)
_ADD = (
    f"INSERT INTO rollup ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    f" ON CONFLICT (name) DO UPDATE SET {', '.join(f'{one} = rollup.{one} + excluded.{one}' for one in SUMS)}"
)


def fold(before: float, forget_before: float | None, most: int, held: InForce) -> Script[Folded]:
    # Not while a limit is opened from the books: that reads both tables.
    yield Quiet(alone=False)
    rows = yield Read(_FOUND, (before, most), lock=True)
    if rows:
        yield Write(_ADD, [row for _, row in sorted(added_up(rows).items())])
        yield Write("DELETE FROM attempt WHERE attempt = ?", [(row[0],) for row in rows])
        return Folded(attempts=len(rows))
    if forget_before is None:
        return Folded()
    return (yield from _forget(forget_before, most, held))


def added_up(rows: Sequence[Row]) -> dict[str, Row]:
    """Attempts as `_FOUND` reads them, as rows of `rollup` by their names."""
    kinds = len(KIND)
    found: dict[str, tuple[Row, list[int]]] = {}
    for _, at, *rest in rows:
        kind, amounts = rest[:kinds], [int(amount or 0) for amount in rest[kinds:]]
        day = float(at or 0.0) // DAY_S * DAY_S
        name = _name_of(day, kind)
        if name in found:
            amounts = [one + other for one, other in zip(found[name][1], amounts, strict=True)]
        found[name] = ((day, *kind), amounts)
    return {name: (name, *what, *amounts) for name, (what, amounts) in found.items()}


def _name_of(day: float, kind: Sequence[object]) -> str:
    """Short, whatever the names in it are: it is what the table is sorted by."""
    told = "\n".join(map(str, kind)).encode(errors="surrogatepass")
    return f"{day:.0f}/{hashlib.sha256(told).hexdigest()[:32]}"


def _forget(before: float, most: int, held: InForce) -> Script[Folded]:
    rows = yield Read("SELECT name FROM rollup WHERE at < ? ORDER BY name LIMIT ?", (before, most), lock=True)
    if not rows:
        return Folded()
    rules = yield from granting.in_force(held)
    for limit in rules.limits.values():
        if limit.period == "Lifetime":
            return Folded(kept_for=limit.id)
    yield Write("DELETE FROM rollup WHERE name = ?", [(row[0],) for row in rows])
    return Folded(rollups=len(rows))
