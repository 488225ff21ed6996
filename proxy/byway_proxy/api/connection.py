"""One client's connection: aiohttp's, with our manners towards strangers, and a shorter way for the usual request.

aiohttp reads what arrives. A request that came whole, and alone, on a connection that waits for one, is answered by
a single task, without aiohttp's own task, request and writer objects (155 -> 146 µs a request). Whatever else may
come (a body in pieces, requests on top of each other, an upgrade, garbage) goes aiohttp's way, and both end in the
same handler. Meanwhile aiohttp's task goes on waiting for the next request, so that everything else of its life
holds: the keep-alive timer, shutting down, closing.

    idle --whole request--> ours ------------------answered--> idle
      |                       +--another one came meanwhile--> aiohttp's
      +---anything else-----> aiohttp's --answered--> idle

This leans on private names of aiohttp's: `SHAPE` lists them, a test looks for them in the installed version, and
where one is missing every request goes aiohttp's way.

Ours are: what is garbage is answered in our words, and what is unread is not kept for ever.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

from byway_proxy.api.errors import ApiError
from byway_proxy.api.reply import Reply
from byway_proxy.carry.outlet import JSON, ClientGone
from byway_proxy.carry.turn import Turn

# From here on an answer is sent at once: what the transport buffers then says whether the client keeps up.
LARGE = 16 * 1024

SHAPE = frozenset(
    {"_waiter", "_handler_waiter", "_messages", "_request_in_progress", "_keepalive_handle", "_keepalive_timeout"}
    | {"_next_keepalive_close_time", "_close", "_force_close", "_process_keepalive", "_reading_paused", "_parser"}
)
SHAPE_OF_BODIES = frozenset({"_buffer", "_buffer_offset", "_exception"})
_KNOWN = all(hasattr(RequestHandler, name) for name in SHAPE)
_BODIES_KNOWN = all(hasattr(StreamReader, name) for name in SHAPE_OF_BODIES)

Serve = Callable[[RawRequestMessage, StreamReader, "Connection"], Coroutine[Any, Any, Reply]]
"""The one handler. It raises nothing but CancelledError."""


def all_of(content: StreamReader) -> bytes:
    """A body that is here whole, and that nobody has begun to read."""
    if not _BODIES_KNOWN or content._exception is not None or content._buffer_offset:
        return content.read_nowait(-1)
    return b"".join(content._buffer)  # of one piece this is the piece itself


class Listener(web.Server):
    """aiohttp's server, with our connections."""

    def __init__(self, serve: Serve, *, unread_s: float, **how: Any) -> None:
        self._serve = serve
        self._unread_s = unread_s
        self._turn = Turn(asyncio.get_running_loop())
        super().__init__(self._aiohttps_way, **how)  # type: ignore[arg-type] # a Reply has what it asks of a response

    def __call__(self) -> RequestHandler:
        return Connection(self, self._serve, self._turn, self._unread_s, loop=self._loop, **self._kwargs)

    async def _aiohttps_way(self, request: web.BaseRequest) -> Reply:
        connection = request.protocol
        assert isinstance(connection, Connection)
        reply = await self._serve(request._message, request.content, connection)
        if not reply.keep_alive:
            connection.flush()  # aiohttp closes it now
        # Else it goes out with the turn: before it, aiohttp is ready to have the next request taken the short way.
        return reply


class Connection(RequestHandler):
    __slots__ = ("_idle", "_outgoing", "_serve", "_task", "_turn", "_unread_s", "keeps_up", "on_drained")

    def __init__(self, manager: web.Server, serve: Serve, turn: Turn, unread_s: float, **how: Any) -> None:
        super().__init__(manager, **how)
        self._serve = serve
        self._unread_s = unread_s
        self._turn = turn
        self._outgoing: list[bytes] = []
        """To be sent when this turn ends."""
        self.keeps_up = True
        """The client reads what it is sent."""
        self._task: asyncio.Task[None] | None = None
        """Answers a request that aiohttp's task knows nothing of."""
        self._idle: asyncio.Future[None] | None = None
        """What aiohttp's task waits on, while it is not to be woken."""
        self.on_drained: Callable[[], None] | None = None

    # What an answer asks.

    def send(self, data: bytes) -> None:
        """Together with what else this turn sends. Raises ClientGone."""
        transport = self.transport
        if transport is None or transport.is_closing():
            raise ClientGone("the client has left")
        outgoing = self._outgoing
        if not outgoing:
            self._turn.at_end(self)
        outgoing.append(data)
        if len(data) > LARGE:
            self.flush()

    def flush(self) -> None:
        outgoing, transport = self._outgoing, self.transport
        if outgoing and transport is not None and not transport.is_closing():
            transport.write(outgoing[0] if len(outgoing) == 1 else b"".join(outgoing))
        outgoing.clear()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    # What the server asks when a request is answered.

    def owes(self) -> bool:
        """Of its last answer, anything that is unread."""
        self.flush()
        transport = self._alive()
        return transport is not None and transport.get_write_buffer_size() > 0

    async def until_read(self) -> None:
        """Wait until the client has taken everything; not for ever, since it lies in our memory."""
        self.flush()
        transport = self._alive()
        if transport is None:
            return
        read = asyncio.Event()
        self.on_drained = read.set
        transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(self._unread_s):
                if self.writing_paused:
                    await read.wait()
        except TimeoutError:
            transport.abort()
        finally:
            self.on_drained = None
            if not transport.is_closing():
                transport.set_write_buffer_limits()

    # What the loop calls.

    def data_received(self, data: bytes) -> None:
        idle = self._waiter if _KNOWN else None
        if idle is None or self._messages:
            super().data_received(data)
            return
        self._waiter = None  # so that nobody is woken for what may be ours
        RequestHandler.data_received(self, data)  # `super()` makes an object each time
        self._waiter = idle
        if self._messages and not idle.done():
            self._begin(idle)

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self._task is not None:
            self._task.cancel()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.keeps_up = False

    def resume_writing(self) -> None:
        super().resume_writing()
        self.keeps_up = True
        if self.on_drained is not None:
            self.on_drained()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Said at the end of every body, where nothing was paused: passed over then."""
        if resume_parser or not _KNOWN or self._reading_paused:
            super().resume_reading(resume_parser)

    # What the listener calls, and aiohttp.

    def force_close(self) -> None:
        """Closing waits for a client to take the rest: not for ever either."""
        self.flush()
        transport = self._alive()
        unread = transport.get_write_buffer_size() if transport is not None else 0
        super().force_close()
        if transport is not None and unread:
            self._loop.call_later(self._unread_s, transport.abort)

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        await super().shutdown(timeout)
        if self._task is not None:
            self._task.cancel()

    # Their pieces.

    def _begin(self, idle: asyncio.Future[None]) -> None:
        messages, parser = self._messages, self._parser
        message, content = messages[0]
        alone = len(messages) == 1 and not self._upgraded
        if not alone or not content.is_eof() or type(message) is not RawRequestMessage or parser is None:
            idle.set_result(None)
            return
        messages.clear()
        parser.message_consumed()
        self._waiter, self._idle = None, idle
        self._request_in_progress = True
        self._task = self._loop.create_task(self._answer(message, content))

    async def _answer(self, message: RawRequestMessage, content: StreamReader) -> None:
        keep_alive = False
        try:
            reply = await self._serve(message, content, self)
            keep_alive = reply.keep_alive
        finally:
            self._task = None
            self._request_in_progress = False
            waiter = self._handler_waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
            if keep_alive and not self._close and not self._force_close:
                self._go_on()
            else:
                self._wake_aiohttp()
                self.force_close()

    def _go_on(self) -> None:
        """Wait for the next request, as aiohttp does after an answer of its own."""
        self._next_keepalive_close_time = closing = self._loop.time() + self._keepalive_timeout
        if self._keepalive_handle is None:
            self._keepalive_handle = self._loop.call_at(closing, self._process_keepalive)
        self._waiter, self._idle = self._idle, None
        if self._messages and self._waiter is not None:
            self._waiter.set_result(None)

    def _wake_aiohttp(self) -> None:
        """To end: its task is waiting, and nothing will come."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    # What aiohttp says to strangers, in our own words.

    def handle_error(  # what a stranger sent is neither logged nor sent back
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
        error = ApiError(status, f"this is not a request that HTTP/1.1 allows: {reason}")
        reply = Reply(self, chunked=False, head_only=request.method == "HEAD", keep_alive=False)
        with suppress(ClientGone):
            reply.whole(status, JSON, error.body())
        self.flush()
        return reply  # type: ignore[return-value] # it has what aiohttp asks of a response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Said by `handle_error`, to the one whom it concerns."""

    def _alive(self) -> asyncio.Transport | None:
        transport = self.transport  # no `isinstance`: uvloop's is no subclass of what it acts as
        return None if transport is None or transport.is_closing() else transport
