"""Who may come in: what is answered before a WebSocket is one, and the first words on it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from aiohttp import WSCloseCode, WSMsgType, web
from byway_contract.stream import (
    CLOSE_IDENTITY,
    CLOSE_SCHEMA,
    PROTO,
    SUBPROTOCOL,
    Hello,
    Pod,
    StreamError,
    decode_from_proxy,
)
from byway_contract.table import SCHEMA

LEADER_HEADER = "Byway-Leader"
"""Where the leader is, as `host:port`: a WebSocket client sees a refusal's headers, not its body."""


@dataclass(frozen=True)
class Stranger:
    """Not one of our proxies. 401: proves nothing; 403: proves to be somebody else; 503: nobody can tell now."""

    status: Literal[401, 403, 503]
    message: str


Identify = Callable[[web.Request], Awaitable[Pod | Stranger | None]]
"""Who dials. A Pod is proven, and the hello must say the same; None believes the hello."""


async def trust_the_socket(_request: web.Request) -> Pod | Stranger | None:
    """On one machine, who may open the unix socket is whom its file mode lets in."""
    return None


class UnwelcomeError(Exception):
    """The stream is closed with this code."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def not_leading(leader: str | None) -> web.Response:
    """421: another replica streams. With a hint, the proxy dials that one next."""
    headers = {LEADER_HEADER: leader} if leader else {}
    return web.json_response({"leader": leader}, status=421, headers=headers)


def not_yet() -> web.Response:
    """503: not every kind of resource has been read, and an empty table would take every model away; or this
    operator is about to end."""
    body = {"error": "no table to give just now; dial again"}
    return web.json_response(body, status=503, headers={"Retry-After": "1"})


def turned_away(stranger: Stranger) -> web.Response:
    headers = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}.get(stranger.status)
    return web.json_response({"error": stranger.message}, status=stranger.status, headers=headers)


async def first_words(ws: web.WebSocketResponse, proven: Pod | None, within_s: float) -> Hello:
    """The hello. Raises UnwelcomeError."""
    if ws.ws_protocol != SUBPROTOCOL:
        raise UnwelcomeError(WSCloseCode.PROTOCOL_ERROR, f"want sub-protocol {SUBPROTOCOL}")
    try:
        frame = await asyncio.wait_for(ws.receive(), within_s)
    except TimeoutError as error:
        raise UnwelcomeError(WSCloseCode.POLICY_VIOLATION, "no hello") from error
    if frame.type is not WSMsgType.TEXT:
        raise UnwelcomeError(WSCloseCode.PROTOCOL_ERROR, "want a hello first, as text")
    try:
        hello = decode_from_proxy(frame.data)
    except StreamError as error:
        raise UnwelcomeError(WSCloseCode.PROTOCOL_ERROR, "not a message of this protocol") from error
    if not isinstance(hello, Hello):
        raise UnwelcomeError(WSCloseCode.PROTOCOL_ERROR, "want a hello first")
    _check(hello, proven)
    return hello


def _check(hello: Hello, proven: Pod | None) -> None:
    if hello.proto != PROTO or SCHEMA not in hello.schemas:
        raise UnwelcomeError(
            CLOSE_SCHEMA, f"this operator speaks protocol {PROTO}, schema {SCHEMA}: upgrade it first"
        )
    if proven is not None and (proven.name, proven.uid) != (hello.pod.name, hello.pod.uid):
        raise UnwelcomeError(CLOSE_IDENTITY, "the hello names another pod than the token")
