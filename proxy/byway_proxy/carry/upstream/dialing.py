"""Open a connection: name → addresses → the guard → a socket → a tunnel → TLS. Every step's failure has its word.

We resolve ourselves, so that the guard sees the very address that is dialled: no spelling, no second look-up of a
name that answers differently, can come between.
"""

import asyncio
import ipaddress
import os
import socket
import ssl
from collections.abc import Callable

from aiohappyeyeballs import start_connection

from byway_proxy.carry.upstream import tls, tunnel
from byway_proxy.carry.upstream.connection import Connection
from byway_proxy.carry.upstream.failures import Failure, Forbidden
from byway_proxy.carry.upstream.origins import Egress, Origin

Guard = Callable[[str], None]
"""Called with the IP address (an IPv4 one that is mapped into IPv6 as the IPv4 one). Raises Forbidden."""
_Address = tuple[int, int, int, str, tuple[str, int] | tuple[str, int, int, int]]

# RFC 8305's own figure.
_EYEBALLS_S = 0.25


class Dialer:
    def __init__(self, guard: Guard | None, egress: Egress | None, make: Callable[[Origin], Connection]) -> None:
        self._guard, self._egress, self._make = guard, egress, make
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
        sock = await self._socket(loop, origin)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._egress is not None:
                await tunnel.dig(loop, sock, self._egress, origin)
        except BaseException:
            sock.close()
            raise
        connection = self._make(origin)
        if context is None:
            await _adopt(loop, sock, connection)
        else:
            await _encrypt(loop, await _adopt(loop, sock, asyncio.Protocol()), connection, context)
        return connection

    async def _socket(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> socket.socket:
        if self._egress is None:
            host, port = origin.host, origin.port
            addresses = self._allowed(host, await _resolve(loop, host, port))
        else:
            # The proxy was chosen by whoever runs us, so it is not guarded. It resolves names, and can be held to
            # its own rules for them; a literal address we judge here.
            self._allowed(origin.host, _literal(origin.host, origin.port))
            host, port = self._egress.host, self._egress.port
            addresses = await _resolve(loop, host, port)
        try:
            return await start_connection(addresses, happy_eyeballs_delay=_EYEBALLS_S, loop=loop)
        except (OSError, RuntimeError) as error:
            # uvloop raises RuntimeError for an address it cannot dial.
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number else "cannot be reached"
            raise Failure("proxy" if self._egress else "refused", f"{host} port {port}: {reason}") from error

    def _allowed(self, host: str, addresses: list[_Address]) -> list[_Address]:
        if self._guard is None:
            return addresses
        allowed, why = [], ""
        for address in addresses:
            try:
                self._guard(_seen(address[4][0]))
                allowed.append(address)
            except Forbidden as error:
                why = str(error)
        if addresses and not allowed:
            raise Failure("forbidden", f"{host} may not be called: {why}")
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


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> list[_Address]:
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


def _literal(host: str, port: int) -> list[_Address]:
    """The address if the host is one in any of libc's spellings (`127.1`, `0x7f000001`), which needs no look-up."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return []
    return found  # type: ignore[return-value]  # see above


def _seen(address: str) -> str:
    ip = ipaddress.ip_address(address)
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return str(mapped or ip)
