"""Dial the operator, and turn what it says into calls. What a table means is `control`'s affair.

One conversation is `converse`: it returns when the stream is over, for whatever reason, and says why, so that the
caller can decide when to dial again.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from aiohttp import WSMsgType
from byway_contract.stream import (
    MAX_TABLE_BYTES,
    PATH,
    SUBPROTOCOL,
    Ack,
    Drain,
    Fleet,
    FromOperator,
    Hello,
    Nack,
    Reported,
    Same,
    StreamError,
    Verify,
    Welcome,
    decode_from_operator,
    encode,
)

from byway_proxy.control.redial import Dice

LEADER_HEADER = "Byway-Leader"


@dataclass(frozen=True)
class Address:
    """Where the operator is: `unix:/path`, or `http(s)://host:port`."""

    url: str
    token_file: str | None = None
    ca_file: str | None = None
    server_name: str | None = None
    """The name on the operator's certificate, also when a pod's address is dialled."""


@dataclass(frozen=True)
class Ended:
    """Why a conversation is over."""

    why: str
    code: int | None = None
    """A WebSocket close code, or an HTTP status from before there was one."""
    welcomed: bool = False
    at_once: bool = False
    """The operator asked to be dialled again."""
    retry_after_s: float = 0.0
    leader: str | None = None
    """Dial `host:port` next."""


@dataclass(frozen=True)
class Listener:
    """What is done with what is heard."""

    table: Callable[[bytes], Awaitable[Ack | Nack]]
    same: Callable[[Same], Awaitable[Ack | Nack]]
    welcome: Callable[[Welcome], None]
    fleet: Callable[[int], None]
    verify: Callable[[tuple[str, ...]], None]
    reports: Callable[[Callable[[Reported], Awaitable[None]]], Awaitable[None]]
    """Runs beside the listening until it is cancelled, with a way to send."""


class Conversation:
    """One stream, from dialling to its end."""

    def __init__(self, listener: Listener, dice: Dice, dead_s: float, dial_s: float) -> None:
        self._listener = listener
        self._dice = dice
        self._dead_s = dead_s
        self._dial_s = dial_s
        self._welcomed = False
        self._leaving: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()

    async def hold(self, address: Address, leader: str | None, hello: Hello) -> Ended:
        try:
            async with aiohttp.ClientSession(connector=_connector(address)) as session:
                async with asyncio.timeout(self._dial_s):
                    ws = await _dial(session, address, leader, self._dead_s)
                async with ws:
                    return await self._converse(ws, hello)
        except aiohttp.WSServerHandshakeError as error:
            return _refused(error)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: a token file or certificate that cannot be used. TimeoutError is an OSError.
            # aiohttp's own words for a refused connection hold the repr of an SSL context.
            said = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
            return Ended(f"{type(error).__name__}: {said}"[:200], welcomed=self._welcomed)
        finally:
            if self._leaving is not None:
                self._leaving.cancel()

    async def _converse(self, ws: aiohttp.ClientWebSocketResponse, hello: Hello) -> Ended:
        async def send(message: Reported | Ack | Nack | Hello) -> None:
            await ws.send_str(encode(message))

        await send(hello)
        async with asyncio.TaskGroup() as tasks:
            listening = tasks.create_task(self._listen(ws, send))
            beside = [tasks.create_task(self._report(send)), tasks.create_task(self._drained.wait())]
            await asyncio.wait([listening, beside[1]], return_when=asyncio.FIRST_COMPLETED)
            for task in (listening, *beside):
                task.cancel()
        if not listening.cancelled():
            return listening.result()
        await ws.close()
        return Ended("asked to dial again", welcomed=self._welcomed, at_once=True)

    async def _report(self, send: Callable[[Reported], Awaitable[None]]) -> None:
        try:
            await self._listener.reports(send)
        except (aiohttp.ClientError, ConnectionError):
            return  # the listening side sees the same end, and says why

    async def _listen(
        self, ws: aiohttp.ClientWebSocketResponse, send: Callable[[Ack | Nack], Awaitable[None]]
    ) -> Ended:
        try:
            while True:
                frame = await ws.receive()
                if frame.type is WSMsgType.BINARY:
                    await send(await self._listener.table(frame.data))
                elif frame.type is WSMsgType.TEXT:
                    answer = await self._told(decode_from_operator(frame.data))
                    if answer is not None:
                        await send(answer)
                else:
                    return Ended("closed", ws.close_code, self._welcomed)
        except StreamError:
            await ws.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR)
            return Ended("the operator sends what is not of this protocol", welcomed=self._welcomed)
        except TimeoutError:
            return Ended("nothing heard", welcomed=self._welcomed)
        except (aiohttp.ClientError, ConnectionError) as error:
            return Ended(type(error).__name__, welcomed=self._welcomed)

    async def _told(self, message: FromOperator) -> Ack | Nack | None:
        match message:
            case Welcome():
                self._welcomed = True
                self._listener.welcome(message)
            case Same():
                return await self._listener.same(message)
            case Fleet(proxies=proxies):
                self._listener.fleet(proxies)
            case Verify(provider_keys=provider_keys):
                self._listener.verify(provider_keys)
            case Drain():
                self._leave(message)
        return None

    def _leave(self, drain: Drain) -> None:
        """Serve on, listen on, and dial again at a moment of our own."""
        if self._leaving is None:
            in_s = (drain.after_ms + drain.jitter_ms * self._dice()) / 1000
            self._leaving = asyncio.get_running_loop().call_later(in_s, self._drained.set)


async def _dial(
    session: aiohttp.ClientSession, address: Address, leader: str | None, dead_s: float
) -> aiohttp.ClientWebSocketResponse:
    headers: dict[str, str] = {}
    if address.token_file is not None:
        # Read at each dialling: the kubelet renews it in place.
        token = await asyncio.to_thread(Path(address.token_file).read_text)
        headers["Authorization"] = f"Bearer {token.strip()}"
    tls = await asyncio.to_thread(ssl.create_default_context, cafile=address.ca_file) if address.ca_file else True
    return await session.ws_connect(
        _url(address.url, leader),
        protocols=(SUBPROTOCOL,),
        headers=headers,
        ssl=tls,
        server_hostname=address.server_name,
        timeout=aiohttp.ClientWSTimeout(ws_receive=dead_s, ws_close=1.0),
        max_msg_size=MAX_TABLE_BYTES,
    )


def _connector(address: Address) -> aiohttp.BaseConnector:
    if address.url.startswith("unix:"):
        return aiohttp.UnixConnector(address.url.removeprefix("unix:"))
    return aiohttp.TCPConnector()


def _url(url: str, leader: str | None) -> str:
    if url.startswith("unix:"):
        return f"http://operator{PATH}"
    scheme, _, host = url.rstrip("/").partition("://")
    return f"{scheme}://{leader or host}{PATH}"


def _refused(error: aiohttp.WSServerHandshakeError) -> Ended:
    wait = error.headers.get("Retry-After", "") if error.headers else ""
    leader = error.headers.get(LEADER_HEADER) if error.headers and error.status == 421 else None
    return Ended(
        f"HTTP {error.status}", error.status, retry_after_s=float(wait) if wait.isdigit() else 0.0, leader=leader
    )
