"""One answer to one client, written as prepared bytes.

aiohttp parses the request and owns the connection; its response objects are not used, because building one costs
more than everything else an answer takes (412 → 161 µs a request, together with our own client upstream).
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Protocol

from aiohttp import web

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}
# What most chunks of a stream begin with, written once.
_SIZES = [b"%x\r\n" % size for size in range(1024)]


class Connection(Protocol):
    """A client's, as far as an answer needs it."""

    keeps_up: bool
    on_drained: Callable[[], None] | None

    def send(self, data: bytes) -> None:
        """Raises ClientGone."""

    def abort(self) -> None: ...


class Reply:
    """Either `whole`, or `open` and then `send` until `end`. aiohttp takes it for its response object."""

    __slots__ = ("_chunked", "_connection", "_head_only", "keep_alive", "started")

    def __init__(self, connection: Connection, *, chunked: bool, head_only: bool, keep_alive: bool) -> None:
        """`chunked`: the client knows that coding; `head_only`: it asked with HEAD."""
        self._connection = connection
        self._chunked = chunked
        self._head_only = head_only
        self.keep_alive = keep_alive
        self.started = False
        """A byte of an answer is on its way: its status cannot be taken back."""

    async def prepare(self, _request: web.BaseRequest) -> None:
        """aiohttp's part in answering; all of it is written already."""

    async def write_eof(self) -> None:
        """As `prepare`."""

    def whole(self, status: int, headers: bytes, body: bytes) -> None:
        connection = b"" if self.keep_alive else b"Connection: close\r\n"
        head = b"HTTP/1.1 %d %s\r\n%s%sContent-Length: %d\r\n\r\n" % (
            status, _REASONS.get(status, b"Error"), headers, connection, len(body),
        )  # fmt: skip
        self._connection.send(head if self._head_only else head + body)
        self.started = True

    def open(self, headers: bytes, first: bytes = b"") -> None:
        """Begin a stream: 200, and its first bytes in the same packet."""
        if not self._chunked:
            self.keep_alive = False
        framing = b"Transfer-Encoding: chunked\r\n" if self._chunked else b""
        connection = b"" if self.keep_alive else b"Connection: close\r\n"
        self._write(b"HTTP/1.1 200 OK\r\n" + headers + framing + connection + b"\r\n" + self._framed(first))

    def send(self, data: bytes) -> bool:
        """More of an open stream; whether the client keeps up. If not, wait for `on_drained` before sending more.

        Raises ClientGone.
        """
        connection, size = self._connection, len(data)
        if self._chunked and 0 < size < len(_SIZES):  # most chunks: framed here, without another call
            data = b"".join((_SIZES[size], data, b"\r\n"))
        else:
            data = self._framed(data)
        connection.send(data)
        return connection.keeps_up

    @property
    def on_drained(self) -> Callable[[], None] | None:
        return self._connection.on_drained

    @on_drained.setter
    def on_drained(self, then: Callable[[], None] | None) -> None:
        """Called when a client that did not keep up has caught up."""
        self._connection.on_drained = then

    def end(self, last: bytes = b"") -> None:
        self._write(self._framed(last) + (b"0\r\n\r\n" if self._chunked else b""))

    def abort(self) -> None:
        """Cut the connection: the only honest end for an answer that cannot be ended well."""
        self.keep_alive = False
        self._connection.abort()

    def _framed(self, data: bytes) -> bytes:
        if not self._chunked or not data:
            return data
        return b"".join((b"%x\r\n" % len(data), data, b"\r\n"))

    def _write(self, data: bytes) -> None:
        self._connection.send(data)
        self.started = True
