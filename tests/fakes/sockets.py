"""Connections that are certainly closed when a test ends.

A request that is cancelled leaves a TLS connection that says goodbye and waits for the answer, longer than the
test's loop lives, and whoever made it knows of it no more.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import Any

import aiohttp

WITHIN_S = 5.0


class Sockets:
    def __init__(self) -> None:
        self._made: list[socket.socket] = []
        self._connectors: list[aiohttp.TCPConnector] = []

    def connector(self, tls: ssl.SSLContext) -> aiohttp.TCPConnector:
        """For a session that does not own it; `end` closes it."""
        connector = aiohttp.TCPConnector(ssl=tls, limit=0, socket_factory=self._make)
        self._connectors.append(connector)
        return connector

    async def end(self) -> None:
        for connector in self._connectors:
            await connector.close()
        for made in self._made:
            with suppress(OSError):  # not connected, or closed already
                made.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(WITHIN_S):
            while any(made.fileno() != -1 for made in self._made):  # noqa: ASYNC110 - nobody announces it
                await asyncio.sleep(0.001)

    def _make(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        self._made.append(made)
        return made
