"""The transactions about credits: entries that are only ever added, and never twice under one id.

What a namespace bought is the sum of its entries, taken wherever its counter is read (`granting`), so an entry
counts from the moment it is on the disk, and nothing has to be kept in step with it.
"""

from byway_contract.fees import CREDITS_LIMIT, MOST_ENTRIES, Bought, Credits, Entry, Purchase, Taken, fee_of
from byway_contract.money import MOST

from byway_ledger.stores import granting
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.script import Quiet, Read, Row, Script, Write

_ENTRY = "id, namespace, at, paid, fee, amount"


def buy(purchase: Purchase, now: float, held: InForce) -> Script[Bought | Taken]:
    """By the terms in force. Raises ValueError: the books hold no such amount."""
    yield Quiet(alone=False)
    found = yield from _with_id(purchase.id)
    if found is None:
        limit = (yield from granting.in_force(held)).limits.get(CREDITS_LIMIT)
        fee = 0 if limit is None else max(limit.fee_minimum, fee_of(purchase.amount, limit.fee_ppm))
        before = yield from granting.bought_by(purchase.namespace)
        if before + purchase.amount + fee > MOST:
            raise ValueError("amount: with what was bought before it is more than the books can count")
        new = Entry(purchase.id, purchase.namespace, now, purchase.amount + fee, fee, purchase.amount)
        yield Write(
            f"INSERT INTO credit ({_ENTRY}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            [(new.id, new.namespace, new.at, new.paid, new.fee, new.amount)],
        )
        # Another ledger may have been as quick, with another purchase of that id.
        found = yield from _with_id(purchase.id)
        if found == new:
            return Bought(new)
    assert found is not None, "an entry is never deleted"
    same = (found.namespace, found.amount) == (purchase.namespace, purchase.amount)
    return Bought(found, before=True) if same else Taken(found)


def credits(namespace: str | None) -> Script[Credits]:
    """None: everybody's."""
    where, values = ("", ()) if namespace is None else (" WHERE namespace = ?", (namespace,))
    ((total,),) = yield Read(f"SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM credit{where}", values)
    rows = yield Read(
        f"SELECT {_ENTRY} FROM credit{where} ORDER BY at DESC, id LIMIT ?", (*values, MOST_ENTRIES + 1)
    )
    return Credits(int(total or 0), [_entry_of(row) for row in rows[:MOST_ENTRIES]], len(rows) > MOST_ENTRIES)


def _with_id(name: str) -> Script[Entry | None]:
    rows = yield Read(f"SELECT {_ENTRY} FROM credit WHERE id = ?", (name,))
    return _entry_of(rows[0]) if rows else None


def _entry_of(row: Row) -> Entry:
    name, namespace, at, paid, fee, amount = row
    return Entry(str(name), str(namespace), float(at or 0.0), int(paid or 0), int(fee or 0), int(amount or 0))
