"""Server-sent events, as bytes: cut a stream into events, and say what one says.

Only what providers of models send is needed: `data:` (several lines join), comments, and fields that are passed
over. Lines end with LF, CRLF or CR, and a stream may be cut anywhere, also between CR and LF.
"""

MOST_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLarge(ValueError):
    """A stranger sends one event without an end."""


class Splitter:
    """Bytes in, whole events out (without the blank line that ends them)."""

    __slots__ = ("_carriage", "_rest")

    def __init__(self) -> None:
        self._rest = b""
        self._carriage = False

    def feed(self, data: bytes) -> list[bytes]:
        """Raises EventTooLarge."""
        if not data:
            return []
        if self._carriage or b"\r" in data:
            data = self._without_carriage_returns(data)
        if self._rest:
            data = self._rest + data
        events = data.split(b"\n\n")
        rest = self._rest = events.pop()
        if rest and len(rest) > MOST_EVENT_BYTES:
            raise EventTooLarge(f"an event of more than {MOST_EVENT_BYTES} bytes")
        return events

    def end(self) -> bytes:
        """What is left when the stream has ended: an event whose blank line is missing, or nothing."""
        rest, self._rest = self._rest, b""
        return rest.strip(b"\n")

    def _without_carriage_returns(self, data: bytes) -> bytes:
        # A CR at the end may be half a CRLF: it counts as a line's end now, and an LF that follows is dropped.
        if self._carriage and data.startswith(b"\n"):
            data = data[1:]
        self._carriage = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def data_of(event: bytes) -> bytes | None:
    """The event's data, its lines joined; None if it carries none (a comment, a bare `event:`)."""
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    lines = [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
    return b"\n".join(lines) if lines else None
