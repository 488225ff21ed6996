"""What one batch does to the books. Pure: a store reads what is asked for, and writes what is decided, in one
transaction.

    judge(where the source stands, batch)       Take | Gap | Fenced
    entries(records to take, what is known)     new rows, and rows that are completed

A source's records are numbered without holes, so "have it already" is one comparison. The attempt's own id is a
second guard: a row is opened once and completed once, whatever is sent.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from byway_contract.fees import fee_of
from byway_contract.money import Price
from byway_contract.records import Batch, Fenced, Forked, Gap, Intent, Record, Settle, owed


@dataclass(frozen=True)
class Position:
    """How far a source is booked."""

    epoch: int = 0
    seq: int = 0
    owner: str = ""
    """The pod whose log it is; empty while nobody has said."""


@dataclass(frozen=True)
class Foreign:
    """The log is another pod's."""

    owner: str


@dataclass(frozen=True)
class Take:
    """Book these, and move the source to `position`."""

    records: Sequence[Record]
    position: Position
    skipped: Sequence[Record] = ()
    """What is booked already, if it is."""
    skipped_from: int = 0
    hole: int = 0
    """So many records before these are in no log and in no books any more."""


@dataclass(frozen=True)
class Known:
    """An attempt that has a row."""

    price: Price | None
    ended: bool
    intent: Intent | None = None
    """As much of it as decides which limits it counts for."""
    list_price: Price | None = None
    fee_ppm: int = 0


@dataclass(frozen=True)
class Row:
    """A new row: an attempt that began, and maybe ended in the same batch."""

    intent: Intent
    settle: Settle | None = None
    flag: str = ""


@dataclass(frozen=True)
class Completion:
    """The end of an attempt that has a row."""

    settle: Settle
    flag: str = ""


@dataclass
class Entries:
    rows: dict[str, Row] = field(default_factory=dict)
    completions: dict[str, Completion] = field(default_factory=dict)
    ignored: int = 0
    """Records that say again what the books have."""

    @property
    def flagged(self) -> int:
        rows = sum(bool(row.flag) for row in self.rows.values())
        return rows + sum(bool(completion.flag) for completion in self.completions.values())


def judge(position: Position, batch: Batch, sender: str = "") -> Take | Gap | Fenced | Foreign:
    """`sender` is the pod that proved to send it; empty where the unix socket's mode is the proof.

    The first pod that sends of a log owns it: its name is 128 bits of chance that nobody else knows until then.
    """
    if sender and position.owner not in ("", sender):
        return Foreign(position.owner)
    if batch.epoch < position.epoch:
        return Fenced(position.epoch)
    expected, hole = position.seq + 1, 0
    if batch.first_seq > expected:
        if batch.first_seq != batch.oldest:
            return Gap(expected)
        # The log keeps a record until it is booked. So these were, in books that have been lost since.
        hole = batch.first_seq - expected
    done = max(0, expected - batch.first_seq)
    last = batch.first_seq + len(batch.records) - 1
    return Take(
        records=batch.records[done:],
        position=Position(batch.epoch, max(position.seq, last), position.owner or sender),
        skipped=batch.records[:done],
        skipped_from=batch.first_seq,
        hole=hole,
    )


def asked(take: Take) -> list[str]:
    """The attempts of which a store must say what is known before `entries` and `forked` can be answered."""
    records = (*take.skipped, *take.records)
    return list({record.attempt: None for record in records if isinstance(record, Intent | Settle)})


def forked(take: Take, known: Mapping[str, Known], forgotten_before: float = 0.0) -> Forked | None:
    """Whether the source has told us other records under these numbers before.

    Of attempts that began before `forgotten_before` nobody knows the names any more.
    """
    for number, record in enumerate(take.skipped):
        if isinstance(record, Intent) and record.attempt not in known and record.at >= forgotten_before:
            return Forked(take.skipped_from + number)
    return None


def entries(records: Sequence[Record], known: Mapping[str, Known]) -> Entries:
    made = Entries()
    for record in records:
        match record:
            case Intent():
                _open(made, record, known)
            case Settle():
                _complete(made, record, known)
            case _:
                pass
    return made


def _open(made: Entries, intent: Intent, known: Mapping[str, Known]) -> None:
    if intent.attempt in known or intent.attempt in made.rows:
        made.ignored += 1
    else:
        made.rows[intent.attempt] = Row(intent)


def _complete(made: Entries, settle: Settle, known: Mapping[str, Known]) -> None:
    attempt, row = settle.attempt, made.rows.get(settle.attempt)
    if row is not None and row.settle is None:
        flag = flag_of(row.intent.price, settle, row.intent.list_price, row.intent.fee_ppm)
        made.rows[attempt] = Row(row.intent, settle, flag)
    elif row is None and attempt not in known:
        made.rows[attempt] = Row(_unknown(settle), settle, "orphan")
    elif row is None and not known[attempt].ended and attempt not in made.completions:
        flag = flag_of(known[attempt].price, settle, known[attempt].list_price, known[attempt].fee_ppm)
        made.completions[attempt] = Completion(settle, flag)
    else:
        made.ignored += 1


def flag_of(price: Price | None, settle: Settle, list_price: Price | None = None, fee_ppm: int = 0) -> str:
    """`usage`: the tokens do not add up; `cost`: it costs something else by its own prices; or nothing."""
    try:
        cost = owed(price, settle.usage, settle.usage_from)
        reckoned = owed(list_price, settle.usage, settle.usage_from)
    except ValueError:
        return "usage"
    # What is not billed is not reckoned either; what is billed at nothing may be.
    right = settle.reckoned == reckoned or (not settle.reckoned and not settle.billed)
    right = right and settle.fee == fee_of(max(settle.billed, settle.reckoned), fee_ppm)
    return "" if cost == settle.cost and settle.billed <= settle.cost and right else "cost"


def _unknown(settle: Settle) -> Intent:
    # Its INTENT went with books that were lost. The money is real all the same.
    return Intent(
        attempt=settle.attempt,
        request=settle.attempt,
        at=settle.at,
        namespace="",
        route="",
        endpoint="",
        account="",
        provider="",
        model="",
    )
