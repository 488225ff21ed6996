"""What a proxy writes to its log before and after each attempt, and what the ledger books from it.

    BOOT            a process opened the log: a new epoch begins
    INTENT          an attempt is about to be sent, at this price      (before the provider sees a byte)
    PROG            how far its answer has come, and what more is held for it   (where a budget follows it)
    SETTLE          how it ended: tokens, cost, who pays               (exactly one for each INTENT)
    RELEASE         so much of a grant goes back                       (see `grants`)

Records are numbered by (source, epoch, seq): `source` is minted with the log's directory and kept in it, `epoch`
counts its openings, `seq` counts its records from 1 and never starts anew. A ledger that has booked seq N of a
source takes N + 1 next and ignores what it has already. No prompt, completion or credential is ever in a record.
"""

from collections.abc import Callable
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from byway_contract.money import MOST, Cost, Price, Usage, cost

Outcome = Literal["ok", "failed", "client_cancel", "upstream_cut", "crash"]
UsageFrom = Literal["provider", "estimated", "unknown"]
Id = Annotated[str, Meta(min_length=1, max_length=256)]
Amount = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Legs = tuple[tuple[Id, Amount], ...]
"""Grants, and how much of each: held in an INTENT, drawn in a SETTLE."""


# gc=False, here and below: what is written at each request holds no cycle, so nobody need look for one.
class _Record(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="t", gc=False):
    pass


class Boot(_Record, frozen=True, tag="BOOT"):
    epoch: int
    at: float
    """Seconds since 1970, by the proxy's own clock."""
    build: str = ""


class Intent(_Record, frozen=True, tag="INTENT"):
    attempt: Id
    """UUIDv7, one for each try at an endpoint."""
    request: Id
    """`gen-…`, as the client sees it; all attempts of a request share it."""
    at: float
    namespace: str
    """The caller's."""
    route: str
    """`namespace/name` of the ModelRoute, or empty where a catalogue name was called."""
    endpoint: str
    account: str
    provider: str
    model: str
    """The concrete model, as the answer names it."""
    price: Price | None = None
    list_price: Price | None = None
    """The catalogue's, where `price` is a tenant's own word."""
    streamed: bool = False
    attempt_no: int = 1
    api: str = "chat"
    service_account: str = ""
    access_key: str = ""
    byok: bool = False
    """The account lives in the caller's own namespace."""
    user: str = ""
    session: str = ""
    referer: str = ""
    title: str = ""
    user_agent: str = ""
    user_id: str = ""
    """Whose access key it is, by the word of its AccessKey; `user` is only what the request says."""
    legs: Legs = ()
    fee_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """The platform's fee on what the attempt costs, in millionths."""


class Progress(_Record, frozen=True, tag="PROG"):
    """Of an attempt under way. The books keep nothing of it: it is for whoever settles after a crash."""

    attempt: Id
    prompt: Amount = 0
    """Tokens, estimated."""
    completion: Amount = 0
    """Tokens that were seen so far."""
    legs: Legs = ()
    """Held beyond what was before."""


class Settle(_Record, frozen=True, tag="SETTLE"):
    attempt: Id
    at: float
    outcome: Outcome
    usage: Usage = Usage()
    usage_from: UsageFrom = "unknown"
    cost: Amount = 0
    """What we owe the provider, nanodollars."""
    billed: Amount = 0
    """What the caller pays, nanodollars. `cost - billed` is absorbed."""
    reckoned: Amount = 0
    """What the caller would pay by `list_price`; 0 where there is none."""
    reason: str = ""
    """Why it failed: the health reason."""
    status: int = 0
    """The provider's HTTP status; 0 if none came."""
    first_token_ms: float | None = None
    duration_ms: float = 0.0
    finish: str = ""
    native_finish: str = ""
    upstream_id: str = ""
    legs: Legs = ()
    """What it draws from grants, in each one's unit: for money what is `billed`, or more (a crash: the hold)."""
    fee: Amount = 0
    """The platform's: on what is billed, or reckoned if that is more. Credits pay it, and no budget counts it."""


class Release(_Record, frozen=True, tag="RELEASE"):
    grant: Id
    amount: Amount


Record = Boot | Intent | Progress | Settle | Release


class Batch(msgspec.Struct, frozen=True):
    """`POST /v1/usage`: records `first_seq`, `first_seq + 1`, … of one source; at most 1,000."""

    source: Id
    epoch: int
    """Of the log's opening that sends, also where the records are of an earlier one."""
    first_seq: int
    records: list[Record]
    oldest: int = 0
    """The first record the log still has. A ledger that lost its books cannot ask for what came before it."""


class Booked(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer: everything up to and including `seq` is booked."""

    seq: int
    recall: tuple[str, ...] = ()
    """Grants that others need: see `grants.Grants`."""


class Fenced(msgspec.Struct, frozen=True):
    """409: this source has been opened anew since; the older epoch may not write.

    Or it was declared lost: then `epoch` is beyond every epoch, and its log has to be a new source.
    """

    epoch: int
    fenced: bool = True


CLOSED_EPOCH = 2**53
"""A lost source stands at this epoch, so no opening of its log may write any more."""


class Gap(msgspec.Struct, frozen=True):
    """409: records are missing before these; send from `expected` on."""

    expected: int
    gap: bool = True


class Forked(msgspec.Struct, frozen=True):
    """409: the ledger has booked other records under these numbers, so this log is an old copy of itself.

    `seq` is the first that differs.
    """

    seq: int
    forked: bool = True


MOST_RECORDS = 1000
USAGE_PATH = "/v1/usage"
KEYS_PATH = "/v1/keys"
"""The operator PUTs a `table.Issuer` there: by whose keys the ledger verifies the tokens of its proxies."""


def owed(price: Price | None, usage: Usage, usage_from: UsageFrom) -> int:
    """`cost` of a SETTLE, as the proxy computes it and the ledger checks it.

    Nothing where there is no price, and nothing where nobody knows what was used (a refused attempt, a crash).
    Raises ValueError if the tokens do not add up.
    """
    parts = parts_owed(price, usage, usage_from)
    return 0 if parts is None else min(parts.total, MOST)


def parts_owed(price: Price | None, usage: Usage, usage_from: UsageFrom) -> Cost | None:
    """The same in its parts, for people to read; None where nothing is owed for want of a price or of usage."""
    return None if price is None or usage_from == "unknown" else cost(usage, price)


_encoder = msgspec.json.Encoder()
encode: Callable[[Record], bytes] = _encoder.encode
_record: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
_batch = msgspec.json.Decoder(Batch)


def decode(payload: bytes) -> Record:
    """Raises ValueError (msgspec.DecodeError)."""
    return _record.decode(payload)


def encode_batch(batch: Batch) -> bytes:
    return _encoder.encode(batch)


def decode_batch(payload: bytes) -> Batch:
    """Raises ValueError (msgspec.DecodeError)."""
    return _batch.decode(payload)
