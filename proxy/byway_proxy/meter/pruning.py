"""Delete what is booked, and remember the attempts that began in it and have not ended.

Such an attempt may stream for an hour more. Keeping the file of its INTENT that long would keep all files after it
too, so its name and what it holds go to `open` instead; if we crash, the next opening settles it from there.
"""

import contextlib
from pathlib import Path

import msgspec

from byway_proxy.meter import home
from byway_proxy.meter.begun import Begun
from byway_proxy.meter.segment import Segment

NAME = "open"


class _Line(msgspec.Struct, frozen=True, array_like=True):
    attempt: str
    begun: Begun


_line = msgspec.json.Decoder(_Line)


def prunable(segments: list[Segment], booked: int) -> int:
    """How many of the files, oldest first, nobody needs; the newest is always kept, it says where we are."""
    count = 0
    while count < len(segments) - 1 and segments[count].last <= booked:
        count += 1
    return count


def prune(directory: Path, segments: list[Segment], booked: int, begun: dict[str, Begun]) -> None:
    """`begun`: open attempts in the order of their seq; nobody changes it meanwhile."""
    count = prunable(segments, booked)
    if not count:
        return
    cut = segments[count - 1].last
    lines = [_written(attempt, one) for attempt, one in begun.items() if one.seq <= cut]
    remembered = _remember(directory, lines)
    for _ in range(count):
        with contextlib.suppress(OSError):
            segments.pop(0).path.unlink()
        # On a full disk there is room for the names only after the first file is gone. A crash just in between
        # leaves the older names, and at worst settles an attempt anew that the ledger knows to have ended.
        remembered = remembered or _remember(directory, lines)


def remembered_in(directory: Path) -> dict[str, Begun]:
    """Raises ValueError if somebody has meddled with it."""
    with contextlib.suppress(FileNotFoundError):
        return dict(map(_read, filter(None, (directory / NAME).read_text().splitlines())))
    return {}


def _written(attempt: str, begun: Begun) -> str:
    return msgspec.json.encode(_Line(attempt, begun)).decode()


def _read(line: str) -> tuple[str, Begun]:
    if not line.startswith("["):
        return line, Begun(0)  # as an older build wrote it: the name alone
    read = _line.decode(line)
    return read.attempt, msgspec.structs.replace(read.begun, seq=0)


def _remember(directory: Path, lines: list[str]) -> bool:
    try:
        home.replace(directory / NAME, "\n".join(lines))
    except OSError:
        return False
    return True
