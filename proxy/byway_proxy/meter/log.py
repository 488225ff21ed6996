"""The write-ahead log: what is written here before a provider sees a byte is never forgotten.

    append --> active segment --50 ms--> synced --ship--> booked --> the segment is deleted
                    |
              no room, or the disk fails
                    v
              emergency segment: SETTLEs of what is under way; INTENTs get LogFull

One write(2) per record, so a kill -9 loses nothing (the page cache survives it). fdatasync follows in a thread,
for all records of 50 ms together; only what is synced is shipped, so the ledger never knows a record that a power
failure can take back. `append`, `read` and `mark_booked` belong to one thread (the loop's), `sync` to any.
"""

import contextlib
import os
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from byway_contract.records import Boot, Intent, Progress, Record, Settle, encode

from byway_proxy.meter import home
from byway_proxy.meter import segment as segments
from byway_proxy.meter.begun import begun, crash_of, grown
from byway_proxy.meter.framing import HEADER, MOST_PAYLOAD
from byway_proxy.meter.home import LogError, LogFull, LogInUse
from byway_proxy.meter.legible import legible
from byway_proxy.meter.pruning import prunable, prune
from byway_proxy.meter.reading import Reader
from byway_proxy.meter.replay import Replayed, replay
from byway_proxy.meter.segment import Segment

__all__ = ["Log", "LogError", "LogFull", "LogInUse"]

SEGMENT_BYTES = 8 * 1024 * 1024
EMERGENCY_BYTES = 1024 * 1024
SYNC_EVERY_S = 0.05
# How often a full disk is tried again: soon enough that readiness follows within a probe.
TRY_AGAIN_S = 1.0
LONG = MOST_PAYLOAD // 4
# What there is the emergency segment for is the end of what has begun.
_NEW = (Intent, Progress)


class Log:
    """Opening it replays what was left behind: attempts that never ended are settled as `crash`, then BOOT.

    Raises LogInUse, LogFull, LogError.
    """

    def __init__(
        self,
        directory: Path,
        *,
        now: Callable[[], float] = time.time,
        build: str = "",
        segment_bytes: int = SEGMENT_BYTES,
        emergency_bytes: int = EMERGENCY_BYTES,
        sync_every_s: float = SYNC_EVERY_S,
        try_again_s: float = TRY_AGAIN_S,
    ) -> None:
        self.directory = directory
        self.trouble = ""
        """Why INTENTs are refused; empty while all is well."""
        self.disowned = False
        """Nobody will ever book what is written here: the process should end, and begin with a new log."""
        self.when_synced: Callable[[], None] | None = None
        """Called from the syncing thread when there is more to ship."""
        self._segment_bytes, self._emergency_bytes = segment_bytes, emergency_bytes
        self._sync_every_s, self._try_again_s = sync_every_s, try_again_s
        self._spare, self._on_spare = directory / "emergency", False
        self._retired: deque[Segment] = deque()
        self._syncing, self._stop = threading.Lock(), threading.Event()
        self._tried_at = 0.0
        self._lock = home.seize(directory)
        try:
            self._begin(now(), build)
        except BaseException as error:
            os.close(self._lock)
            if isinstance(error, OSError):
                raise LogFull(f"the log in {directory} cannot be opened: {error}") from error
            raise
        self._thread = threading.Thread(target=self._keep_syncing, name="log-sync", daemon=True)
        self._thread.start()

    def _begin(self, at: float, build: str) -> None:
        home.move_aside(self.directory)
        self.unsure = not home.came_through(self.directory)
        """Its machine lost power, and the ledger has not been told."""
        fresh = not segments.found_in(self.directory)
        self.source = home.source_of(self.directory, fresh=fresh)
        if fresh:
            (self.directory / "booked").unlink(missing_ok=True)
        self.booked = home.number_in(self.directory / "booked")
        left = replay(self.directory, self.booked)
        self.epoch = max(left.epoch, home.number_in(self.directory / "epoch")) + 1
        home.replace(self.directory / "epoch", str(self.epoch))
        self.last = self.synced = left.last
        self.lost, self.cut_bytes, self.crashed = left.lost, left.cut_bytes, len(left.open)
        self.open = left.open
        self._segments = [one for one in left.segments if not one.empty]
        self._reader = Reader(self._segments)
        self._have_spare = self._spare.exists() or self._try_spare()
        self._active = self._add(segments.create(self.directory, self.last + 1, self._segment_bytes))
        self._settle_crashed(left, at)
        self.append(Boot(epoch=self.epoch, at=at, build=build))

    def _settle_crashed(self, left: Replayed, at: float) -> None:
        """The limits are charged what they held: nobody knows how much of it was spent."""
        for attempt, one in list(left.open.items()):
            self.append(crash_of(attempt, one, at))

    @property
    def ready(self) -> bool:
        """New attempts may begin."""
        return not self.trouble or self._have_spare

    @property
    def unshipped(self) -> int:
        return self.last - self.booked

    @property
    def oldest(self) -> int:
        """The first record that is still here."""
        return self._segments[0].first

    def append(self, record: Record) -> int:
        """Write it and return its seq. Raises LogFull: for an INTENT or a PROG as soon as there is trouble, for the
        others only when the emergency segment is full too."""
        framed = _framed(record)
        segment = self._active
        if self.trouble or segment.size + len(framed) > segment.limit:
            segment = self._with_room(len(framed), new=type(record) in _NEW)
        try:
            self.last = seq = segment.write(framed)
        except OSError as error:
            self.trouble = f"{segment.path.name}: {error.strerror or error}"
            segment.limit = segment.size
            segment = self._with_room(len(framed), new=type(record) in _NEW)
            self.last = seq = self._last_try(segment, framed)
        if type(record) is Intent:
            self.open[record.attempt] = begun(record, seq)
        elif type(record) is Settle:
            self.open.pop(record.attempt, None)
        elif type(record) is Progress:
            self.open[record.attempt] = grown(self.open[record.attempt], record)
        return seq

    def read(self, first: int, most: int, most_bytes: int = 4 * 1024 * 1024) -> list[bytes]:
        """Records from `first` on that are safe on the disk, encoded; fewer than `most` where a segment ends."""
        return self._reader.read(first, min(self.synced, first + most - 1), most_bytes)

    def mark_booked(self, seq: int) -> None:
        """The ledger has everything up to `seq`: the next `sync` deletes files that nobody needs any more."""
        if seq <= self.booked:
            return
        self.booked = seq
        with contextlib.suppress(OSError):  # a hint: without it some records are shipped again
            home.replace(self.directory / "booked", str(seq), durable=False)

    def sync(self) -> None:
        """Everything appended so far is on the disk when this returns (or the disk has failed: `trouble`)."""
        with self._syncing:
            active = self._active
            while self._retired:
                segment = self._retired[0]
                self._sync_one(segment)
                os.close(segment.fd)
                segment.fd = -1
                self._retired.popleft()
            if active.fd >= 0 and active.last > self.synced:
                self._sync_one(active)
            prune(self.directory, self._segments, self.booked, self.open.copy())

    def disown(self) -> None:
        """The ledger holds this log for lost. The next opening is a new one."""
        self.disowned = True
        with contextlib.suppress(OSError):  # then the next opening is told the same, and tries again
            home.disown(self.directory)

    def is_sure(self) -> None:
        """The ledger was told, and has charged what may be missing."""
        self.unsure = False
        with contextlib.suppress(OSError):  # then it is told again
            home.is_sure(self.directory)

    def close(self) -> None:
        """Sync and let go of the directory. Open attempts stay open: the next opening settles them as crashed."""
        self._stop.set()
        self._thread.join()
        self._retired.append(self._active)
        self.sync()
        if not self.trouble:
            with contextlib.suppress(OSError):  # then the next opening is not sure, which costs no more than money
                home.let_go(self.directory)
        self._reader.close()
        os.close(self._lock)

    # Finding room.

    def _with_room(self, size: int, *, new: bool) -> Segment:
        if self.trouble and not self._on_spare:
            self._enter_emergency()
        if not self.trouble or self._have_spare:  # a new spare proves that there is room again
            self.trouble = self._rotate()
            self._on_spare = False
        if self.trouble and not self._on_spare:
            self._enter_emergency()
        if self.trouble and new:
            raise LogFull(f"the log in {self.directory} takes no new attempts: {self.trouble}")
        if self._active.size + size > self._active.limit:
            raise LogFull(f"the emergency segment of the log in {self.directory} is full: {self.trouble}")
        return self._active

    def _rotate(self) -> str:
        """Go on in a new segment. Why that was not possible, or nothing."""
        if self._active.empty:
            self._active.limit = self._segment_bytes
            return ""
        try:
            fresh = segments.create(self.directory, self.last + 1, self._segment_bytes)
        except OSError as error:
            return f"no new segment: {error.strerror or error}"
        self._retire()
        self._active = self._add(fresh)
        return ""

    def _enter_emergency(self) -> None:
        self._on_spare = True
        self._active.limit = self._active.size
        if not self._have_spare:
            return
        self._have_spare = False
        with contextlib.suppress(OSError):
            fresh = segments.put_to_use(self._spare, self.directory, self.last + 1)
            self._retire()
            self._active = self._add(fresh)

    def _last_try(self, segment: Segment, framed: bytes) -> int:
        try:
            return segment.write(framed)
        except OSError as error:
            segment.limit = segment.size
            raise LogFull(f"{segment.path}: {error.strerror or error}") from error

    def _retire(self) -> None:
        if self._active.empty:
            self._segments.remove(self._active)
        self._retired.append(self._active)

    def _add(self, segment: Segment) -> Segment:
        self._segments.append(segment)
        return segment

    # In the syncing thread.

    def _keep_syncing(self) -> None:
        while not self._stop.wait(self._sync_every_s):
            self.tend()

    def tend(self) -> None:
        """What is due from time to time; the log's own thread does it."""
        before = self.synced
        if self._retired or self._active.last > before or prunable(self._segments, self.booked):
            self.sync()
        if not self._have_spare and time.monotonic() - self._tried_at >= self._try_again_s:
            self._have_spare = self._try_spare()
        if self.synced > before and self.when_synced is not None:
            self.when_synced()

    def _sync_one(self, segment: Segment) -> None:
        last = segment.last
        if segment.failed:
            return
        try:
            os.fdatasync(segment.fd)
            if not segment.listed:
                home.sync_directory(self.directory)
                segment.listed = True
        except OSError as error:
            # Never again on this file: the kernel has dropped the pages it could not write and would report
            # success. What it holds is shipped at once, for the ledger's disk is now the better one.
            segment.failed = True
            self.trouble = f"{segment.path.name} cannot be synced: {error.strerror or error}"
        self.synced = max(self.synced, last)

    def _try_spare(self) -> bool:
        self._tried_at = time.monotonic()
        try:
            segments.set_aside(self._spare, self._emergency_bytes)
        except OSError:
            return False
        return True


def _framed(record: Record) -> bytes:
    try:
        payload = encode(record)
    except UnicodeEncodeError:
        payload = encode(legible(record))
    size = len(payload)
    if size > LONG:
        payload = encode(legible(record))
        size = len(payload)
    return HEADER.pack(size, zlib.crc32(payload)) + payload
