"""What really happened, kept beside the product and in plain words: what providers were sent and charged, what was
written into logs, what the ledger gave. In the end its books are compared with this.

Nothing of the product is called to find out what should be: weights, windows and sums are worked out here again.
"""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from byway_contract.grants import Ask, Grants, Limit
from byway_contract.records import Intent, Record, Release, Settle

GrantKey = tuple[str, str, int]
"""(limit, subject, start)."""


@dataclass(frozen=True)
class Run:
    """What a provider does with an attempt."""

    prompt: int
    completion: int
    answers: bool
    told: str
    """What the proxy learns of its usage: `all`; nothing, as the client `left`; or `nothing` at all."""
    seconds: float


@dataclass
class Sent:
    """An attempt that a provider saw."""

    intent: Intent
    source: str
    run: Run
    at: float
    claims: dict[str, int]
    """What it should hold of each limit that its proxy knew of."""

    def weighs(self, limit: Limit) -> int:
        if limit.unit == "requests":
            return int(self.intent.attempt_no == 1)
        if not self.run.answers:
            return 0
        tokens = self.run.prompt + self.run.completion
        return tokens if limit.unit == "tokens" else tokens * price_of(self.intent)


@dataclass
class Given:
    key: GrantKey
    source: str
    amount: int
    until: float = 0.0
    """Nothing may be held in it later, by the ledger's own word."""
    held: int = 0
    drawn: int = 0
    released: int = 0


@dataclass
class Standing:
    """Of a limit, over the world's life."""

    limit: Limit
    highest: int
    names: set[str] = field(default_factory=set)
    """Its id, and those it had before."""
    inherited: int = 0
    out: int = 0
    """What its last name was charged that is in no row, when it was given this one: see `World._ruling`."""

    @property
    def over(self) -> int:
        return self.inherited + self.out

    def follows(self, before: "Standing") -> None:
        self.highest = max(self.highest, before.highest)
        self.inherited += before.over
        self.names |= before.names


@dataclass
class Truth:
    now: Callable[[], float]
    overruns: bool = False
    """Some attempts cost more than they could be expected to."""
    sent: dict[str, Sent] = field(default_factory=dict)
    begun: dict[str, tuple[str, int, Intent]] = field(default_factory=dict)
    """INTENTs in logs: attempt → (source, seq, intent)."""
    ended: dict[str, Settle] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    written: dict[str, list[tuple[int, Record]]] = field(default_factory=lambda: defaultdict(list))
    """By source, as far as it may be taken back."""
    lost: set[str] = field(default_factory=set)
    """Sources whose disk is gone."""
    forgotten: set[str] = field(default_factory=set)
    """Attempts whose INTENT a power failure took: sent since the last sync, and in no book."""
    powerless: set[str] = field(default_factory=set)
    """Sources under which power failed."""
    standings: dict[str, Standing] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    fingerprint: int = 0

    def wrong(self, what: str) -> None:
        self.violations.append(what)

    # On the way.

    def sends(self, sent: Sent) -> None:
        name = sent.intent.attempt
        if name in self.sent:
            self.wrong(f"{name} is sent twice")
        if name not in self.begun:
            self.wrong(f"{name} is sent before its INTENT is in the log")
        for limit, claim in sent.claims.items():
            held = sum(amount for grant, amount in sent.intent.legs if self._limit_of(grant) == limit)
            if held < claim:
                self.wrong(f"{name} is sent with {held} of {claim} held in {limit}")
        self.sent[name] = sent

    def _limit_of(self, grant: str) -> str:
        return self.given[grant].key[0] if grant in self.given else ""

    def gave(self, ask: Ask, grants: Grants) -> None:
        """The ledger did, just now; the answer may never arrive."""
        for one in grants.given:
            key = (one.limit, one.subject, one.start)
            fresh = Given(key, ask.source, one.amount, self.now() + one.use_for_s)
            known = self.given.setdefault(one.grant, fresh)
            if (known.key, known.source, known.amount) != (key, ask.source, one.amount):
                self.wrong(f"grant {one.grant} is given twice: {known}, {one}")
        for again in grants.renewed:
            if again.grant in self.given:
                known = self.given[again.grant]
                known.until = max(known.until, self.now() + again.use_for_s)

    def writes(self, source: str, seq: int, record: Record) -> None:
        self.written[source].append((seq, record))
        match record:
            case Intent():
                if record.attempt in self.begun:
                    self.wrong(f"{record.attempt} begins twice")
                self.begun[record.attempt] = (source, seq, record)
                for grant, _ in record.legs:
                    if grant in self.given and self.now() >= self.given[grant].until:
                        self.wrong(f"{record.attempt} holds in grant {grant}, whose use has ended")
                self._move(record.legs, "held", 1)
            case Settle():
                self._settles(record)
            case Release():
                self._move(((record.grant, record.amount),), "released", 1)

    def _settles(self, record: Settle) -> None:
        if record.attempt in self.ended:
            self.wrong(f"{record.attempt} is settled twice")
        self.ended[record.attempt] = record
        if record.attempt in self.begun:
            self._move(self.begun[record.attempt][2].legs, "held", -1)
        self._move(record.legs, "drawn", 1)

    def forgets(self, source: str, after: int) -> None:
        """A power failure takes back what was written after that seq."""
        kept = self.written[source]
        while kept and kept[-1][0] > after:
            _, record = kept.pop()
            match record:
                case Intent():
                    del self.begun[record.attempt]
                    self.forgotten.add(record.attempt)
                    self._move(record.legs, "held", -1)
                case Settle():
                    del self.ended[record.attempt]
                    self._move(record.legs, "drawn", -1)
                    if record.attempt in self.begun:
                        self._move(self.begun[record.attempt][2].legs, "held", 1)
                case Release():
                    self._move(((record.grant, record.amount),), "released", -1)

    def _move(self, legs: Iterable[tuple[str, int]], what: str, sign: int) -> None:
        for name, amount in legs:
            given = self.given.get(name)
            if given is None:
                self.wrong(f"grant {name} is used and was never given")
                continue
            setattr(given, what, getattr(given, what) + sign * amount)
            if given.held + given.drawn + given.released > given.amount:
                self.wrong(f"grant {name} is overdrawn: {given}")
                given.amount = given.held + given.drawn + given.released

    # In the end.

    def compare(self, database: Path, in_force: Iterable[Limit]) -> None:
        books = sqlite3.connect(database)
        books.row_factory = sqlite3.Row
        try:
            rows = {row["attempt"]: row for row in books.execute("SELECT * FROM attempt")}
            self._compare_rows(rows)
            self._compare_order()
            counters: dict[GrantKey, sqlite3.Row] = {
                (row["limit_id"], row["subject"], row["start"]): row
                for row in books.execute("SELECT * FROM counter")
            }
            self._compare_unaccounted(books, counters)
            for limit in in_force:
                self._compare_limit(limit, rows, counters)
                self._compare_lineage(self.standings[limit.id])
            for key, given in self._by_key().items():
                self._compare_window(key, given)
        finally:
            books.close()

    def _compare_rows(self, rows: dict[str, sqlite3.Row]) -> None:
        for name, sent in self.sent.items():
            row = rows.get(name)
            if row is None:
                if sent.source not in self.lost and name not in self.forgotten:
                    self.wrong(f"{name} was sent and has no row")
            elif row["ended"] is None:
                if sent.source not in self.lost:
                    self.wrong(f"{name} never ends in the books")
            elif row["outcome"] != "crash":
                tokens = sent.run.prompt + sent.run.completion
                cost = tokens * price_of(sent.intent)
                due = (cost, cost if sent.run.answers else 0)
                if row["usage_from"] == "provider" and (row["cost"], row["billed"]) != due:
                    self.wrong(f"{name} cost {due} and the books say {(row['cost'], row['billed'])}")
            elif name in self.ended and self.ended[name].outcome != "crash":
                self.wrong(f"{name} ended well and is booked as a crash")
        for name, row in rows.items():
            if name not in self.begun and name not in self.forgotten:
                self.wrong(f"{name} has a row and never began")
            if row["flag"]:
                self.wrong(f"{name} is flagged {row['flag']}")

    def _compare_order(self) -> None:
        """Windows follow each other; grants are named in the order they were given."""
        latest: dict[str, int] = {}
        for _, one in sorted(self.given.items(), key=lambda named: int(named[0].removeprefix("g-"))):
            limit, _, start = one.key
            if start < latest.get(limit, start):
                self.wrong(f"{limit}: a window that was over is given from again")
            latest[limit] = start

    def _compare_unaccounted(self, books: sqlite3.Connection, counters: dict[GrantKey, sqlite3.Row]) -> None:
        due: dict[GrantKey, int] = defaultdict(int)
        for row in books.execute("SELECT * FROM unaccounted"):
            if row["source"] not in self.lost | self.powerless:
                self.wrong(f"{row['source']} is unaccounted for and is not lost")
            due[(row["limit_id"], row["subject"], row["start"])] += row["amount"]
        for key, counter in counters.items():
            if counter["stranded"] != due.get(key, 0):
                self.wrong(f"{key}: {counter['stranded']} stranded, and {due.get(key, 0)} unaccounted for")
            if counter["reserved"]:
                self.wrong(f"{key}: {counter['reserved']} is still set aside in the end")
            if counter["overrun"] and not self.overruns and not self.forgotten:
                self.wrong(f"{key}: {counter['overrun']} drawn beyond what was held, which no attempt did")
            for column in ("spent", "extra", "reserved", "stranded"):
                if counter[column] < 0:
                    self.wrong(f"{key}: {column} is {counter[column]}")

    def _compare_limit(
        self, limit: Limit, rows: dict[str, sqlite3.Row], counters: dict[GrantKey, sqlite3.Row]
    ) -> None:
        """What the books count is what their rows say, once; and no less than what providers did."""
        booked: dict[str, int] = defaultdict(int)
        for name, row in rows.items():
            if name in self.begun and row["ended"] is not None:
                intent = self.begun[name][2]
                if fits(limit, intent):
                    booked[subject_of(limit, intent)] += _row_weighs(limit, row)
        real: dict[str, int] = defaultdict(int)
        beyond: dict[str, int] = defaultdict(int)
        for name, sent in self.sent.items():
            if fits(limit, sent.intent):
                subject = subject_of(limit, sent.intent)
                real[subject] += sent.weighs(limit)
                beyond[subject] += self._beyond_hold(limit, name, sent, rows.get(name))
        for subject in booked.keys() | real.keys():
            mine = [row for key, row in counters.items() if key[:2] == (limit.id, subject)]
            spent = sum(row["spent"] for row in mine)
            if spent != booked[subject]:
                self.wrong(f"{limit.id} {subject}: {spent} counted, the rows say {booked[subject]}")
            charged = sum(row["spent"] + row["extra"] + row["stranded"] for row in mine)
            if charged < real[subject] - beyond[subject]:
                self.wrong(f"{limit.id} {subject}: {charged} charged for {real[subject]} (ε {beyond[subject]})")

    def _beyond_hold(self, limit: Limit, name: str, sent: Sent, row: sqlite3.Row | None) -> int:
        """ε of an attempt that nobody could count: what it cost beyond its hold."""
        if row is not None and row["ended"] is not None and row["outcome"] != "crash":
            return 0
        return max(0, sent.weighs(limit) - self._held(limit, sent))

    def _held(self, limit: Limit, sent: Sent) -> int:
        return sum(amount for grant, amount in sent.intent.legs if self._limit_of(grant) == limit.id)

    def _by_key(self) -> dict[GrantKey, list[tuple[Sent, int]]]:
        """Attempts by the counter they held from, with what they held there."""
        found: dict[GrantKey, list[tuple[Sent, int]]] = defaultdict(list)
        for sent in self.sent.values():
            held: dict[GrantKey, int] = defaultdict(int)
            for grant, amount in sent.intent.legs:
                if grant in self.given:
                    held[self.given[grant].key] += amount
            for key, amount in held.items():
                found[key].append((sent, amount))
        return found

    def _compare_window(self, key: GrantKey, attempts: list[tuple[Sent, int]]) -> None:
        """No overspend: what providers did from one window's grants is within its limit, and ε."""
        standing = self.standings[key[0]]
        spent = beyond = 0
        for sent, held in attempts:
            weight, whole = sent.weighs(standing.limit), self._held(standing.limit, sent)
            # A hold over two windows is spent where it was held first; so count no more than was held here.
            here = weight if whole == held else min(weight, held)
            spent += here
            beyond += max(0, here - held)
        if spent > standing.highest + beyond:
            self.wrong(f"{key}: providers did {spent}, the limit is {standing.highest} (ε {beyond})")

    def _compare_lineage(self, standing: Standing) -> None:
        """No overspend by other names: only what was not limited when it was sent comes on top."""
        spent: dict[str, int] = defaultdict(int)
        beyond: dict[str, int] = defaultdict(int)
        for sent in self.sent.values():
            if not fits(standing.limit, sent.intent):
                continue
            subject, weight = subject_of(standing.limit, sent.intent), sent.weighs(standing.limit)
            held = sum(amount for grant, amount in sent.intent.legs if self._limit_of(grant) in standing.names)
            spent[subject] += weight
            beyond[subject] += max(0, weight - held)
        windows = len({key[2] for key in (one.key for one in self.given.values()) if key[0] in standing.names})
        for subject, amount in spent.items():
            if amount > standing.highest * max(1, windows) + beyond[subject] + standing.over:
                self.wrong(
                    f"{standing.limit.id} {subject}: providers did {amount} in all, the limit is {standing.highest}"
                    f" (ε {beyond[subject]}, over {standing.over})"
                )


def price_of(intent: Intent) -> int:
    """Nanodollars a token: prices here are the same in and out, and whole."""
    assert intent.price is not None
    return intent.price.input // 1_000_000


def fits(limit: Limit, intent: Intent) -> bool:
    match = limit.match
    return (
        (not match.namespaces or intent.namespace in match.namespaces)
        and (not match.access_keys or f"{intent.namespace}/{intent.access_key}" in match.access_keys)
        and (not match.models or intent.model in match.models)
    )


def subject_of(limit: Limit, intent: Intent) -> str:
    if limit.per == "AccessKey":
        return f"{intent.namespace}/{intent.access_key}"
    return intent.namespace if limit.per == "Namespace" else ""


def _row_weighs(limit: Limit, row: sqlite3.Row) -> int:
    if limit.unit == "nanodollars":
        return int(row["billed"])
    if limit.unit == "requests":
        return int(row["attempt_no"] == 1)
    return 0 if row["outcome"] == "failed" else int(row["prompt"] + row["completion"])
