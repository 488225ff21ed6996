"""Write one answer of the fake provider to the socket, and commit its fault at the right byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable

from fakes import wire
from fakes.connection import Connection, Request
from fakes.reply import Reply
from fakes.served import Served

GARBAGE = b'<html>\x00\xff data: {]\n\nevent: ???\n\ndata: {"choices": [\n\n'


class _FaultError(Exception):
    """The fault is committed and the connection is done for."""


class Sending:
    def __init__(
        self,
        connection: Connection,
        reply: Reply,
        request: Request,
        served: Served,
        hold: Callable[[Served, float], Awaitable[bool]],
    ) -> None:
        self._connection, self._reply, self._request, self._served = connection, reply, request, served
        self._asked = wire.Asked.read(request.json)
        self._hold_request = hold

    async def run(self) -> bool:
        """Whether the connection may carry another request."""
        try:
            await self._serve()
        except _FaultError:
            self._served.ended = "fault"
            return False
        self._served.ended = "complete" if self._reply.kind in ("ok", "hold", "hold_before_head") else "fault"
        if self._reply.keep_alive in ("keep", "stale") and not self._until_close:
            return True
        self._connection.close()
        return False

    @property
    def _until_close(self) -> bool:
        return self._reply.framing == "close" and self._asked.stream

    async def _serve(self) -> None:
        reply = self._reply
        await asyncio.sleep(reply.head_after_s)
        match reply.kind:
            case "reset_before_head":
                await self._reset()
            case "close_before_head":
                self._close()
            case "hold_before_head":
                await self._hold()
        if self._request.path.endswith("/models") and reply.kind == "ok":
            await self._whole(200, json.dumps({"object": "list", "data": []}).encode())
        elif reply.kind == "status":
            await self._whole(reply.status, self._error().encode())
        elif reply.kind == "error_in_200":
            await self._whole(200, self._error().encode())
        elif self._asked.stream:
            await self._stream()
        else:
            await self._json()

    # An answer that is not streamed.

    async def _json(self) -> None:
        reply, body = self._reply, wire.completion(self._reply, self._asked, self._served.number)
        match reply.kind:
            case "empty_200":
                await self._whole(200, b"")
                return
            case "garbage":
                await self._whole(200, GARBAGE)
                return
            case "hold" if reply.after == 0:
                await self._hold()
        answer = wire.said(reply, self._asked)
        self._bill_prompt()
        self._bill(answer.tokens, len(answer.reasoning))
        if reply.kind in ("ok", "hold_before_head", "hold") and reply.after == 0:
            await self._whole(200, body)
            self._served.usage_sent = reply.usage != "never"
            return
        await self._spoilt(body)

    async def _spoilt(self, body: bytes) -> None:
        """A body of which something is wrong half way."""
        half, kind = len(body) // 2, self._reply.kind
        if kind == "long_body":
            await self._whole(200, body, length=half)
            self._close()
        self._head(200, {"content-type": "application/json", "content-length": str(len(body))})
        if kind in ("reset_after_head", "reset") and self._reply.after == 0:
            await self._reset()
        await self._write(body[:half])
        match kind:
            case "reset" | "reset_after_head":
                await self._reset()
            case "hold":
                await self._hold()
                await self._write(body[half:])
                self._served.usage_sent = self._reply.usage != "never"
            case "huge_head":
                await self._write(body[half:])
            case _:  # short_body, cut, early_end, error_event: of a body there is one way to be cut
                self._close()

    # A stream.

    async def _stream(self) -> None:
        headers = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
        framing = {"connection": "close"} if self._until_close else {"transfer-encoding": "chunked"}
        self._head(200, headers | framing)
        kind = self._reply.kind
        if kind == "reset_after_head":
            await self._reset()
        if kind not in ("empty_200", "garbage"):
            self._bill_prompt()
            await self._events()
        elif kind == "garbage":
            await self._body(GARBAGE)
        if not self._until_close:
            await self._write(b"0\r\n\r\n")

    async def _events(self) -> None:
        reply = self._reply
        waiting = b": PROCESSING\n\n" * reply.comments
        content = 0
        for written, event in enumerate(wire.events(reply, self._asked, self._served.number), 1):
            if content == reply.after and (event.tokens or '"tool_calls"' in event.data):
                await self._body(waiting)
                waiting = b""
                if await self._fault():
                    return
            content += event.tokens
            # Before it is written: a client that leaves while it is has been sent it.
            self._bill(event.tokens, event.tokens if event.reasoning else 0)
            waiting += wire.sse(event.data, reply.crlf)
            if written % reply.per_write == 0:
                await self._body(waiting)
                waiting = b""
                await asyncio.sleep(reply.gap_s)
            self._served.usage_sent = self._served.usage_sent or event.usage
        await self._body(waiting + (wire.sse("[DONE]", reply.crlf) if reply.done else b""))

    async def _fault(self) -> bool:
        """Commit it, here between two events. True: the stream ends now, in good form."""
        match self._reply.kind:
            case "hold":
                await self._hold()
            case "cut":
                self._connection.write(b'fff\r\ndata: {"id":')
                self._close()
            case "reset":
                await self._reset()
            case "error_event":
                await self._body(wire.sse(self._error()))
                return True
            case "early_end":
                return True
        return False

    # Both.

    def _head(self, code: int, headers: dict[str, str]) -> None:
        reply = self._reply
        more = dict(reply.headers)
        if reply.retry_after:
            more["retry-after"] = reply.retry_after
        if reply.keep_alive == "close":
            more["connection"] = "close"
        if reply.kind == "huge_head":
            more["x-huge"] = "x" * reply.head_bytes
        self._served.status = code
        self._connection.write(wire.head(code, {"x-request-id": f"req_{self._served.number}"} | headers | more))

    async def _whole(self, code: int, body: bytes, length: int | None = None) -> None:
        size = len(body) if length is None else length
        self._head(code, {"content-type": "application/json", "content-length": str(size)})
        await self._write(body)

    def _error(self) -> str:
        """Some providers quote the credential back in it."""
        token = self._request.headers.get("authorization", "").rpartition(" ")[2]
        return json.dumps(wire.error(self._reply)).replace("{key}", token)

    async def _body(self, data: bytes) -> None:
        if data:
            await self._write(data if self._until_close else wire.http_chunk(data))

    async def _write(self, data: bytes) -> None:
        step = self._reply.split_bytes or len(data) or 1
        for start in range(0, len(data), step):
            if self._reply.split_bytes:  # before and not after: with its last byte an answer is complete
                await asyncio.sleep(self._reply.gap_s)
            self._connection.write(data[start : start + step])
            await self._connection.drain()

    def _bill_prompt(self) -> None:
        self._served.prompt_tokens = wire.prompt_tokens(self._reply, self._asked)
        self._served.cached_tokens = self._reply.cached_tokens

    def _bill(self, output: int, reasoning: int) -> None:
        self._served.completion_tokens += output
        self._served.reasoning_tokens += reasoning

    async def _hold(self) -> None:
        if not await self._hold_request(self._served, self._reply.hold_s):
            await self._reset()

    async def _reset(self) -> None:
        # uvloop writes at the end of a turn of the loop, and a reset throws away what is not written.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self._connection.reset()
        raise _FaultError

    def _close(self) -> None:
        self._connection.close()
        raise _FaultError
