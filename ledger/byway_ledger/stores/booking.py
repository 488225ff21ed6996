"""The transaction that books a batch: rows, and what they draw from grants and limits."""

from collections.abc import Sequence

import msgspec
from byway_contract.records import Batch, Fenced, Forked, Gap, Release

from byway_ledger import books
from byway_ledger import grants as deciding
from byway_ledger.books import Entries, Foreign, Known, Take
from byway_ledger.grants import Ended, Rules
from byway_ledger.stores import granting, schema
from byway_ledger.stores.granting import InForce
from byway_ledger.stores.rollups import DAY_S
from byway_ledger.stores.rows import intent_values, price_of, settle_values
from byway_ledger.stores.script import Quiet, Read, Row, Script, Write
from byway_ledger.stores.store import Done

_COLUMNS = (*schema.INTENT, *schema.SETTLE)
_INSERT = (
    f"INSERT INTO attempt ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"
    " ON CONFLICT (attempt) DO NOTHING"
)
_COMPLETE = (
    f"UPDATE attempt SET {', '.join(f'{name} = ?' for name in schema.SETTLE)} WHERE attempt = ? AND ended IS NULL"
)
_KNOWN = (
    "SELECT attempt, price, list_price, fee_ppm, ended, at, attempt_no, byok, namespace, service_account,"
    " access_key, user_id, account, model FROM attempt WHERE attempt AMONG"
)


def book(batch: Batch, now: float, sender: str, held: InForce) -> Script[Done | Gap | Fenced | Forked | Foreign]:
    yield Quiet(alone=False)
    take = books.judge((yield from granting.position(batch.source)), batch, sender)
    if not isinstance(take, Take):
        return take
    known = yield from _known(books.asked(take))
    if books.forked(take, known) and (fork := books.forked(take, known, (yield from _folded_before()))):
        return fork
    made = books.entries(take.records, known)
    yield Write(
        _INSERT, [intent_values(one.intent) + settle_values(one.settle, one.flag) for one in made.rows.values()]
    )
    yield Write(_COMPLETE, [(*settle_values(one.settle, one.flag), name) for name, one in made.completions.items()])
    rules = yield from granting.in_force(held)
    yield from _count(batch.source, take, made, known, rules, now)
    position = take.position
    yield Write(
        "UPDATE source SET epoch = ?, seq = ?, seen = ?, owner = ?, done = CASE WHEN epoch < ? THEN 0 ELSE done END"
        " WHERE id = ?",
        [(position.epoch, position.seq, now, position.owner, position.epoch, batch.source)],
    )
    recall = yield from granting.recall(batch.source, rules, now)
    repeated = len(take.skipped) + made.ignored
    return Done(position.seq, len(take.records) - made.ignored, repeated, made.flagged, take.hole, recall)


def _known(attempts: Sequence[str]) -> Script[dict[str, Known]]:
    rows = yield Read(_KNOWN, among=attempts)
    return {str(row[0]): _known_of(row) for row in rows}


def _known_of(row: Row) -> Known:
    _, price, list_price, fee_ppm, ended, at, number, byok, *who = row
    intent = None
    if ended is None:
        intent = msgspec.structs.replace(
            granting.described(who), at=float(at or 0.0), attempt_no=int(number or 0), byok=bool(byok)
        )
    return Known(price_of(price), ended is not None, intent, price_of(list_price), int(fee_ppm or 0))


def _folded_before() -> Script[float]:
    """What began before may be a sum by now, and not known by its name any more."""
    ((latest,),) = yield Read("SELECT MAX(at) FROM rollup")
    return 0.0 if latest is None else float(latest) + DAY_S


def _count(
    source: str, take: Take, made: Entries, known: dict[str, Known], rules: Rules, now: float
) -> Script[None]:
    ended = [Ended(one.intent, one.settle) for one in made.rows.values() if one.settle is not None]
    for name, one in made.completions.items():
        intent = known[name].intent
        assert intent is not None, "an attempt that is completed now had not ended"
        ended.append(Ended(intent, one.settle))
    released = [record for record in take.records if isinstance(record, Release)]
    drawn = {name for one in ended for name, _ in one.settle.legs} | {one.grant for one in released}
    if not (drawn or (rules.limits and ended)):
        return
    grants = yield from granting.grants_named(source, sorted(drawn))
    windows = deciding.touched(ended, grants, rules, now)
    counters = yield from granting.counters(
        {**dict.fromkeys((one.key for one in grants.values()), None), **windows}
    )
    yield from granting.posted(counters, grants, deciding.posted(ended, released, counters, grants, rules, now))
