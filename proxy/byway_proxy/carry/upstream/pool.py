"""Connections at rest, by origin. The time is an argument; the last one used is the first one used again."""

from byway_proxy.carry.upstream.connection import Connection
from byway_proxy.carry.upstream.origins import Origin


class Pool:
    __slots__ = ("_idle", "_idle_s", "_most")

    def __init__(self, *, idle_s: float, most: int) -> None:
        self._idle: dict[Origin, list[Connection]] = {}
        self._idle_s, self._most = idle_s, most

    def __len__(self) -> int:
        return sum(map(len, self._idle.values()))

    def take(self, origin: Origin, now: float) -> Connection | None:
        resting = self._idle.get(origin)
        while resting:
            connection = resting.pop()
            if connection.usable(now):
                return connection
            connection.abort()
        return None

    def put(self, connection: Connection, origin: Origin, now: float) -> None:
        """It is whole and open."""
        resting = self._idle.get(origin)
        if resting is None:
            resting = self._idle[origin] = []
        if connection.rest(now, self._idle_s) and len(resting) < self._most:
            resting.append(connection)
        else:
            connection.abort()

    def forget(self, connection: Connection, origin: Origin) -> None:
        """The provider closed it."""
        resting = self._idle.get(origin)
        if resting and connection in resting:
            resting.remove(connection)

    def sweep(self, now: float) -> None:
        """Close what is too old to be used, and drop origins that nobody has called for a while."""
        for origin, resting in list(self._idle.items()):
            for connection in [c for c in resting if not c.usable(now)]:
                resting.remove(connection)
                connection.abort()
            if not resting:
                del self._idle[origin]
