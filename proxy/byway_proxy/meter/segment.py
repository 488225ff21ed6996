"""One file of the log. Its name is the seq of its first record, so where it stands needs no other file."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from byway_proxy.meter.framing import frames


class Segment:
    """Records `first` to `last` of a log; empty while `last` is `first - 1`."""

    __slots__ = ("failed", "fd", "first", "last", "limit", "listed", "path", "size")

    def __init__(self, path: Path, first: int, fd: int = -1, limit: int = 0) -> None:
        self.path, self.first, self.last = path, first, first - 1
        self.fd = fd
        """-1: closed."""
        self.size = 0
        """Bytes of whole records; the next one goes here."""
        self.limit = limit
        """Bytes from which on the next record goes elsewhere."""
        self.failed = False
        """It could not be synced, which must not be tried twice."""
        self.listed = False
        """The directory is known to have it on disk."""

    @property
    def empty(self) -> bool:
        return self.last < self.first

    def write(self, framed: bytes) -> int:
        """Append a record by one write(2). Raises OSError, with the file as it was before."""
        size = len(framed)
        try:
            written = os.write(self.fd, framed)
        except OSError:
            self._cut()
            raise
        if written != size:
            # At the end of a disk, write(2) takes what still fits and calls that success.
            self._cut()
            raise OSError(28, f"only {written} of {size} bytes could be written")
        self.size += size
        self.last = last = self.last + 1
        return last

    def _cut(self) -> None:
        # What cannot be cut off is not read either: its checksum is wrong, and the next segment's name says how
        # many records belong to this one.
        with contextlib.suppress(OSError):
            os.ftruncate(self.fd, self.size)
        with contextlib.suppress(OSError):
            os.lseek(self.fd, self.size, os.SEEK_SET)


def path_of(directory: Path, first: int) -> Path:
    return directory / f"{first:016d}.log"


def create(directory: Path, first: int, limit: int) -> Segment:
    """Raises OSError."""
    path = path_of(directory, first)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    return Segment(path, first, fd, limit)


def set_aside(path: Path, size: int) -> None:
    """Make `path` a file of that many bytes that the disk has promised to keep. Raises OSError."""
    beside = path.with_name(path.name + ".new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        os.fsync(fd)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
    finally:
        os.close(fd)
    os.replace(beside, path)


def put_to_use(spare: Path, directory: Path, first: int) -> Segment:
    """The file set aside becomes the segment that begins with `first`. Raises OSError."""
    path = path_of(directory, first)
    os.rename(spare, path)
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    return Segment(path, first, fd, os.fstat(fd).st_size)


def found_in(directory: Path) -> list[Segment]:
    """What is there, oldest first, not read yet."""
    names = sorted(path for path in directory.glob("*.log") if path.stem.isdigit())
    return [Segment(path, int(path.stem)) for path in names]


def records_in(segment: Segment, most: int | None = None) -> Iterator[bytes]:
    """Every whole record (up to `most`), counting them into `last` and `size` on the way."""
    for behind, payload in frames(segment.path.read_bytes()):
        if most is not None and segment.last - segment.first + 1 >= most:
            return
        segment.size = behind
        segment.last += 1
        yield payload
