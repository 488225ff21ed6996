"""One question to a provider and its answer, as its caller sees it.

    exchange = client.exchange(origin, head, body, connect_s=3)
    await exchange.begin()                  # the head is there
    while piece := await exchange.read():   # what has arrived
        ...
    # b"" was the proven end, and the connection is back in the pool

Whoever watches the clock or the client's socket calls `fail` from outside; there is no timer in here but the one
for a fresh connection.
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from byway_proxy.carry.upstream.failures import Failure

if TYPE_CHECKING:
    from byway_proxy.carry.upstream.client import Client
    from byway_proxy.carry.upstream.connection import Connection
    from byway_proxy.carry.upstream.origins import Origin
    from byway_proxy.carry.upstream.parsing import Headers


class Exchange:
    # As it begins; what a class says need not be said again for each request.
    _connection: "Connection | None" = None
    _opening: "asyncio.Task[Connection] | None" = None
    _waiter: "asyncio.Future[None] | None" = None
    _sink: Callable[[bytes], object] | None = None
    _failure: Exception | None = None
    _told = _finished = _lazy = False
    outlives = False
    """Whoever waits for it may be cancelled without ending it: somebody else reads on, or closes it."""
    _held = 0
    sent = answered = False
    status = 0

    def __init__(self, client: "Client", origin: "Origin", head: bytes, body: bytes, connect_s: float) -> None:
        self._client, self._origin, self._head, self._body, self._connect_s = client, origin, head, body, connect_s
        self._pieces: list[bytes] = []
        self._by_name: dict[bytes, bytes] = {}
        self.headers: Headers = []
        """Names in lower case, in the order they came. Trailers are not among them."""

    def header(self, name: bytes) -> bytes | None:
        """The first header of that (lower-case) name."""
        return self._by_name.get(name)

    @property
    def ended(self) -> bool:
        """Nothing more will come: it is whole, or broken."""
        return self._finished or self._failure is not None

    @property
    def by_name(self) -> dict[bytes, bytes]:
        """All of them, the first of each (lower-case) name."""
        return self._by_name

    async def begin(self) -> None:
        """Send, and wait for the head of the answer. Raises Failure.

        A pooled connection that turns out to be closed is replaced by a fresh one, once, as long as no byte of an
        answer was seen: the provider closed it before it read us, as far as anyone can tell.
        """
        if self._failure is not None:
            raise self._failure
        connection = self._client.take(self._origin)
        if connection is not None:
            self._ask(connection)
            if self._failure is None:
                await self._wait()
            if not self._was_stale():
                self._head_or_raise()
                return
            self._failure = None
        self._ask(await self._opened())
        if self._failure is None:
            await self._wait()
        self._head_or_raise()

    async def read(self) -> bytes:
        """All of the body that has arrived; waits only if none has. b"" is its proven end. Raises Failure."""
        while not self._pieces:
            self._raise()
            if self._finished:
                return b""
            await self._wait()
        return self._drain()

    def all_here(self, most: int) -> bytes | None:
        """The whole body, if it has come and is not longer than `most`; else `read_all` knows more."""
        if self._finished and self._failure is None and len(self._pieces) == 1 and len(self._pieces[0]) <= most:
            return self._pieces.pop()
        return None

    async def read_all(self, most: int) -> bytes:
        """The whole body. Raises Failure, `too_large` if it is longer than `most`."""
        self._lazy = True  # woken by the end, or when the socket was paused
        length = int(self._by_name.get(b"content-length", b"0"))
        pieces: list[bytes] = []
        total = 0
        while True:
            if total > most or (length > most and self._connection is not None):
                self.close()
                raise Failure("too_large", f"the answer is longer than {most} bytes", sent=True, answered=True)
            try:
                piece = await self.read()
            except asyncio.CancelledError:
                self._pieces[:0] = pieces  # for whoever reads on
                raise
            if not piece:
                break
            pieces.append(piece)
            total += len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pour(self, into: Callable[[bytes], object]) -> None:
        """Give the rest of the body to `into` as it arrives, in the loop's own call: no wake-up for a piece.

        Returns at the proven end. Raises Failure, or what `into` raised. `into` must not block; `pause` and
        `resume` hold the provider back.
        """
        if self._pieces:
            into(self._drain())
        self._raise()
        if self._finished:
            return
        self._sink = into
        try:
            await self._wait()
        finally:
            self._sink = None
        self._raise()

    def pause(self) -> None:
        """Stop reading from the provider."""
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        if self._connection is not None:
            self._connection.resume()

    def fail(self, failure: Exception) -> None:
        """From outside, at any time: end this now. The pending or the next await raises exactly `failure`."""
        self._told = True
        self._failure = failure
        self._pieces.clear()
        self._let_go()
        if self._opening is not None:
            self._opening.cancel()
        self.wake()

    def close(self) -> None:
        """No more interest. What is unfinished is aborted; what is finished is in the pool already. Idempotent."""
        if self._connection is not None or self._opening is not None or self._pieces or not self._finished:
            self.fail(
                self._failure or Failure("cut", "the exchange was closed", sent=self.sent, answered=self.answered)
            )

    # What the connection tells.

    def take_head(self, status: int, headers: "Headers", by_name: dict[bytes, bytes]) -> None:
        """What more there is in the same piece follows, then `wake`."""
        self.status, self.headers, self._by_name = status, headers, by_name

    def take_body(self, piece: bytes) -> int:
        """How many bytes nobody has read yet."""
        if not piece:
            return self._held
        sink = self._sink
        if sink is not None:
            try:
                sink(piece)
            except Exception as error:
                self.fail(error)
            return 0
        self._pieces.append(piece)
        self._held += len(piece)
        if not self._lazy or self._held > self._client.limits.held_bytes:
            self.wake()
        return self._held

    def finish(self, piece: bytes) -> None:
        self._connection = None
        self._finished = True
        if piece:
            if self._sink is not None:
                self.take_body(piece)
            else:
                self._pieces.append(piece)
        self.wake()

    def broke(self, failure: Failure) -> None:
        self._connection = None
        failure.sent, failure.answered = self.sent, self.answered
        self._failure = failure
        self.wake()

    def wake(self) -> None:
        waiter = self._waiter
        if waiter is not None:
            self._waiter = None
            if not waiter.done():
                waiter.set_result(None)

    # Their pieces.

    def _ask(self, connection: "Connection") -> None:
        self._connection = connection
        self.sent = True
        connection.send(self, self._head, self._body)

    def _was_stale(self) -> bool:
        """Gone before any byte of an answer (after one it would be `cut`), and not told to end by somebody."""
        failure = self._failure
        return isinstance(failure, Failure) and not self._told and failure.kind in ("reset", "eof")

    async def _opened(self) -> "Connection":
        opening = self._opening = self._client.open(self._origin, self._connect_s)
        try:
            connection = await opening
        except asyncio.CancelledError:
            _abandon(opening)
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Not we are cancelled, but what we wait for: by `fail`, or by the client's `close`.
            raise self._failure or Failure("reset", "we are closing", sent=self.sent) from None
        except Failure as failure:
            failure.sent = self.sent
            raise
        finally:
            self._opening = None
        if self._failure is not None:  # told so while the connection was on its way to us
            connection.abort()
            raise self._failure
        return connection

    async def _wait(self) -> None:
        waiter = self._waiter = self._client.loop.create_future()
        try:
            await waiter
        except asyncio.CancelledError:
            self._waiter = None
            if not self.outlives:
                self.close()
            raise

    def _head_or_raise(self) -> None:
        """A head that came is given out even if the connection broke since; reading will tell."""
        if self._failure is not None and (self._told or not self.status):
            raise self._failure

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _drain(self) -> bytes:
        pieces = self._pieces
        whole = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self._held = 0
        if self._connection is not None:
            self._connection.resume()
        return whole

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.abort()


def _abandon(opening: "asyncio.Task[Connection]") -> None:
    """It may have come about in the very turn in which its waiter was cancelled."""
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        opening.result().abort()
