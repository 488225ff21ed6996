"""The control stream: what operator and proxy say to each other over one WebSocket that the proxy dials.

        proxy                         operator
          | hello  ---------------------> |
          | <------------------- welcome  |
          | <------------- same | table   |   a table is a binary frame, gzip(JSON), encoded once for all
          | ack | nack -----------------> |   after the table is live, or is refused
          | report ---------------------> |   every `report_every_s` and on change
          | <------- table, fleet, verify |
          | <---------------------- drain |   dial again, after a while

Control messages are text frames of JSON with a `type`. Order among tables is (term, seq); equality is the hash.
"""

import gzip
import zlib
from typing import Literal, TypeVar

import msgspec
from msgspec import Raw

from byway_contract.report import Report
from byway_contract.table import SCHEMA, SectionName

PATH = "/v1/stream"
SUBPROTOCOL = "byway.table.v1"
PROTO = 1
MAX_TABLE_BYTES = 256 * 1024 * 1024

T = TypeVar("T")

CLOSE_TOKEN, CLOSE_IDENTITY, CLOSE_SUPERSEDED, CLOSE_LOST_LEASE, CLOSE_SCHEMA = 4401, 4403, 4409, 4421, 4426


class _Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag=str.lower):
    pass


class Pod(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is calling. `uid` tells one life of a pod (or of a process) from the next."""

    name: str
    uid: str
    namespace: str = ""
    node: str = ""
    zone: str = ""


class Have(msgspec.Struct, frozen=True):
    """The table a proxy holds when it dials."""

    term: int = 0
    seq: int = 0
    hash: str | None = None
    origin: Literal["memory", "disk", "none"] = "none"


class Hello(_Message, frozen=True):
    pod: Pod
    build: str
    have: Have = Have()
    proto: int = PROTO
    schemas: tuple[int, ...] = (SCHEMA,)
    caps: tuple[str, ...] = ()


class Welcome(_Message, frozen=True):
    term: int
    holder: str
    schema: int = SCHEMA
    ping_s: float = 20.0
    max_age_s: float = 2700.0
    report_every_s: float = 15.0
    proxies: int = 1
    """How many proxies share a cap that is the fleet's."""


class Same(_Message, frozen=True):
    """You have it already."""

    nonce: str
    term: int
    seq: int
    hash: str


class Fleet(_Message, frozen=True):
    """The number of proxies changed."""

    proxies: int


class Verify(_Message, frozen=True):
    """Make each account's cheapest authenticated call; what comes of it is in the next report.

    To one proxy alone. An account that its table does not have, or whose provider has no such call, is passed over.
    """

    nonce: str
    provider_keys: tuple[str, ...]
    """Ids of accounts."""


class Drain(_Message, frozen=True):
    reason: Literal["age", "shutdown", "lost-lease"]
    after_ms: int = 0
    jitter_ms: int = 1000


class Ack(_Message, frozen=True):
    """The table of this nonce is live."""

    nonce: str
    hash: str
    apply_ms: float = 0.0


class Nack(_Message, frozen=True):
    """The table of this nonce is refused; `serving` goes on. `path` is `section/id`, or empty."""

    nonce: str
    hash: str
    code: Literal["Schema", "Hash", "Build", "Resources"]
    path: str = ""
    message: str = ""
    """At most 1 KiB, without any value of the table in it."""
    serving: str | None = None


class Reported(_Message, frozen=True, tag="report"):
    report: Report


FromProxy = Hello | Ack | Nack | Reported
FromOperator = Welcome | Same | Fleet | Verify | Drain


class Snapshot(msgspec.Struct, frozen=True):
    """A whole table, as sent. `created` is for people; it is not part of the table."""

    nonce: str
    term: int
    seq: int
    hash: str
    schema: int
    created: str
    sections: dict[SectionName, dict[str, Raw]]


_encoder = msgspec.json.Encoder()
_from_proxy: msgspec.json.Decoder[FromProxy] = msgspec.json.Decoder(FromProxy)
_from_operator: msgspec.json.Decoder[FromOperator] = msgspec.json.Decoder(FromOperator)
_snapshot = msgspec.json.Decoder(Snapshot)


class StreamError(ValueError):
    """A frame that is not of this protocol."""


def encode(message: FromProxy | FromOperator) -> str:
    return _encoder.encode(message).decode()


def decode_from_proxy(text: str) -> FromProxy:
    """Raises StreamError."""
    return _decoded(_from_proxy, text)


def decode_from_operator(text: str) -> FromOperator:
    """Raises StreamError."""
    return _decoded(_from_operator, text)


def _decoded(decoder: "msgspec.json.Decoder[T]", text: str | bytes) -> T:
    try:
        return decoder.decode(text)
    except msgspec.DecodeError as error:
        raise StreamError(str(error)) from error


def encode_snapshot(snapshot: Snapshot) -> bytes:
    return gzip.compress(_encoder.encode(snapshot), compresslevel=3, mtime=0)


def decode_snapshot(frame: bytes) -> Snapshot:
    """Raises StreamError if it is no gzip, no snapshot, or larger than MAX_TABLE_BYTES when unpacked."""
    return _decoded(_snapshot, _unpacked(frame))


def _unpacked(frame: bytes) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        text = unpacking.decompress(frame, MAX_TABLE_BYTES + 1)
    except zlib.error as error:
        raise StreamError(f"no gzip: {error}") from error
    if len(text) > MAX_TABLE_BYTES:
        raise StreamError(f"a table of more than {MAX_TABLE_BYTES} bytes")
    if not unpacking.eof:
        raise StreamError("the frame ends in the middle")
    return text
