"""Delete what is booked, and remember the attempts that began in it and have not ended.

Such an attempt may stream for an hour more. Keeping the file of its INTENT that long would keep all files after it
too, so its name goes to `open` instead; if we crash, the next opening settles it from there.
"""

import contextlib
from pathlib import Path

from byway_proxy.meter import home
from byway_proxy.meter.segment import Segment

NAME = "open"


def prunable(segments: list[Segment], booked: int) -> int:
    """How many of the files, oldest first, nobody needs; the newest is always kept, it says where we are."""
    count = 0
    while count < len(segments) - 1 and segments[count].last <= booked:
        count += 1
    return count


def prune(directory: Path, segments: list[Segment], booked: int, begun: dict[str, int]) -> None:
    """`begun`: open attempts → seq of their INTENT, in the order of seq; nobody changes it meanwhile."""
    count = prunable(segments, booked)
    if not count:
        return
    cut = segments[count - 1].last
    names = [attempt for attempt, seq in begun.items() if seq <= cut]
    remembered = _remember(directory, names)
    for _ in range(count):
        with contextlib.suppress(OSError):
            segments.pop(0).path.unlink()
        # On a full disk there is room for the names only after the first file is gone. A crash just in between
        # leaves the older names, and at worst settles an attempt anew that the ledger knows to have ended.
        remembered = remembered or _remember(directory, names)


def remembered_in(directory: Path) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return list(filter(None, (directory / NAME).read_text().splitlines()))
    return []


def _remember(directory: Path, names: list[str]) -> bool:
    try:
        home.replace(directory / NAME, "\n".join(names))
    except OSError:
        return False
    return True
