"""The client for providers: HTTP/1.1, made for relaying (bench/upstream_client.py: a fifth of aiohttp's CPU).

It follows no redirect, keeps no cookie, reads no proxy from the environment, decodes no content coding, and knows
no timeout but the one for connecting. It keeps connections, and proves that an answer is whole.
"""

import asyncio

from byway_proxy.carry.turn import Turn
from byway_proxy.carry.upstream.connection import Connection
from byway_proxy.carry.upstream.dialing import Dialer, Guard
from byway_proxy.carry.upstream.exchange import Exchange
from byway_proxy.carry.upstream.failures import Failure, Forbidden
from byway_proxy.carry.upstream.origins import Egress, Origin, egress_of, origin_of
from byway_proxy.carry.upstream.parsing import Limits
from byway_proxy.carry.upstream.pool import Pool

__all__ = ["Client", "Egress", "Exchange", "Failure", "Forbidden", "Limits", "Origin", "egress_of", "origin_of"]

# Below the shortest idle timeout of the big providers' front doors (60 s: AWS load balancers, nginx 75 s).
IDLE_S = 50.0
# Beyond a busy proxy's concurrency for one provider, so that a burst's connections survive until the next one.
MOST_IDLE = 256
_CLOSING_S = 2.0


class Client:
    """One for a process. Made and used within a running loop."""

    def __init__(
        self,
        *,
        guard: Guard | None = None,
        egress_proxy: Egress | None = None,
        idle_s: float = IDLE_S,
        max_idle_per_origin: int = MOST_IDLE,
        limits: Limits | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.turn = Turn(self.loop)
        self.limits = limits or Limits()
        self._idle_s = idle_s
        self._pool = Pool(idle_s=idle_s, most=max_idle_per_origin)
        self._dialer = Dialer(guard, egress_proxy, self._make)
        self._connections: set[Connection] = set()
        self._openings: set[asyncio.Task[Connection]] = set()
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._closed = False
        self.opened = 0
        """Connections made so far."""

    def exchange(self, origin: Origin, head: bytes, body: bytes, *, connect_s: float) -> Exchange:
        """Nothing happens before `begin`. `head` is the whole request head, blank line included.

        The body is held until it is sent, and is sent again if the pooled connection was stale.
        """
        return Exchange(self, origin, head, body, connect_s)

    def guard_by(self, guard: Guard | None) -> None:
        """From now on. Connections that were made under another guard carry nothing new."""
        self._dialer.guard = guard
        for connection in self._connections:
            connection.outlived = True

    @property
    def connected(self) -> int:
        """Connections, busy or at rest."""
        return len(self._connections)

    @property
    def idle(self) -> int:
        """Connections at rest."""
        return len(self._pool)

    async def close(self) -> None:
        """Everything ends now: what is in flight fails with `reset`."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        self._empty.clear()
        openings = list(self._openings)
        for opening in openings:
            opening.cancel()
        await asyncio.gather(*openings, return_exceptions=True)
        for connection in list(self._connections):
            exchange = connection.exchange
            if exchange is not None:
                exchange.fail(Failure("reset", "we are closing", sent=True, answered=exchange.answered))
            connection.abort()
        if self._connections:
            async with asyncio.timeout(_CLOSING_S):
                await self._empty.wait()

    # For exchanges.

    def take(self, origin: Origin) -> Connection | None:
        return self._pool.take(origin, self.loop.time())

    def open(self, origin: Origin, connect_s: float) -> "asyncio.Task[Connection]":
        """A task, so that it can be ended from outside; whoever asked awaits it."""
        if self._closed:
            raise Failure("reset", "this client is closed")
        opening = self.loop.create_task(self._dialer.open(origin, connect_s))
        self._openings.add(opening)
        opening.add_done_callback(self._openings.discard)
        return opening

    # For the dialer and for connections.

    def _make(self, origin: Origin) -> Connection:
        return Connection(self.limits, origin, self)

    def made(self, connection: Connection) -> None:
        self._connections.add(connection)
        self.opened += 1

    def spent(self, connection: Connection) -> None:
        self._pool.put(connection, connection.origin, self.loop.time())
        if self._sweeper is None and not self._closed:
            self._sweeper = self.loop.call_later(self._idle_s, self._sweep)

    def lost(self, connection: Connection) -> None:
        self._pool.forget(connection, connection.origin)
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        self._sweeper = None
        self._pool.sweep(self.loop.time())
        if len(self._pool):
            self._sweeper = self.loop.call_later(self._idle_s, self._sweep)
