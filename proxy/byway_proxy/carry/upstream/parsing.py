"""One connection's answers, from bytes. No I/O: bytes in, a head, body pieces and the proven end out.

llhttp reads the grammar. What it leaves to its user is here: the sums that bound a head, which framing we accept,
answers that precede the answer (1xx), trailers, and bytes after the end.

    framing          ends with                       may be reused
    none (204 …)     the head                        yes
    length           the n-th byte                   yes
    chunked          the last chunk and trailers     yes, if nothing follows
    until EOF        a clean EOF: the caller's word  no
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import httptools

from byway_proxy.carry.upstream.failures import Malformed

Headers = list[tuple[bytes, bytes]]
Framing = Literal["none", "length", "chunked", "until_eof"]


@dataclass(frozen=True, slots=True)
class Limits:
    head_bytes: int = 64 * 1024
    """All heads of one answer (1xx too), and as much again for chunk extensions or trailers without body bytes."""
    header_lines: int = 200
    interim_answers: int = 8
    """1xx before the answer. 100 and 103 are all there is."""
    held_bytes: int = 256 * 1024
    """Body nobody has read yet, when reading from the socket pauses."""


class Parser:
    """`expect`, then `feed` until `complete`; then `expect` again if `reusable`."""

    __slots__ = (
        "_bodiless",
        "_bytes",
        "_end",
        "_interim",
        "_interims",
        "_limits",
        "_lines",
        "_long",
        "_parser",
        "_poisoned",
        "_tail",
        "by_name",
        "complete",
        "framing",
        "head_done",
        "headers",
        "keep_s",
        "on_body",
        "on_header",
        "pieces",
        "reusable",
        "status",
    )

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.pieces: list[bytes] = []
        # llhttp's callback is the list's own `append`: no Python is run for a chunk, and little for a header line.
        self.on_body: Callable[[bytes], None] = self.pieces.append
        self._lines: Headers = []
        """Of the head, and then of the trailers."""
        note = self._lines.append
        self.on_header: Callable[[bytes, bytes], None] = lambda name, value: note(
            (name.lower(), value.rstrip())  # llhttp keeps the blanks behind
        )
        self.expect(bodiless=False)
        self._parser: httptools.HttpResponseParser = httptools.HttpResponseParser(self)

    def expect(self, *, bodiless: bool) -> None:
        """The next answer; `bodiless` if it answers a HEAD."""
        self._bodiless = bodiless
        self._bytes = self._interims = 0
        self._end: int | None = None
        self._tail = b""
        self._lines.clear()
        self._long = self._interim = self._poisoned = self.head_done = self.complete = self.reusable = False
        self.status = 0
        self.headers: Headers = []
        self.by_name: dict[bytes, bytes] = {}
        self.framing: Framing = "none"
        self.keep_s: float | None = None

    def feed(self, data: bytes) -> None:
        """Raises Malformed. After `complete` nothing raises any more; it only ceases to be `reusable`."""
        if not self.head_done:
            if not self._bytes and data[0] != 72:  # "H"; llhttp also takes RTSP and blank lines
                raise Malformed("the answer does not begin with HTTP/1")
            self._long = self._bytes + len(data) > self._limits.head_bytes
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            if not self.complete:
                cause = error.__context__
                raise (cause if isinstance(cause, Malformed) else Malformed(_reason(error))) from None
            self.reusable = False
        if self.complete:
            self._look_behind(data)
            return
        # A real server (llama.cpp's) writes the end of the last chunk in pieces.
        self._tail = data if len(data) > 3 else (self._tail + data)[-4:]
        if self.pieces:
            self._bytes = 0
        else:
            self._bound_framing(len(data))

    def close(self) -> None:
        """Undo the circle between us and llhttp's callbacks, so that reference counting frees both."""
        del self._parser

    # What llhttp calls.

    def on_message_begin(self) -> None:
        if self.complete:  # the first byte of a second answer: it would become the next caller's
            self._poisoned = True

    def on_headers_complete(self) -> None:
        if self.head_done:  # a second answer
            raise Malformed("an answer to a question nobody asked")
        lines, parser = self._lines, self._parser
        if len(lines) > self._limits.header_lines:
            raise self._too_many_lines()
        status = parser.get_status_code()
        if parser.get_http_version() not in ("1.1", "1.0"):
            raise Malformed("the answer is not HTTP/1.1 or 1.0")
        if self._long:
            self._bound()
        if status < 200:
            self._skip(status)
            return
        self.status = status
        self.headers = lines.copy()
        # Where a name comes twice, the first counts.
        lines.reverse()
        by_name = self.by_name = dict(lines)
        lines.clear()
        self.framing = self._framed(status, by_name)
        if b"keep-alive" in by_name:
            self.keep_s = _keep_alive_s(by_name[b"keep-alive"])
        self.head_done = True
        if self._bodiless:
            # llhttp would now take the next answer for this one's body: end here, and do not reuse.
            self._end, self.complete = 0, True

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif not self.complete:
            self._end = len(self.pieces)
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    # Their pieces.

    def _bound_framing(self, size: int) -> None:
        """So many bytes more, and none of the body among them."""
        self._bytes += size
        if self._bytes > self._limits.head_bytes:
            raise Malformed(f"{self._limits.head_bytes} bytes without a byte of the body")
        if len(self._lines) > self._limits.header_lines:
            raise self._too_many_lines()

    def _skip(self, status: int) -> None:
        self._interims += 1
        if status < 100 or status == 101 or self._interims > self._limits.interim_answers:
            raise Malformed(
                f"the answer's status is {status}" if status < 102 else "too many 1xx before the answer"
            )
        self._lines.clear()
        self._interim = True

    def _too_many_lines(self) -> Malformed:
        return Malformed(f"more than {self._limits.header_lines} header lines")

    def _bound(self) -> None:
        total = sum([len(name) + len(value) + 4 for name, value in self._lines])
        if total > self._limits.head_bytes:
            raise Malformed(f"the answer's head is larger than {self._limits.head_bytes} bytes")

    def _framed(self, status: int, by_name: dict[bytes, bytes]) -> Framing:
        coding = by_name.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or b"content-length" in by_name:
                raise Malformed("the answer's Transfer-Encoding is not `chunked` alone")
            if sum([name == b"transfer-encoding" for name, _ in self.headers]) > 1:
                raise Malformed("the answer has two Transfer-Encodings")
        if status in (204, 304) or self._bodiless:
            return "none"
        if coding is not None:
            return "chunked"
        return "length" if b"content-length" in by_name else "until_eof"

    def _look_behind(self, data: bytes) -> None:
        """Was the end of the answer the end of `data`? llhttp skips blank lines, and does not say where it is."""
        end, pieces = self._end, self.pieces
        last = pieces[end - 1] if end else None
        if end != len(pieces):
            del pieces[end:]
        if not self.reusable or self._poisoned:
            self.reusable = False
        elif self.framing == "length" and last is not None:
            self.reusable = data.endswith(last)
        else:  # chunks, trailers and heads end with one blank line
            ending = data[-5:] if len(data) > 4 else (self._tail[-4:] + data)[-5:]
            self.reusable = ending.endswith(b"\r\n\r\n") and ending[0] not in b"\r\n"


def _reason(error: httptools.HttpParserError) -> str:
    # llhttp's reasons are constants; they quote nothing.
    return f"the answer is not HTTP: {error}"[:120]


def _keep_alive_s(value: bytes) -> float | None:
    """`timeout=5, max=100` is 5.0."""
    for part in value.split(b","):
        name, _, seconds = part.strip().partition(b"=")
        if name.lower() == b"timeout" and seconds.isdigit() and len(seconds) < 7:
            return float(seconds)
    return None
