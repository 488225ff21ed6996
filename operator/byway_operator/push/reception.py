"""Take a proxy in and carry its connection to its end. What it is given, and what its words mean, `push` knows.

Each connection's two tasks, one that writes and one that listens, belong to the request that brought it.
"""

import asyncio
from typing import Protocol

from aiohttp import ClientError, WSCloseCode, WSMsgType, web
from byway_contract.stream import SUBPROTOCOL, FromProxy, Hello, Pod, StreamError, decode_from_proxy
from byway_process.logs import Log

from byway_operator.push.door import Identify, Stranger, UnwelcomeError, first_words, turned_away
from byway_operator.push.line import Line
from byway_operator.push.settings import PushSettings


class Host(Protocol):
    """Who gives the tables."""

    def closed(self) -> web.Response | None:
        """What is answered while nobody is let in; None: come in."""

    def seated(self, ws: web.WebSocketResponse, hello: Hello) -> Line: ...

    def unseated(self, line: Line) -> None: ...

    def heard(self, line: Line, message: FromProxy) -> None: ...


class Reception:
    def __init__(self, host: Host, log: Log, settings: PushSettings, identify: Identify) -> None:
        self._host = host
        self._log = log
        self._settings = settings
        self._identify = identify

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """GET /v1/stream."""
        closed = self._host.closed()
        if closed is not None:
            return closed
        proven = await self._identify(request)
        if isinstance(proven, Stranger):
            if proven.status != 503:  # whoever cannot tell says why, once
                self._log.warning("a stranger dialled the control stream", status=proven.status, why=proven.message)
            return turned_away(proven)
        ws = web.WebSocketResponse(
            protocols=(SUBPROTOCOL,),
            compress=False,  # a table is compressed once, for all
            receive_timeout=self._settings.dead_s,
            max_msg_size=self._settings.max_message_bytes,
        )
        await ws.prepare(request)
        code, message = await self._serve(ws, proven)
        if not await self._said_goodbye(ws, code, message) and request.transport is not None:
            # Whoever reads nothing would otherwise keep what it was sent in our memory.
            request.transport.abort()
        return ws

    async def _serve(self, ws: web.WebSocketResponse, proven: Pod | None) -> tuple[int, str]:
        """Until the stream is over. Returns what to close it with."""
        try:
            hello = await first_words(ws, proven, self._settings.hello_s)
        except UnwelcomeError as unwelcome:
            self._log.warning("a proxy is not welcome", code=unwelcome.code, why=unwelcome.message)
            return unwelcome.code, unwelcome.message
        line = self._host.seated(ws, hello)
        try:
            async with asyncio.TaskGroup() as tasks:
                both = [tasks.create_task(self._write(line)), tasks.create_task(self._listen(ws, line))]
                await line.over.wait()
                for task in both:
                    task.cancel()
        finally:
            self._host.unseated(line)
        return line.close_with

    async def _said_goodbye(self, ws: web.WebSocketResponse, code: int, message: str) -> bool:
        try:
            async with asyncio.timeout(self._settings.close_s):
                await ws.close(code=code, message=message.encode()[:120])
        except (TimeoutError, ClientError, ConnectionError):
            return False
        except asyncio.CancelledError:
            # Whoever was cancelled while it waited to write leaves a cancelled future in aiohttp's protocol, and
            # the next to write meets it, though nobody cancelled that one.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return False
        return True

    async def _write(self, line: Line) -> None:
        try:
            await line.write()
        except (ClientError, ConnectionError):
            line.end(WSCloseCode.ABNORMAL_CLOSURE, "it left")
        except TimeoutError:
            line.end(WSCloseCode.POLICY_VIOLATION, "it reads nothing")

    async def _listen(self, ws: web.WebSocketResponse, line: Line) -> None:
        while not line.over.is_set():
            try:
                frame = await ws.receive()
            except TimeoutError:
                line.end(WSCloseCode.ABNORMAL_CLOSURE, "nothing heard")
                return
            if frame.type is not WSMsgType.TEXT:
                code = WSCloseCode.UNSUPPORTED_DATA if frame.type is WSMsgType.BINARY else WSCloseCode.OK
                line.end(code, "want text")
                return
            try:
                self._host.heard(line, decode_from_proxy(frame.data))
            except StreamError:
                self._log.warning("a proxy sends what is not of this protocol", proxy=line.hello.pod.name)
                line.end(WSCloseCode.PROTOCOL_ERROR, "not a message of this protocol")
