"""Read records back in order, for shipping: from the files, so a ledger that is away costs no memory."""

import os
from collections.abc import Sequence

from byway_proxy.meter.framing import frames
from byway_proxy.meter.segment import Segment


class Reader:
    """Remembers where it stopped; anywhere else it looks for the place from the segment's beginning."""

    def __init__(self, segments: Sequence[Segment]) -> None:
        self._segments = segments
        """The log's own list, which changes."""
        self._segment: Segment | None = None
        self._fd = -1
        self._next, self._offset = 0, 0

    def read(self, first: int, last: int, most_bytes: int) -> list[bytes]:
        """Records `first` to `last`, or fewer: of one segment only, and at most `most_bytes`.

        Never none if there are; `last` must be written completely.
        """
        if last < first:
            return []
        segment = self._segment_of(first)
        if segment is not self._segment:
            self._turn_to(segment)
        if self._next != first:
            self._next, self._offset = segment.first, 0
            self._take(segment, first - segment.first, segment.size)
        return self._take(segment, min(last, segment.last) - first + 1, most_bytes)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._segment = -1, None

    def _segment_of(self, seq: int) -> Segment:
        for segment in reversed(self._segments):
            if segment.first <= seq:
                return segment
        raise LookupError(f"record {seq} is not in the log any more")

    def _turn_to(self, segment: Segment) -> None:
        self.close()
        self._fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        self._segment, self._next, self._offset = segment, segment.first, 0

    def _take(self, segment: Segment, count: int, most_bytes: int) -> list[bytes]:
        taken: list[bytes] = []
        if count < 1:
            return taken
        data = os.pread(self._fd, min(most_bytes, segment.size - self._offset), self._offset)
        start = self._offset
        for behind, payload in frames(data):
            taken.append(payload)
            self._offset = start + behind
            self._next += 1
            if len(taken) == count:
                break
        assert taken, f"record {self._next} of {segment.path} cannot be read back"
        return taken
