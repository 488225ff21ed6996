"""The real log in a folder of memory, whose disk and whose process can fail."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byway_contract.records import Record
from byway_proxy.meter.framing import frames
from byway_proxy.meter.log import Log, LogFull
from sim.truth import Truth

DEAD = LogFull("its process is dead")


class WatchedLog(Log):
    """Every record is told to the truth; the world does what its thread would."""

    def __init__(self, directory: Path, truth: Truth, **settings: Any) -> None:
        self._truth = truth
        super().__init__(directory, **settings)

    def append(self, record: Record) -> int:
        seq = super().append(record)
        self._truth.writes(self.source, seq, record)
        return seq

    def _keep_syncing(self) -> None:
        return

    def die(self) -> None:
        """The process is gone: its files stay as they are, and it can do nothing to them any more."""
        for segment in (*self._segments, *self._retired, self._active):
            if segment.fd >= 0:
                os.close(segment.fd)
                segment.fd = -1
        self._reader.close()
        os.close(self._lock)
        self.append = _refuse  # type: ignore[method-assign] # a dead process's `finally` must not write
        self.sync = self.close = lambda: None  # type: ignore[method-assign] # the same

    def tear(self, dice: Callable[[], float]) -> int:
        """After `die`: a power failure takes what was not synced. The last seq that is left."""
        last = self.synced
        for segment in list(self._segments):
            if segment.last <= self.synced or not segment.path.exists():
                continue
            data = segment.path.read_bytes()[: segment.size]
            safe, seq = 0, segment.first - 1
            for behind, _ in frames(data):
                if seq >= self.synced:
                    break
                safe, seq = behind, seq + 1
            cut = safe + int(dice() * (len(data) - safe + 1))
            os.truncate(segment.path, cut)
            kept = segment.first - 1 + sum(1 for _ in frames(data[:cut]))
            last = max(last, kept)
            if kept < segment.last:
                for later in self._segments:
                    if later.first > segment.first:
                        later.path.unlink(missing_ok=True)
                break
        return last


def _refuse(record: Record) -> int:
    raise DEAD
