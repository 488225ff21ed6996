"""The transactions about limits and grants. What they decide is in `grants`; here is what is read and written.

Rows are locked in one order everywhere, so that two ledgers never wait for each other: a source, then counters by
name. A grant is its source's, so whoever has the source has its grants.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
from byway_contract.fees import CREDITS_LIMIT
from byway_contract.grants import (
    Answered,
    Ask,
    Closed,
    Closing,
    Grants,
    Hello,
    Limit,
    Limited,
    Limits,
    Purpose,
    Renewed,
    Stale,
    Unaccounted,
    Unit,
    Want,
    Welcome,
)
from byway_contract.money import MOST
from byway_contract.periods import Window
from byway_contract.records import CLOSED_EPOCH, Fenced, Gap, Intent
from msgspec.structs import astuple, replace

from byway_ledger import grants as deciding
from byway_ledger.books import Foreign, Position
from byway_ledger.grants import Asker, Counter, Grant, Key, Posting, Rules
from byway_ledger.stores.script import Quiet, Read, Row, Script, Value, Write
from byway_ledger.stores.summing import both

# A proxy that has not asked for so long does not count where shares are made.
ACTIVE_S = 60.0
# Minutes are many; one that ended so long ago is of no interest to anybody.
KEEP_MINUTES_S = 3600
KEEP_GRANTS_S = 86_400.0

_COUNTER = (
    "limit_id, subject, start, ends, spent, extra, reserved, stranded, metered, unmetered, overrun, wanted_until,"
    " (SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM credit"
    f" WHERE counter.limit_id = '{CREDITS_LIMIT}' AND credit.namespace = counter.subject)"
)
_NEW_COUNTER = (
    "INSERT INTO counter (name, limit_id, subject, start, ends) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (name) DO NOTHING"
)
_MOVED = (
    "UPDATE counter SET spent = ?, extra = ?, reserved = ?, stranded = ?, metered = ?, unmetered = ?, overrun = ?,"
    " wanted_until = ? WHERE name = ?"
)
_GRANT = "id, source, epoch, limit_id, subject, start, amount, rest"
_NEW_GRANT = f"INSERT INTO allowance ({_GRANT}, counter, given) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_encode = msgspec.json.Encoder().encode
_limits = msgspec.json.Decoder(Limits).decode
_answer = msgspec.json.Decoder(Grants).decode

_SUMMED: dict[Unit, str] = {"nanodollars": "billed", "tokens": "tokens", "requests": "requests"}
_SUMMED_FOR: dict[Purpose, str] = {"credits": "charge", "allowance": "answered"}
_WHO = ("namespace", "service_account", "access_key", "user_id", "account", "model")


@dataclass
class InForce:
    """The limits as a ledger read them last. Another ledger may have been told newer ones: see `in_force`."""

    rules: Rules
    term: int = -1
    generation: int = -1


def in_force(held: InForce) -> Script[Rules]:
    """The limits, read anew only when their hash is another."""
    rows = yield Read("SELECT hash, term, generation FROM ruling")
    if rows:
        (found, term, generation) = rows[0]
        if (found, term, generation) != (held.rules.hash, held.term, held.generation):
            ((body,),) = yield Read("SELECT limits FROM ruling")
            # One statement after the other sees another ledger's commit in between; so it is believed as a whole.
            limits = _limits(str(body))
            held.rules, held.term, held.generation = deciding.rules(limits), limits.term, limits.generation
    return held.rules


def rule(limits: Limits, now: float, held: InForce) -> Script[Limited | Stale]:
    """Raises ValueError."""
    new = deciding.rules(limits)
    yield Quiet(alone=True)
    old = yield from in_force(held)
    if (limits.term, limits.generation) < (held.term, held.generation):
        return Stale(held.term, held.generation)
    if (limits.term, limits.generation, limits.hash) == (held.term, held.generation, old.hash):
        return Limited(limits.term, limits.generation, limits.hash)
    begun = deciding.opening(old, new)
    for limit in begun:
        yield from _open(limit, now)
    yield Write(
        "INSERT INTO ruling (one, term, generation, hash, limits) VALUES (1, ?, ?, ?, ?) ON CONFLICT (one)"
        " DO UPDATE SET term = excluded.term, generation = excluded.generation, hash = excluded.hash,"
        " limits = excluded.limits",
        [(limits.term, limits.generation, limits.hash, _encode(limits).decode())],
    )
    return Limited(limits.term, limits.generation, limits.hash, len(begun))


def _open(limit: Limit, now: float) -> Script[None]:
    """Its counters say what the books have of its window; what is in grants, and what is stranded, stays."""
    around = yield from _window(limit, now)
    amount_of = _summed(limit)
    whose = " AND byok = 1" if limit.purpose == "allowance" else ""
    within = both(_WHO, (amount_of,), f"at >= ? AND at < ?{whose}", of_attempts=" AND ended IS NOT NULL")
    whole = (float(around.start), float("inf") if around.end is None else float(around.end))
    rows = yield Read(
        f"SELECT {', '.join(_WHO)}, SUM({amount_of}) FROM ({within}) AS found GROUP BY {', '.join(_WHO)}", whole * 2
    )
    spent: dict[Key, int] = {}
    for *who, amount in rows:
        intent = described(who)
        if limit.match.fits(intent):
            key = (limit.id, limit.subject(intent), around.start)
            spent[key] = min(MOST, spent.get(key, 0) + int(amount or 0))
    yield Write("UPDATE counter SET spent = 0 WHERE limit_id = ? AND start = ?", [(limit.id, around.start)])
    before = yield from counters(dict.fromkeys(spent, around))
    yield from moved(before, {key: replace(before[key], spent=amount) for key, amount in spent.items()})


def _summed(limit: Limit) -> str:
    """As `Limit.counts`, a column of `summing.SUMS`."""
    if limit.purpose in _SUMMED_FOR:
        return _SUMMED_FOR[limit.purpose]
    return "dearest" if limit.dearest and limit.unit == "nanodollars" else _SUMMED[limit.unit]


def _window(limit: Limit, now: float) -> Script[Window]:
    rows = yield Read("SELECT start, ends FROM counter WHERE limit_id = ? ORDER BY start DESC LIMIT 1", (limit.id,))
    latest = [Window(int(start or 0), None if ends is None else int(ends)) for start, ends in rows]
    return deciding.current(limit, now, latest[0] if latest else None)


def ask(
    message: Ask, now: float, sender: str, held: InForce, mint: Callable[[], str]
) -> Script[Grants | Fenced | Foreign | Answered]:
    at = yield from position(message.source)
    if refused := _refused(at, message.epoch, sender):
        return refused
    if message.epoch == at.epoch:
        if message.ask <= at.done:
            return Answered(message.ask)
        rows = yield Read(
            "SELECT body FROM answer WHERE source = ? AND epoch = ? AND ask = ?",
            (message.source, message.epoch, message.ask),
        )
        if rows:
            return _answer(str(rows[0][0]))
    rules = yield from in_force(held)
    answer = yield from _answered(message, now, rules, mint)
    yield from _forget(message, rules, now)
    yield Write(
        "DELETE FROM answer WHERE source = ? AND (epoch < ? OR ask <= ?)",
        [(message.source, message.epoch, message.done)],
    )
    yield Write(
        "INSERT INTO answer (source, epoch, ask, body) VALUES (?, ?, ?, ?)",
        [(message.source, message.epoch, message.ask, _encode(answer).decode())],
    )
    done = max(message.done, at.done if message.epoch == at.epoch else 0)
    yield Write(
        "UPDATE source SET epoch = ?, owner = ?, asked = ?, done = ? WHERE id = ?",
        [(message.epoch, at.owner or sender, now, done, message.source)],
    )
    return answer


def _answered(message: Ask, now: float, rules: Rules, mint: Callable[[], str]) -> Script[Grants]:
    wants, windows = yield from _wanted(message.wants, rules, now)
    mine = yield from grants_of(message.source)
    known = yield from counters({**{one.key: None for one in mine}, **windows})
    holds: dict[Key, int] = {}
    for one in mine:
        holds[one.key] = holds.get(one.key, 0) + one.rest
    ((others,),) = yield Read(
        "SELECT COUNT(*) FROM source WHERE asked > ? AND epoch < ? AND id <> ?",
        (now - ACTIVE_S, CLOSED_EPOCH, message.source),
    )
    asker = Asker(message.source, message.epoch, int(others or 0) + 1, holds)
    made = deciding.decide(wants, known, rules, asker, now, mint)
    yield from moved(known, made.counters)
    yield Write(_NEW_GRANT, [(*astuple(one), name_of(one.key), now) for one in made.grants])
    return Grants(
        ask=message.ask,
        given=made.given,
        denied=made.denied,
        renewed=tuple(_renewed(message, mine, known, rules, now)),
        recall=deciding.recalled(((one, made.counters[one.key]) for one in mine), rules, now),
    )


def _forget(message: Ask, rules: Rules, now: float) -> Script[None]:
    """What nobody can draw from or ask about any more: grants that are used up, and minutes that are over."""
    yield Write(
        "DELETE FROM allowance WHERE source = ? AND rest = 0 AND given < ?", [(message.source, now - KEEP_GRANTS_S)]
    )
    asked = sorted({want.limit for want in message.wants})
    rates = [name for name in asked if name in rules.limits and rules.limits[name].period == "Minute"]
    if rates:
        yield Write(
            "DELETE FROM counter WHERE limit_id = ? AND reserved = 0 AND start < ?",
            [(name, int(now) - KEEP_MINUTES_S) for name in rates],
        )


def _wanted(
    wants: Sequence[Want], rules: Rules, now: float
) -> Script[tuple[list[tuple[Want, Key | None]], dict[Key, Window]]]:
    around: dict[str, Window] = {}
    keyed: list[tuple[Want, Key | None]] = []
    windows: dict[Key, Window] = {}
    for want in wants:
        limit = rules.limits.get(want.limit)
        if limit is None:
            keyed.append((want, None))
            continue
        if limit.id not in around:
            around[limit.id] = yield from _window(limit, now)
        key = (limit.id, want.subject, around[limit.id].start)
        keyed.append((want, key))
        windows[key] = around[limit.id]
    return keyed, windows


def _renewed(
    message: Ask, mine: Sequence[Grant], known: Mapping[Key, Counter], rules: Rules, now: float
) -> Iterable[Renewed]:
    mine_by_id = {one.id: one for one in mine}
    for name in message.renew:
        one = mine_by_id.get(name)
        if one is None:
            yield Renewed(name, 0.0)
        else:
            yield deciding.renewed(one, known[one.key], one.limit in rules.limits, now)


def hello(message: Hello, now: float, sender: str) -> Script[Welcome | Fenced | Foreign | Gap]:
    at = yield from position(message.source)
    if refused := _refused(at, message.epoch, sender):
        return refused
    if at.seq < message.seq:
        return Gap(at.seq + 1)
    old = [one for one in (yield from grants_of(message.source)) if one.epoch < message.epoch]
    if message.unsure:
        yield from _strand(message.source, old, now, "its machine lost power")
    else:
        known = yield from counters(dict.fromkeys((one.key for one in old), None))
        yield from posted(known, {one.id: one for one in old}, deciding.put_back(old, known))
    done = at.done if at.epoch == message.epoch else 0
    yield Write(
        "UPDATE source SET epoch = ?, owner = ?, asked = ?, done = ? WHERE id = ?",
        [(message.epoch, at.owner or sender, now, done, message.source)],
    )
    return Welcome(message.epoch, 0 if message.unsure else len(old), len(old) if message.unsure else 0)


def close_source(message: Closing, now: float) -> Script[Closed]:
    at = yield from position(message.source)
    if at.epoch < CLOSED_EPOCH:
        lost = yield from grants_of(message.source)
        yield from _strand(message.source, lost, now, message.why)
        yield Write("UPDATE source SET epoch = ? WHERE id = ?", [(CLOSED_EPOCH, message.source)])
    rows = yield Read(
        "SELECT source, limit_id, subject, start, amount, at, why FROM unaccounted WHERE source = ?"
        " ORDER BY limit_id, subject, start",
        (message.source,),
    )
    return Closed(tuple(map(_unaccounted, rows)))


def _strand(source: str, lost: Sequence[Grant], now: float, why: str) -> Script[None]:
    """Nobody can say any more what was spent of these. A row for each counter; a later loss adds to it."""
    known = yield from counters(dict.fromkeys((one.key for one in lost), None))
    yield from posted(known, {one.id: one for one in lost}, deciding.stranded(lost, known))
    sums: dict[Key, int] = {}
    for one in lost:
        sums[one.key] = sums.get(one.key, 0) + one.rest
    yield Write(
        "INSERT INTO unaccounted (source, limit_id, subject, start, amount, at, why) VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (source, limit_id, subject, start) DO UPDATE"
        " SET amount = unaccounted.amount + excluded.amount, at = excluded.at, why = excluded.why",
        [(source, *key, amount, now, why) for key, amount in sums.items()],
    )


def counters_now(limit: int, ends_after: float, held: InForce) -> Script[tuple[Rules, list[Counter], bool]]:
    rules = yield from in_force(held)
    rows = yield Read(
        f"SELECT {_COUNTER} FROM counter WHERE ends IS NULL OR ends > ?"
        " ORDER BY start DESC, limit_id, subject LIMIT ?",
        (int(ends_after), limit + 1),
    )
    return rules, [counter_of(row) for row in rows[:limit]], len(rows) > limit


def counters_named(
    names: Sequence[tuple[str, str]], now: float, held: InForce
) -> Script[tuple[Rules, list[Counter]]]:
    """In the window of now, also where nothing has been counted in it yet."""
    rules = yield from in_force(held)
    windows: dict[Key, Window] = {}
    for name, subject in names:
        if (limit := rules.limits.get(name)) is not None:
            around = yield from _window(limit, now)
            windows[(name, subject, around.start)] = around
    if not windows:
        return rules, []
    rows = yield Read(f"SELECT {_COUNTER} FROM counter WHERE name AMONG", among=[name_of(key) for key in windows])
    found = {one.key: one for one in map(counter_of, rows)}
    new = [key for key in windows if key not in found]
    bought: dict[Key, int] = {}
    for key in new:
        if key[0] == CREDITS_LIMIT:
            bought[key] = yield from bought_by(key[1])
    return rules, [
        found.get(key) or Counter(*key, around.end, bought=bought.get(key, 0)) for key, around in windows.items()
    ]


def bought_by(namespace: str) -> Script[int]:
    sql = "SELECT CAST(COALESCE(SUM(amount), 0) AS BIGINT) FROM credit WHERE namespace = ?"
    ((amount,),) = yield Read(sql, (namespace,))
    return int(amount or 0)


# --- what the transactions share, and the booking of usage with them


@dataclass(frozen=True)
class At(Position):
    """Where a source stands, for asks too."""

    done: int = 0


def position(source: str) -> Script[At]:
    """And nobody else moves it until the end of the transaction."""
    sql = "SELECT epoch, seq, owner, done FROM source WHERE id = ?"
    rows = yield Read(sql, (source,), lock=True)
    if not rows:
        yield Write(
            "INSERT INTO source (id, epoch, seq, seen) VALUES (?, 0, 0, 0) ON CONFLICT (id) DO NOTHING", [(source,)]
        )
        rows = yield Read(sql, (source,), lock=True)
    ((epoch, seq, owner, done),) = rows
    return At(int(epoch or 0), int(seq or 0), str(owner), int(done or 0))


def _refused(at: At, epoch: int, sender: str) -> Fenced | Foreign | None:
    if sender and at.owner not in ("", sender):
        return Foreign(at.owner)
    return Fenced(at.epoch) if epoch < at.epoch else None


def name_of(key: Key) -> str:
    limit, subject, start = key
    return f"{limit}\n{subject}\n{start}"


def counters(windows: Mapping[Key, Window | None]) -> Script[dict[Key, Counter]]:
    """These, made where they are new, and locked."""
    if not windows:
        return {}
    names = sorted(map(name_of, windows))
    sql = f"SELECT {_COUNTER} FROM counter WHERE name AMONG ORDER BY name"
    found = {one.key: one for one in map(counter_of, (yield Read(sql, among=names, lock=True)))}
    new = {key: around for key, around in windows.items() if key not in found}
    missing = sorted((name_of(key), *key, None if around is None else around.end) for key, around in new.items())
    if missing:
        yield Write(_NEW_COUNTER, missing)
        found = {one.key: one for one in map(counter_of, (yield Read(sql, among=names, lock=True)))}
    return found


def moved(before: Mapping[Key, Counter], after: Mapping[Key, Counter]) -> Script[None]:
    rows: list[Row] = [
        (
            one.spent, one.extra, one.reserved, one.stranded, one.metered, one.unmetered, one.overrun,
            one.wanted_until, name_of(key),
        )
        for key, one in after.items()
        if one != before[key]
    ]  # fmt: skip
    if rows:
        yield Write(_MOVED, rows)


def posted(known: Mapping[Key, Counter], held: Mapping[str, Grant], after: Posting) -> Script[None]:
    yield from moved(known, after.counters)
    rests: list[Row] = [(one.rest, one.id) for one in after.grants.values() if one != held[one.id]]
    if rests:
        yield Write("UPDATE allowance SET rest = ? WHERE id = ?", rests)


def grants_of(source: str) -> Script[list[Grant]]:
    """That still hold something."""
    rows = yield Read(f"SELECT {_GRANT} FROM allowance WHERE source = ? AND rest > 0", (source,))
    return [_grant_of(row) for row in rows]


def grants_named(source: str, names: Sequence[str]) -> Script[dict[str, Grant]]:
    if not names:
        return {}
    rows = yield Read(f"SELECT {_GRANT} FROM allowance WHERE source = ? AND id AMONG", (source,), among=names)
    return {one.id: one for one in map(_grant_of, rows)}


def recall(source: str, rules: Rules, now: float) -> Script[tuple[str, ...]]:
    mine = yield from grants_of(source)
    if not mine:
        return ()
    sql = f"SELECT {_COUNTER} FROM counter WHERE name AMONG"
    rows = yield Read(sql, among=sorted({name_of(one.key) for one in mine}))
    known = {one.key: one for one in map(counter_of, rows)}
    return deciding.recalled(((one, known[one.key]) for one in mine), rules, now)


def described(who: Sequence[Value]) -> Intent:
    """As much of an INTENT as decides which limits it fits."""
    namespace, service_account, access_key, user_id, account, model = map(str, who)
    return Intent(
        "-", "-", 0.0, namespace, "", "", account, "", model,
        service_account=service_account, access_key=access_key, user_id=user_id,
    )  # fmt: skip


def counter_of(row: Row) -> Counter:
    limit, subject, start, ends, *amounts, wanted_until, bought = row
    spent, extra, reserved, stranded, metered, unmetered, overrun = (int(amount or 0) for amount in amounts)
    return Counter(
        str(limit), str(subject), int(start or 0), None if ends is None else int(ends),
        spent, extra, reserved, stranded, metered, unmetered, overrun, float(wanted_until or 0.0),
        int(bought or 0),
    )  # fmt: skip


def _grant_of(row: Row) -> Grant:
    name, source, epoch, limit, subject, start, amount, rest = row
    return Grant(
        str(name), str(source), int(epoch or 0), str(limit), str(subject), int(start or 0), int(amount or 0),
        int(rest or 0),
    )  # fmt: skip


def _unaccounted(row: Row) -> Unaccounted:
    source, limit, subject, start, amount, at, why = row
    return Unaccounted(
        str(source), str(limit), str(subject), int(start or 0), int(amount or 0), float(at or 0.0), str(why)
    )
