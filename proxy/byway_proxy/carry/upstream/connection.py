"""One socket to a provider: it carries one exchange at a time, and knows when it may carry another.

    fresh ──send──► busy ──whole answer, nothing behind it──► idle ──send──► busy …
                      └──anything else──► gone                  └──a byte, EOF, too old──► gone

No task, timer or future of its own: the loop calls, we hand on.
"""

import asyncio
import ssl
from typing import TYPE_CHECKING, Protocol, cast

from byway_proxy.carry.turn import Turn
from byway_proxy.carry.upstream.failures import Failure, Malformed
from byway_proxy.carry.upstream.origins import Origin
from byway_proxy.carry.upstream.parsing import Limits, Parser

if TYPE_CHECKING:
    from byway_proxy.carry.upstream.exchange import Exchange

# Up to here a copy is cheaper than a second segment; beyond it, what the transport buffers stays near this.
ONE_WRITE = 64 * 1024
# Node.js and nginx close at the second they name; leave before they do.
KEEP_MARGIN_S = 1.0


class Owner(Protocol):
    """Who keeps the connections."""

    turn: Turn

    def made(self, connection: "Connection") -> None: ...

    def spent(self, connection: "Connection") -> None:
        """Its exchange ended well, and it may be used again."""

    def lost(self, connection: "Connection") -> None: ...


class Connection(asyncio.Protocol):
    __slots__ = (
        "_gone",
        "_limits",
        "_owner",
        "_paused",
        "_transport",
        "_unsent",
        "_waiting",
        "_write_paused",
        "best_before",
        "exchange",
        "origin",
        "outlived",
        "parser",
    )

    def __init__(
        self,
        limits: Limits,
        origin: Origin,
        owner: "Owner",
    ) -> None:
        self.origin = origin
        self._limits = limits
        self._owner = owner
        self._transport: asyncio.Transport | None = None
        self._unsent: memoryview | None = None
        self._waiting = b""
        """To be sent when this turn ends."""
        self._paused = self._write_paused = self._gone = False
        self.exchange: Exchange | None = None
        self.parser = Parser(limits)
        self.best_before = 0.0
        """Loop time, while idle."""
        self.outlived = False
        """It was dialled under rules that are no more: what it carries may end, and nothing more is sent on it."""

    # What an exchange and the pool ask.

    def usable(self, now: float) -> bool:
        transport = self._transport
        return transport is not None and now < self.best_before and not (transport.is_closing() or self.outlived)

    def rest(self, now: float, idle_s: float) -> bool:
        """It is idle, and stays fresh for `idle_s` or for what the provider's Keep-Alive says: if at all."""
        keep_s = self.parser.keep_s
        self.best_before = best_before = now + (idle_s if keep_s is None else min(idle_s, keep_s - KEEP_MARGIN_S))
        return now < best_before

    def send(self, exchange: "Exchange", head: bytes, body: bytes) -> None:
        transport = self._transport
        assert self.exchange is None
        if transport is None or transport.is_closing():  # closed by the provider as soon as it was open
            exchange.sent = False
            exchange.broke(Failure("eof", "the provider closed the connection at once"))
            return
        self.exchange = exchange
        self.parser.expect(bodiless=head.startswith(b"HEAD "))
        if len(body) <= ONE_WRITE:
            self._waiting = head + body
            self._owner.turn.at_end(self)
        else:
            transport.write(head)
            self._unsent = memoryview(body)
            self._send_more()

    def flush(self) -> None:
        """The end of the turn in which something was to be sent."""
        waiting, self._waiting = self._waiting, b""
        transport = self._transport
        if waiting and transport is not None and not transport.is_closing():
            transport.write(waiting)

    def pause(self) -> None:
        if not self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def abort(self) -> None:
        """Close at once and tell nobody."""
        self.exchange = None
        self._unsent = None
        self._waiting = b""
        if self._transport is not None:
            self._transport.abort()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods alone
        if not self._gone:  # TLS may end before we are told that it began
            self._owner.made(self)

    def data_received(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None:  # bytes nobody asked for
            self.abort()
            return
        exchange.answered = True
        parser = self.parser
        try:
            parser.feed(data)
        except Malformed as error:
            self._fail(Failure("malformed", str(error)))
            return
        if not parser.head_done:
            return
        fresh = not exchange.status
        if fresh:
            exchange.take_head(parser.status, parser.headers, parser.by_name)
        pieces = parser.pieces
        if len(pieces) == 1:
            body = pieces.pop()
        else:
            body = b"".join(pieces)
            pieces.clear()
        if parser.complete:
            self._end(exchange)
            exchange.finish(body)
            return
        if exchange.take_body(body) > self._limits.held_bytes:
            self.pause()
        if fresh:
            exchange.wake()

    def eof_received(self) -> None:
        """Ends an answer that ends with the connection, if it is proven that nobody cut it; else, breaks it."""
        exchange = self.exchange
        if exchange is None:
            return
        if self.parser.head_done and self.parser.framing == "until_eof" and self._eof_is_proven():
            self.abort()
            exchange.finish(b"")
        else:
            self._broke(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.exchange is not None:
            self._broke(exc)
        self._transport = None
        self._gone = True
        self.parser.close()
        self._owner.lost(self)

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        self._send_more()

    # Their pieces.

    def _send_more(self) -> None:
        transport = self._transport
        while self._unsent and not self._write_paused and transport is not None and not transport.is_closing():
            piece, self._unsent = self._unsent[:ONE_WRITE], self._unsent[ONE_WRITE:]
            transport.write(piece)

    def _end(self, exchange: "Exchange") -> None:
        transport = self._transport
        assert transport is not None
        # An answer that came before the whole question leaves bytes in between that would belong to the next one.
        whole = not self._unsent and not self._waiting and not transport.get_write_buffer_size()
        if self.parser.reusable and whole and not transport.is_closing():
            self.exchange = None
            self._unsent = None
            if self._paused:
                self.resume()
            self._owner.spent(self)
        else:
            self.abort()

    def _broke(self, exc: Exception | None) -> None:
        exchange = self.exchange
        assert exchange is not None
        if exchange.answered:
            self._fail(Failure("cut", "the connection ended in the middle of the answer"))
        elif exc is not None:
            kind = type(exc).__name__
            self._fail(Failure("reset", f"the connection broke before any byte of an answer ({kind})"))
        else:
            self._fail(Failure("eof", "the connection was closed before any byte of an answer"))

    def _fail(self, failure: Failure) -> None:
        exchange = self.exchange
        assert exchange is not None
        self.abort()
        exchange.broke(failure)

    def _eof_is_proven(self) -> bool:
        """Over TLS only a close_notify proves the end: anyone on the path can send a FIN."""
        assert self._transport is not None
        tls: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if tls is None:
            return True
        try:
            return tls.read(1) == b""
        except ssl.SSLZeroReturnError:
            return True
        except (ssl.SSLError, OSError):
            return False
