"""Keep the Lease, or wait for it: one of several operators leads. What may be done with it, `lease` decides.

A leader that has not renewed for `renew_within_s` no longer leads, whatever the API server may be doing, and before
anybody else may take the Lease. It is not to come back: its process ends, and begins anew.
"""

import asyncio
import random
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

from byway_process.logs import Log

from byway_operator.kube.api import KubeApi, KubeError, Still
from byway_operator.kube.lease import (
    Candidate,
    Lease,
    Pace,
    Seen,
    may_take,
    new_term,
    released,
    taken,
)

_RELEASE_S = 2.0


HoldsForS = Callable[[], float]
"""For how many seconds the Lease is ours yet."""


class ReignOverError(Exception):
    """The Lease may be another's by now."""


def for_ever() -> float:
    """Where nobody else could lead."""
    return 1e6


async def in_reign(holds_for_s: HoldsForS, write: Callable[[Still], Coroutine[Any, Any, object]]) -> None:
    """A write that is a leader's to make: it leaves while the Lease is ours, and is broken off when that ends. This
    process may be stopped at any moment for any while, so `write` asks once more as it sends.

    Raises KubeError, and ReignOverError.
    """
    left_s = holds_for_s()
    if left_s <= 0:
        raise ReignOverError
    try:
        async with asyncio.timeout(left_s):
            await write(lambda: holds_for_s() > 0)
    except KubeError as error:
        if holds_for_s() <= 0:
            raise ReignOverError from error
        raise
    except TimeoutError as error:
        if holds_for_s() <= 0:
            raise ReignOverError from error
        # It was renewed meanwhile.
        raise KubeError(0, "no answer", f"within {left_s:.1f} s") from error


class Elector:
    """`leads(term)` is called when we begin to lead, and when we lead on under another term."""

    def __init__(
        self,
        api: KubeApi,
        namespace: str,
        name: str,
        candidate: Candidate,
        log: Log,
        leads: Callable[[int], None],
        pace: Pace | None = None,
    ) -> None:
        self._api, self._namespace, self._name, self._candidate, self._log = api, namespace, name, candidate, log
        self._leads = leads
        self._pace = pace or Pace()
        self._seen = Seen(None, time.monotonic())
        self._renewed_at = 0.0
        self._said = ""
        self._term = 0
        self._turn = asyncio.Lock()
        self._over = False
        """We are about to end, and are not to lead again."""
        self.leading = False

    @property
    def holds_for_s(self) -> float:
        """For how long nobody else can lead; negative when that is over: a process that was stopped for a while
        learns it here first."""
        return self._renewed_at + self._pace.renew_within_s - time.monotonic() if self.leading else -1.0

    @property
    def leader(self) -> str | None:
        """`host:port` of the leader's control stream, as far as is known."""
        return None if self.leading else self._seen.address

    def outreigned(self, term: int) -> None:
        """A Lease was deleted, and our clock is behind an earlier leader's: the next renewal makes up for it."""
        self._term = max(self._term, term + 1)

    async def win(self) -> None:
        """Waits until we lead."""
        won = await self._try()
        while not won:
            await asyncio.sleep(self._pace.retry_s * random.uniform(0.8, 1.2))
            won = await self._try()
        self.leading = True
        self._log.info("this operator leads", term=self._term)
        self._leads(self._term)

    async def keep(self) -> None:
        """Returns when we lead no longer."""
        while self.leading:
            left_s = self.holds_for_s
            if left_s <= 0:
                break
            try:
                # An answer that comes too late is no renewal, even if the server took it.
                async with asyncio.timeout(left_s):
                    await asyncio.sleep(min(self._pace.retry_s, left_s) * random.uniform(0.8, 1.0))
                    if not await self._try() and self._seen.holder not in ("", self._candidate.name):
                        break
            except TimeoutError:
                continue
        if self.leading:
            self.leading = False
            self._log.warning("this operator leads no longer", holder=self._seen.holder)

    async def release(self) -> None:
        """Let another lead at once, and lead no more. What fails here, time does."""
        led, self.leading, self._over = self.leading, False, True
        if not (led or self._turn.locked()):
            return
        with suppress(KubeError, TimeoutError):
            async with asyncio.timeout(_RELEASE_S), self._turn:
                await self._look()
                if self._seen.holder == self._candidate.name:
                    await self._api.replace_lease(self._namespace, self._name, released(self._seen, time.time()))
                    self._log.info("the lease is released")

    async def _try(self) -> bool:
        """Whether the Lease is ours now, for another while."""
        async with self._turn:
            began = time.monotonic()
            try:
                term = None if self._over else await self._take(began)
            except KubeError as error:
                self._say(error)
                return False
        if term is None or self._over:
            return False
        self._renewed_at = began
        self._said = ""
        if self.leading:
            self._leads(term)
        return True

    async def _take(self, began: float) -> int | None:
        """The term that it is ours for. Raises KubeError."""
        await self._look()
        if not may_take(self._seen, self._candidate, began):
            return None
        if not self.leading:
            self._term = new_term(self._seen, time.time())
        term = self._term
        lease = taken(self._seen, self._candidate, term, self._name, time.time(), self._pace.lease_s)
        self._seen = self._seen.again(await self._write(lease), began)
        return term

    async def _look(self) -> None:
        began = time.monotonic()
        try:
            lease = await self._api.read_lease(self._namespace, self._name)
        except KubeError as error:
            if error.status != 404:
                raise
            lease = None
        self._seen = self._seen.again(lease, began)

    async def _write(self, lease: Lease) -> Lease:
        """409 when another was quicker."""
        if self._seen.lease is None:
            return await self._api.create_lease(self._namespace, lease)
        return await self._api.replace_lease(self._namespace, self._name, lease)

    def _say(self, error: KubeError) -> None:
        """Once for each new trouble; losing a race is none."""
        if error.status != 409 and str(error) != self._said:
            self._said = str(error)
            self._log.warning("the lease cannot be had", lease=f"{self._namespace}/{self._name}", why=str(error))
