"""Where an answer goes: what carrying asks of whoever holds the client's connection."""

from collections.abc import Callable
from typing import Protocol

# What an answer is, as header lines.
JSON = b"Content-Type: application/json\r\n"
EVENTS = b"Content-Type: text/event-stream\r\nCache-Control: no-cache\r\nX-Accel-Buffering: no\r\n"


class ClientGone(ConnectionError):
    """Nobody reads any more, or too slowly to be waited for."""


class Outlet(Protocol):
    """Either `whole`, or `open` and then `send` until `end`. Each raises ClientGone."""

    started: bool
    """A byte of an answer is on its way: its status cannot be taken back."""
    on_drained: Callable[[], None] | None

    def whole(self, status: int, headers: bytes, body: bytes) -> None: ...

    def open(self, headers: bytes, first: bytes = b"") -> None: ...

    def send(self, data: bytes) -> bool: ...

    def end(self, last: bytes = b"") -> None: ...

    def abort(self) -> None: ...
