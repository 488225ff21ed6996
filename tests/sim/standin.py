"""A small proxy's purse, until the proxy has one."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import msgspec
from byway_contract.grants import GRANTS_PATH, HELLO_PATH, Ask, Grants, Hello, Want
from byway_contract.records import Legs, Release
from byway_proxy.meter.log import Log

from sim.virtual_net import NoAnswer

Claims = dict[tuple[str, str], int]
"""(limit, subject) → amount."""
Post = Callable[[str, bytes], Awaitable[tuple[int, bytes]]]
_grants = msgspec.json.Decoder(Grants).decode


@dataclass
class Purse:
    id: str
    counter: tuple[str, str]
    free: int
    until: float
    held: int = 0
    recalled: bool = False


class StandIn:
    def __init__(self, log: Log, post: Post, now: Callable[[], float]) -> None:
        self._log, self._post, self._now = log, post, now
        self.purses: dict[str, Purse] = {}
        self._asks = 0
        self._open: set[int] = set()
        self._old = log.last
        self.greeted = False

    async def hold(self, claims: Claims, within_s: float) -> Legs | None:
        until = self._now() + within_s
        while True:
            legs = self._try(claims)
            if legs is not None or self._now() >= until:
                return legs
            if not await self._ask(claims, until):
                return None

    def settle(self, held: Legs, actual: dict[str, int]) -> Legs:
        drawn: dict[str, int] = {}
        for grant, amount in held:
            purse = self.purses[grant]
            part = min(amount, actual[purse.counter[0]])
            actual[purse.counter[0]] -= part
            purse.held -= amount
            purse.free += amount - part
            drawn[grant] = part
        for grant in drawn:
            purse = self.purses[grant]
            more = min(purse.free, actual[purse.counter[0]])
            purse.free -= more
            actual[purse.counter[0]] -= more
            drawn[grant] += more
        return tuple(drawn.items())

    def recall(self, grants: tuple[str, ...]) -> None:
        for grant in grants:
            if grant in self.purses:
                self.purses[grant].recalled = True
        self._release()

    async def run(self) -> None:
        while True:
            if self._log.booked >= self._old and await self._say_hello():
                break
            await asyncio.sleep(0.2)
        self.greeted = True
        while True:
            self._release()
            await asyncio.sleep(0.5)

    def drain(self) -> None:
        for purse in self.purses.values():
            purse.recalled = True
        self._release()

    def _try(self, claims: Claims) -> Legs | None:
        legs: list[tuple[str, int]] = []
        for counter, amount in claims.items():
            rest = amount
            for purse in self.purses.values():
                usable = purse.counter == counter and not purse.recalled and purse.until > self._now()
                if usable and purse.free and rest:
                    part = min(rest, purse.free)
                    legs.append((purse.id, part))
                    rest -= part
            if rest:
                return None
        for grant, part in legs:
            self.purses[grant].free -= part
            self.purses[grant].held += part
        return tuple(legs)

    async def _ask(self, claims: Claims, until: float) -> bool:
        self._asks += 1
        number = self._asks
        self._open.add(number)
        wants = tuple(Want(limit, amount, amount * 4, who) for (limit, who), amount in claims.items())
        while True:
            sent_at, done = self._now(), min(self._open) - 1
            ask = Ask(self._log.source, self._log.epoch, number, done, wants)
            try:
                status, body = await self._post(GRANTS_PATH, msgspec.json.encode(ask))
            except NoAnswer:
                await asyncio.sleep(0.1)
                continue
            if status != 200:
                if status == 409:
                    self._open.discard(number)
                    return False
                await asyncio.sleep(0.1)
                continue
            break
        self._open.discard(number)
        answer = _grants(body)
        for one in answer.given:
            self.purses[one.grant] = Purse(one.grant, (one.limit, one.subject), one.amount, sent_at + one.use_for_s)
        self.recall(answer.recall)
        return not answer.denied

    async def _say_hello(self) -> bool:
        hello = Hello(self._log.source, self._log.epoch, self._old)
        try:
            status, _ = await self._post(HELLO_PATH, msgspec.json.encode(hello))
        except NoAnswer:
            return False
        return status == 200

    def _release(self) -> None:
        for purse in list(self.purses.values()):
            if purse.recalled or purse.until <= self._now():
                if purse.free:
                    self._log.append(Release(purse.id, purse.free))
                    purse.free = 0
                if not purse.held:
                    del self.purses[purse.id]
