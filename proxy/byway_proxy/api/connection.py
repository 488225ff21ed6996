"""One connection of a stranger: what is garbage is answered in our words, and what is unread is not kept for ever.

aiohttp parses and keeps time for heads; this is where its manners are not ours.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from byway_proxy.api.errors import ApiError
from byway_proxy.api.reply import JSON, Reply
from byway_proxy.carry.outlet import ClientGone


class Listener(web.Server):
    """aiohttp's server, with connections of ours."""

    def __init__(self, *args: Any, unread_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread_s = unread_s

    def __call__(self) -> RequestHandler:
        connection = Connection(self, loop=self._loop, **self._kwargs)
        connection.unread_s = self._unread_s
        return connection


class Connection(RequestHandler):
    __slots__ = ("on_drained", "unread_s")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_drained: Callable[[], None] | None = None
        self.unread_s = 60.0

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.on_drained is not None:
            self.on_drained()

    def owes(self, keep_alive: bool) -> bool:
        """Whether so much is unread that nothing is done before it is read; of a last answer, any of it."""
        if self.writing_paused:
            return True
        transport = self._alive()
        return not keep_alive and transport is not None and transport.get_write_buffer_size() > 0

    async def until_read(self) -> None:
        """Wait until the client has taken everything; not for ever, since it lies in our memory."""
        transport = self._alive()
        if transport is None:
            return
        read = asyncio.Event()
        self.on_drained = read.set
        transport.set_write_buffer_limits(high=0)
        try:
            async with asyncio.timeout(self.unread_s):
                if self.writing_paused:
                    await read.wait()
        except TimeoutError:
            transport.abort()
        finally:
            self.on_drained = None
            if not transport.is_closing():
                transport.set_write_buffer_limits()

    def force_close(self) -> None:
        """Closing waits for a client to take the rest: not for ever either."""
        transport = self._alive()
        unread = transport.get_write_buffer_size() if transport is not None else 0
        super().force_close()
        if transport is not None and unread:
            self._loop.call_later(self.unread_s, transport.abort)

    def handle_error(  # what a stranger sent is neither logged nor sent back
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        reason = HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Error"
        error = ApiError(status, f"this is not a request that HTTP/1.1 allows: {reason}")
        reply = Reply(request, self, keep_alive=False)
        with suppress(ClientGone):
            reply.whole(status, JSON, error.body())
        return reply  # type: ignore[return-value] # it has what aiohttp asks of a response

    def log_exception(self, *args: object, **kw: object) -> None:
        """Said by `handle_error`, to the one whom it concerns."""

    def _alive(self) -> asyncio.Transport | None:
        transport = self.transport  # no `isinstance`: uvloop's is no subclass of what it acts as
        return None if transport is None or transport.is_closing() else transport
