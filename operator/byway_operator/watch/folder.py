"""A folder of manifests as a source: what `byway up DIR` has in place of an API server.

Changes are told by the kernel; a LIST every few seconds makes up for what it does not tell (symlinks' targets,
network file systems, a folder that is moved away and back). Editors save in many ways, so a file that just
changed is in doubt while it cannot be read, lacks something, or is gone: what it said before holds until it has
been still for a moment. A file that reads well counts at once.
"""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

from byway_process.logs import Log
from watchfiles import Change, awatch

from byway_operator.resources.manifest import Place, Problem, World
from byway_operator.resources.yaml_text import MOST_BYTES
from byway_operator.watch.documents import Reading, read_documents
from byway_operator.watch.inventory import Inventory
from byway_operator.watch.listing import SUFFIXES, Listing, Stamp, list_files, said
from byway_operator.watch.shrink import Doubted, believe

LIST_EVERY_S = 10.0
# Longer than any editor takes between truncating a file and filling it, or between taking the old file away and
# putting the new one there; short enough that nobody notices.
SETTLE_S = 0.05
# So many times longer for a file that is wholly empty: hardly anybody means that, and a writer on a busy machine
# may wait that long for its turn after it has truncated the file.
EMPTY_LONGER = 10
# How often watchfiles looks whether the kernel said something: most of the time from save to `changed`.
STEP_MS = 15
IDENTITY_EVERY_MS = 1000
WATCH_BEGUN_S = 0.25


@dataclass(frozen=True)
class _Seen:
    stamp: Stamp
    digest: bytes
    sure: bool
    """Whether the file had been still for a while when it was read: a stamp is too coarse for quick writes."""


class FolderSource:
    def __init__(
        self, directory: Path, log: Log, *, list_every_s: float = LIST_EVERY_S, settle_s: float = SETTLE_S
    ) -> None:
        self._directory = directory
        self._log = log
        self._list_every_s = list_every_s
        self._settle_s = settle_s
        self._inventory = Inventory()
        self._seen: dict[str, _Seen] = {}
        self._missing: dict[str, float] = {}
        """Since when, by the monotonic clock."""
        self._unreadable: dict[str, str] = {}
        self._world = World({})
        self._doubted: Doubted | None = None
        self._stale = False
        self._changes = 0
        self._stirred = asyncio.Event()

    async def begin(self) -> None:
        """A folder can be read whenever one likes."""

    def read(self) -> World:
        """Everything the folder holds now. Only files that changed are opened."""
        self._look()
        return self._world

    def remembered(self) -> dict[str, list[int | str]]:
        """Generations and first times, as plain JSON; see `recall`."""
        return self._inventory.remembered()

    def recall(self, remembered: Mapping[str, Any]) -> None:
        """Go on where an earlier process stopped. Before the first `read`."""
        self._inventory.recall(remembered)

    async def run(self, changed: Callable[[], None]) -> None:
        """Call `changed` whenever `read` would answer otherwise than before; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            await self._answer(changed)

    async def _answer(self, changed: Callable[[], None]) -> NoReturn:
        told = -1
        while True:
            self._stirred.clear()
            doubtful = self._look()
            if self._changes != told:
                told = self._changes
                changed()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settle_s if doubtful else self._list_every_s):
                    await self._stirred.wait()

    async def _watch(self) -> NoReturn:
        while True:
            watched = _identity(self._directory)
            if watched is not None:
                # What changed before the kernel was asked is seen by one more look.
                asyncio.get_running_loop().call_later(WATCH_BEGUN_S, self._stirred.set)
                await self._watch_one(watched)
            await asyncio.sleep(min(IDENTITY_EVERY_MS / 1000, self._list_every_s))
            self._stirred.set()

    async def _watch_one(self, watched: tuple[int, int]) -> None:
        """Until the folder of this name is another one, or none."""
        try:
            async for stirrings in awatch(
                self._directory,
                watch_filter=self._concerns_us,
                debounce=4 * STEP_MS,
                step=STEP_MS,
                rust_timeout=IDENTITY_EVERY_MS,
                yield_on_timeout=True,
            ):
                if stirrings:
                    self._stirred.set()
                if _identity(self._directory) != watched:
                    return
        except OSError as error:
            self._log.warning(
                "the kernel does not tell changes of the folder; it is listed every second", reason=error.strerror
            )

    def _concerns_us(self, change: Change, path: str) -> bool:
        names = Path(os.path.relpath(path, self._directory)).parts
        # `..data` is how a mounted ConfigMap swaps all its files at once.
        if any(name.startswith(".") and name not in (".", "..data") for name in names):
            return False
        return change != Change.modified or path.endswith((*SUFFIXES, "..data"))

    def _look(self) -> bool:
        """Take in what changed. True: something is in doubt, look again in a moment."""
        doubtful = self._take_stock()
        if self._stale:
            doubtful |= self._settle_world()
        return doubtful

    def _take_stock(self) -> bool:
        listing = list_files(self._directory)
        if listing is None:
            listing = Listing(unreadable={"/": "no such folder; what it held goes on being served"})
        if listing.unreadable != self._unreadable:
            self._unreadable = listing.unreadable
            self._stale = True
        doubtful = [self._look_at(file, stamp) for file, stamp in listing.files.items()]
        gone = [file for file in self._inventory.files() | self._seen.keys() if file not in listing.files]
        doubtful += [self._miss(file) for file in gone if not listing.hides(file) and "/" not in listing.unreadable]
        for file in listing.files:
            self._missing.pop(file, None)
        return any(doubtful)

    def _settle_world(self) -> bool:
        world = self._inventory.world()
        self._doubted = believe(self._world.manifests.keys(), world.manifests.keys(), self._doubted)
        if self._doubted is not None:
            self._take_stock()
            world = self._inventory.world()
            self._doubted = believe(self._world.manifests.keys(), world.manifests.keys(), self._doubted)
        if self._doubted is not None:
            return True
        unreadable = [Problem(Place(self._shown(name), 1), why) for name, why in self._unreadable.items()]
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        first_seen = self._inventory.first_seen(world.manifests, now)
        self._world = replace(world, problems=(*world.problems, *unreadable), first_seen=first_seen)
        self._stale = False
        self._changes += 1
        return False

    def _shown(self, name: str) -> str:
        return str(self._directory) if name == "/" else name.rstrip("/")

    def _look_at(self, file: str, stamp: Stamp) -> bool:
        seen = self._seen.get(file)
        if seen is not None and seen.sure and seen.stamp == stamp:
            return False
        try:
            payload, stamp, still = self._opened(file)
        except FileNotFoundError:
            return True
        except OSError as error:
            return self._refuse(file, error)
        digest = hashlib.sha256(payload).digest()
        if seen is None or seen.digest != digest:
            reading = read_documents(file, payload)
            if not still and (reading.problems or self._inventory.lacks(file, reading)):
                return True
            self._take(file, reading)
        self._seen[file] = _Seen(stamp, digest, still)
        return not still

    def _opened(self, file: str) -> tuple[bytes, Stamp, bool]:
        """Content, stamp, and whether nobody seems to be writing it just now."""
        with (self._directory / file).open("rb") as opened:
            before = os.fstat(opened.fileno())
            payload = opened.read(MOST_BYTES + 1)
            after = os.fstat(opened.fileno())
        age_s = time.time() - after.st_mtime
        patience_s = self._settle_s if payload.strip() else EMPTY_LONGER * self._settle_s
        still = Stamp.of(before) == Stamp.of(after) and not 0 <= age_s < patience_s
        return payload, Stamp.of(before), still

    def _take(self, file: str, reading: Reading) -> None:
        self._inventory.read(file, reading)
        self._stale = True
        for problem in reading.problems:
            self._log.warning("a manifest cannot be read", place=str(problem.place), reason=problem.message)
        if reading.passed_over:
            self._log.debug("passed over what is not ours", file=file, objects=reading.passed_over)

    def _refuse(self, file: str, error: OSError) -> bool:
        """Tried again at each look: mending a file's permissions changes no stamp."""
        why = said(error).encode()
        seen = self._seen.get(file)
        if seen is None or seen.digest != why:
            self._take(file, Reading(problems=(Problem(Place(file, 1), said(error)),)))
        self._seen[file] = _Seen(Stamp(0, 0, 0), why, False)
        return False

    def _miss(self, file: str) -> bool:
        now = time.monotonic()
        if now - self._missing.setdefault(file, now) < self._settle_s:
            return True
        del self._missing[file]
        self._seen.pop(file, None)
        self._inventory.gone(file)
        self._stale = True
        return False


def _identity(directory: Path) -> tuple[int, int] | None:
    try:
        found = directory.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
