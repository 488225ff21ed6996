"""Open a connection: name → addresses → the guard → a socket → a tunnel → TLS. Every step's failure has its word.

We resolve ourselves, so that the guard sees the very address that is dialled: no spelling, no second look-up of a
name that answers differently, can come between.

An egress proxy is for what leaves the cluster: a Service is dialled directly. It resolves names itself, so what a
name leads to from there is for it to judge; an address that is written as one is judged here.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Callable

from aiohappyeyeballs import start_connection
from byway_contract.reach import Address, Fence, Reach, parsed, told

from byway_proxy.carry.upstream import tls, tunnel
from byway_proxy.carry.upstream.connection import Connection
from byway_proxy.carry.upstream.failures import Failure, Forbidden
from byway_proxy.carry.upstream.origins import Egress, Origin

Guard = Callable[[Address, Reach], None]
"""Called with each address before it is dialled. Raises Forbidden."""
_Dialled = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

# RFC 8305's own figure.
_EYEBALLS_S = 0.25


def guarded_by(fence: Fence) -> Guard:
    def guard(address: Address, reach: Reach) -> None:
        ground = fence.against(address, reach)
        if ground is not None:
            raise Forbidden(told(ground))

    return guard


class Dialer:
    def __init__(self, guard: Guard | None, egress: Egress | None, make: Callable[[Origin], Connection]) -> None:
        self.guard = guard
        self._egress, self._make = egress, make
        self._contexts = tls.Contexts()

    async def open(self, origin: Origin, connect_s: float) -> Connection:
        """Raises Failure. `connect_s` is for all the steps together."""
        try:
            async with asyncio.timeout(connect_s):
                return await self._open(origin)
        except TimeoutError:
            raise Failure(
                "connect_timeout", f"no connection to {origin.authority} within {connect_s:g} s"
            ) from None

    async def _open(self, origin: Origin) -> Connection:
        loop = asyncio.get_running_loop()
        context = await self._contexts.get(origin.ca_bundle) if origin.scheme == "https" else None
        egress, guard = self._egress if origin.reach == "url" else None, self.guard
        sock = await self._socket(loop, origin, egress)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if egress is not None:
                await tunnel.dig(loop, sock, egress, _as_judged(origin), origin.port)
        except BaseException:
            sock.close()
            raise
        connection = self._make(origin)
        connection.outlived = guard is not self.guard
        if context is None:
            await _adopt(loop, sock, connection)
        else:
            await _encrypt(loop, await _adopt(loop, sock, asyncio.Protocol()), connection, context)
        return connection

    async def _socket(
        self, loop: asyncio.AbstractEventLoop, origin: Origin, egress: Egress | None
    ) -> socket.socket:
        if egress is None:
            host, port = origin.host, origin.port
            addresses = self._allowed(origin, await _resolve(loop, host, port))
        else:
            # The proxy was chosen by whoever runs us, so its own address is not judged.
            self._allowed(origin, _literal(origin.host, origin.port))
            host, port = egress.host, egress.port
            addresses = await _resolve(loop, host, port)
        try:
            return await start_connection(addresses, happy_eyeballs_delay=_EYEBALLS_S, loop=loop)
        except (OSError, RuntimeError) as error:
            # uvloop raises RuntimeError for an address it cannot dial.
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else "cannot be reached"
            raise Failure("proxy" if egress else "refused", f"{host} port {port}: {reason}") from error

    def _allowed(self, origin: Origin, addresses: list[_Dialled]) -> list[_Dialled]:
        if self.guard is None:
            return addresses
        allowed, why = [], ""
        for address in addresses:
            try:
                self.guard(parsed(address[4][0]), origin.reach)
                allowed.append(address)
            except Forbidden as error:
                why = str(error)
        if addresses and not allowed:
            # What a name resolves to in here is not told to whoever wrote the name.
            verb = "is" if _literal(origin.host, origin.port) else "leads to"
            raise Failure("forbidden", f"{origin.host} {verb} {why}")
        return allowed


async def _adopt(
    loop: asyncio.AbstractEventLoop, sock: socket.socket, protocol: asyncio.Protocol
) -> asyncio.Transport:
    """Give the socket to the loop. That takes a turn, in which uvloop must not be cancelled: it would close the
    descriptor while `sock` believes to own it, and the number could be closed again in somebody else's hands."""
    adopting = loop.create_task(loop.create_connection(lambda: protocol, sock=sock))
    try:
        transport, _ = await asyncio.shield(adopting)
    except asyncio.CancelledError:
        await asyncio.wait([adopting])
        if not adopting.cancelled() and adopting.exception() is None:
            adopting.result()[0].abort()
        raise
    return transport


async def _encrypt(
    loop: asyncio.AbstractEventLoop, bare: asyncio.Transport, connection: Connection, context: ssl.SSLContext
) -> None:
    host = connection.origin.host
    try:
        transport = await loop.start_tls(bare, connection, context, server_hostname=host)
    except OSError as error:
        bare.abort()
        raise tls.told(host, error) from error
    except BaseException:
        bare.abort()
        raise
    if transport is None:
        raise tls.told(host, ConnectionAbortedError())
    connection.connection_made(transport)


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[_Dialled]:
    literal = _literal(host, port)
    if literal:
        return literal
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Failure("dns", f"{host}: {getattr(error, 'strerror', None) or 'no such name'}") from error
    if not found:
        raise Failure("dns", f"{host}: the name has no address")
    return found  # type: ignore[return-value]  # typeshed's tuples also fit sockets without an address


def _literal(host: str, port: int) -> list[_Dialled]:
    """The address if the host is one in any of libc's spellings (`127.1`, `0x7f000001`), which needs no look-up."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    return found  # type: ignore[return-value]  # see above


def _as_judged(origin: Origin) -> str:
    """The host for a tunnel. An address goes in the one spelling that nobody reads otherwise than we did."""
    literal = _literal(origin.host, origin.port)
    return literal[0][4][0] if literal else origin.host
