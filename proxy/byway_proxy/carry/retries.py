"""How many second tries may run at a time: a budget, so that trouble is not multiplied just when it hurts.

The first try at another healthy endpoint is failover and free. A second try at the same one, or a try at one that
is known to be out, is taken from here: of each route and of each account at most 3 at a time, or a fifth of the
attempts that are waiting for an answer, whichever is more (Envoy's figures).
"""

from typing import Protocol

LEAST = 3
SHARE = 0.2


class Retries(Protocol):
    def enter(self, keys: tuple[str, ...]) -> None: ...
    def leave(self, keys: tuple[str, ...]) -> None: ...
    def take(self, keys: tuple[str, ...]) -> bool: ...
    def give_back(self, keys: tuple[str, ...]) -> None: ...


class RetryBudget:
    """One for the whole proxy; a key is a route's or an account's."""

    def __init__(self, least: int = LEAST, share: float = SHARE) -> None:
        self.least, self.share = least, share
        self._active: dict[tuple[str, ...], int] = {}
        """By all keys of an attempt together, as they are looked at one by one only when a retry is in question."""
        self._retrying: dict[str, int] = {}

    def enter(self, keys: tuple[str, ...]) -> None:
        """An attempt waits for its first content."""
        active = self._active
        active[keys] = active.get(keys, 0) + 1

    def leave(self, keys: tuple[str, ...]) -> None:
        active = self._active
        left = active[keys] - 1
        if left:
            active[keys] = left
        else:
            del active[keys]

    def take(self, keys: tuple[str, ...]) -> bool:
        """All or none."""
        if any(self._retrying.get(key, 0) >= self._most(key) for key in keys):
            return False
        for key in keys:
            self._retrying[key] = self._retrying.get(key, 0) + 1
        return True

    def give_back(self, keys: tuple[str, ...]) -> None:
        for key in keys:
            left = self._retrying[key] - 1
            if left:
                self._retrying[key] = left
            else:
                del self._retrying[key]

    def _most(self, key: str) -> float:
        return max(self.least, self.share * sum(count for keys, count in self._active.items() if key in keys))
