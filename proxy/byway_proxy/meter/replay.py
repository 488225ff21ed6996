"""Read a log that was left behind: which records it has, and which attempts never ended.

What a crash can leave: a torn last record (cut off: its attempt was never sent, or its SETTLE is unknown), or,
after a power failure, a segment whose end never reached the disk although a later one did. Records that are gone
are replaced by BOOTs that mean nothing, so that every other record keeps its number: the ledger may have been
sent some of them already.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from byway_contract.records import Boot, Intent, Progress, Settle, decode, encode

from byway_proxy.meter import segment as segments
from byway_proxy.meter.begun import Begun, begun, grown
from byway_proxy.meter.framing import frame
from byway_proxy.meter.home import LogError
from byway_proxy.meter.pruning import remembered_in
from byway_proxy.meter.segment import Segment

MOST_LOST = 1_000_000
"""More records missing than this is a folder somebody has meddled with."""


@dataclass
class Replayed:
    segments: list[Segment] = field(default_factory=list)
    open: dict[str, Begun] = field(default_factory=dict)
    """In the order of seq."""
    last: int = 0
    epoch: int = 0
    """The highest that was seen."""
    lost: int = 0
    """Records of which only the number is left."""
    cut_bytes: int = 0
    """What was cut off as torn."""


def replay(directory: Path, booked: int) -> Replayed:
    """Read everything, repair what is torn, and leave each file on the disk. Raises LogError, OSError."""
    found = segments.found_in(directory)
    seen = Replayed(segments=found, last=found[0].first - 1 if found else 0)
    if found:
        seen.open = _remembered(directory)
    for number, segment in enumerate(found):
        due = found[number + 1].first - 1 if number + 1 < len(found) else None
        for payload in segments.records_in(segment, None if due is None else due - segment.first + 1):
            _take(seen, segment.last, payload)
        _repair(seen, segment, max(segment.last, booked) if due is None else due)
        seen.last = segment.last
    return seen


def _remembered(directory: Path) -> dict[str, Begun]:
    try:
        return remembered_in(directory)
    except ValueError as error:
        raise LogError(f"{directory / 'open'} is no list of attempts: {error}; move the folder away") from error


def _take(seen: Replayed, seq: int, payload: bytes) -> None:
    try:
        record = decode(payload)
    except ValueError:
        return  # of a newer build; it is whole and is shipped as it is
    match record:
        case Boot():
            seen.epoch = max(seen.epoch, record.epoch)
        case Intent():
            seen.open[record.attempt] = begun(record, seq)
        case Progress():
            if record.attempt in seen.open:
                seen.open[record.attempt] = grown(seen.open[record.attempt], record)
        case Settle():
            seen.open.pop(record.attempt, None)


def _repair(seen: Replayed, segment: Segment, due: int) -> None:
    missing = due - segment.last
    if missing > MOST_LOST:
        raise LogError(f"{segment.path} should reach record {due} and ends at {segment.last}; move the folder away")
    seen.cut_bytes += _cut(segment)
    if missing > 0:
        seen.lost += missing
        for filler in _fillers(missing):
            segment.write(filler)
    os.fsync(segment.fd)
    os.close(segment.fd)
    segment.fd = -1


def _cut(segment: Segment) -> int:
    """Open it for writing behind its last whole record. How many bytes that were no zeros went away."""
    segment.fd = os.open(segment.path, os.O_RDWR | os.O_CLOEXEC)
    rest = os.pread(segment.fd, max(0, os.fstat(segment.fd).st_size - segment.size), segment.size)
    os.ftruncate(segment.fd, segment.size)
    os.lseek(segment.fd, segment.size, os.SEEK_SET)
    return len(rest.rstrip(b"\0"))


def _fillers(count: int) -> Iterator[bytes]:
    one = frame(encode(Boot(epoch=0, at=0.0, build="lost")))
    return (one for _ in range(count))
