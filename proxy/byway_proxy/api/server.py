"""The public listener: which handler answers a request, what every answer has, and what a stranger may not do.

Limits are on everything a stranger sends: the head (by aiohttp), the body (streamed, never more than its share
held), the bodies of all requests together, and the time for either.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiohttp import StreamReader, web
from aiohttp.http import HttpVersion11
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestPayloadError
from byway_process.logs import Log
from msgspec import Struct

from byway_proxy.api.connection import Connection, Listener, all_of
from byway_proxy.api.errors import ApiError
from byway_proxy.api.reply import Reply
from byway_proxy.carry.outlet import JSON, ClientGone

MIB = 1024 * 1024
VERSIONS = ((1, 1), (1, 0))
# What of a wrong request line is said back: words a person can have meant, and no stranger's bytes.
_SHOWN_PATH = re.compile(r"/[A-Za-z0-9/_.-]{0,99}")
_SHOWN_METHOD = re.compile(r"[A-Z]{1,20}")


@dataclass(frozen=True)
class Limits:
    body_bytes: int = 32 * MIB
    bodies_bytes: int = 512 * MIB
    """Of all requests being read or carried, together."""
    body_s: float = 60.0
    """For the whole body to arrive."""
    head_s: float = 10.0
    """For a head to arrive, and for a kept connection to say something."""
    unread_s: float = 60.0
    """For a client to take what is left of its answer when that is complete."""


class Received(Struct, frozen=True):
    """A request, whole."""

    path: str
    """Without `/api` and query."""
    query: str
    headers: Mapping[str, str]
    """Whose names have no case."""
    body: bytes


Handler = Callable[[Received, Reply], Awaitable[None]]
"""Answers through the Reply, or raises ApiError before it has begun to."""


class Server:
    """`routes` are exact paths by method; `GET` of a path below one that ends with `/` goes to it too."""

    def __init__(self, routes: Mapping[tuple[str, str], Handler], limits: Limits, log: Log) -> None:
        self._routes = routes
        self._paths = {path for _, path in routes}
        self._limits = limits
        self._log = log
        self._held = 0
        self.draining = False
        self.inflight = 0
        self.idle = asyncio.Event()
        self.idle.set()
        self._listener = Listener(
            self._serve,
            unread_s=limits.unread_s,
            handler_cancellation=True,
            keepalive_timeout=self._limits.head_s,
            access_log=None,
            lingering_time=2.0,
            max_line_size=16384,
            max_field_size=16384,
        )

    @property
    def protocol_factory(self) -> Callable[[], asyncio.Protocol]:
        """For `create_server`."""
        return self._listener

    @property
    def connections(self) -> int:
        """Open, idle ones among them."""
        return len(self._listener.connections)

    def close_idle(self) -> None:
        """Connections that wait for a request end now, the others after their answer."""
        self._listener.pre_shutdown()

    async def shut_down(self, within_s: float) -> None:
        """End what is left: requests under way are cut."""
        await self._listener.shutdown(within_s)

    async def _serve(self, message: RawRequestMessage, content: StreamReader, connection: Connection) -> Reply:
        method, version, path = message.method, message.version, message.path
        reply = Reply(
            connection,
            chunked=version >= HttpVersion11,
            head_only=method == "HEAD",
            keep_alive=not (message.should_close or self.draining),
        )
        if not self.inflight:
            self.idle.clear()
        self.inflight += 1
        held = 0
        try:
            if version not in VERSIONS:
                raise ApiError(400, "this is not a request of HTTP/1.1 or HTTP/1.0")
            path, _, query = path.partition("?")
            if path.startswith("/api/"):
                path = path[4:]
            handler = self._routes.get((method, path)) or self._route(method, path)
            if content.is_eof() and content.exception() is None:
                body = self._whole_body(message, content)
            else:
                body = await self._body(message, content, connection)
            held = len(body)
            self._held += held
            await handler(Received(path, query, message.headers, body), reply)
        except ApiError as error:
            self._answer_error(reply, error)
        except ClientGone:
            reply.keep_alive = False
        except Exception as error:  # a bug of ours must not cost a client its answer, nor tell it anything
            kind = type(error).__name__
            self._log.error("a request failed by our own fault", exception=kind, where=_where(error))
            self._answer_error(reply, ApiError(500, "internal error; it has been logged", "server"))
        finally:
            self._held -= held
            self.inflight -= 1
            if not self.inflight:
                self.idle.set()
        if not connection.keeps_up or (not reply.keep_alive and connection.owes()):
            await connection.until_read()  # before anything else is done for it
        return reply

    def _answer_error(self, reply: Reply, error: ApiError) -> None:
        if reply.started:
            reply.abort()
            return
        if error.status in (408, 413):
            reply.keep_alive = False  # the rest of the body is not worth reading
        try:
            reply.whole(error.status, JSON + error.headers(), error.body())
        except ClientGone:
            reply.keep_alive = False

    def _route(self, method: str, path: str) -> Handler:
        method = "GET" if method == "HEAD" else method
        handler = self._routes.get((method, path))
        if handler is None and path.count("/") > 2:
            handler = self._routes.get((method, path[: path.find("/", 4) + 1]))
        if handler is None:
            raise self._nothing_here(method, path)
        return handler

    def _nothing_here(self, method: str, path: str) -> ApiError:
        others = sorted({m for m, p in self._routes if p == path})
        if others:
            shown = method if _SHOWN_METHOD.fullmatch(method) else "this method"
            return ApiError(405, f"{shown} {path}: use {' or '.join(others)}", "invalid_request")
        shown = path if _SHOWN_PATH.fullmatch(path) else "this path"
        known = ", ".join(sorted({p.rstrip("/") for p in self._paths}))
        return ApiError(404, f"nothing at {shown}; there is: {known}", "not_found")

    def _whole_body(self, message: RawRequestMessage, content: StreamReader) -> bytes:
        if content is EMPTY_PAYLOAD:
            return b""
        if "Content-Length" not in message.headers:
            _check_coding(message.headers)
        body = all_of(content)
        if len(body) > self._limits.body_bytes:
            raise _too_large(self._limits.body_bytes)
        if self._held + len(body) > self._limits.bodies_bytes:
            raise _too_many()
        return body

    async def _body(self, message: RawRequestMessage, content: StreamReader, connection: Connection) -> bytes:
        most, headers = self._limits.body_bytes, message.headers
        length = headers.get("Content-Length")
        if length is None:
            _check_coding(headers)
        elif int(length) > most:
            raise _too_large(most)
        if "Expect" in headers and not content.is_eof():
            _invite(message, connection)
        try:
            async with asyncio.timeout(self._limits.body_s):
                return await self._slow_body(content, most)
        except TimeoutError as error:
            raise ApiError(408, f"the body did not arrive within {self._limits.body_s:g} s") from error
        except web.PayloadAccessError as error:
            raise ClientGone("the client has left") from error
        except RequestPayloadError as error:
            raise ApiError(400, "the body's encoding or framing is broken; send it again") from error

    async def _slow_body(self, content: StreamReader, most: int) -> bytes:
        body = bytearray()
        try:
            while chunk := await content.readany():
                self._held += len(chunk)
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
                if self._held > self._limits.bodies_bytes:
                    raise _too_many()
            return bytes(body)
        finally:
            self._held -= len(body)


def _check_coding(headers: Mapping[str, str]) -> None:
    if headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        raise ApiError(400, "Transfer-Encoding: of all codings only `chunked` is understood here")


def _invite(message: RawRequestMessage, connection: Connection) -> None:
    """A client that asks whether its body is wanted, before it sends it, hears yes."""
    asks = message.headers["Expect"].lower() == "100-continue" and message.version >= HttpVersion11
    if asks and connection.transport is not None:
        connection.flush()
        connection.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(most: int) -> ApiError:
    return ApiError(413, f"the body is larger than {most // MIB} MiB; send less, or have the limit raised")


def _too_many() -> ApiError:
    return ApiError(503, "too many large requests at once; try again shortly", retry_after_s=1.0)


def _where(error: BaseException) -> str:
    """File and line of the innermost frame: enough to find a bug, with nothing a caller sent in it."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{frame.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.tb_lineno}" if frame else ""
