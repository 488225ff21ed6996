"""A way between proxies and the ledger on which messages are late, lost, twice there, or cut off for a while.

A message is the body of an HTTP request, encoded; what answers it is the ledger's own handler.
"""

import asyncio
import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

from byway_proxy.meter.post import NoAnswer
from sim.virtual_loop import VirtualLoop

Handler = Callable[[str, bytes], tuple[int, bytes] | None]
"""(path, body) → (status, body); None where nobody answers."""


@dataclass(frozen=True)
class Weather:
    lost: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    """What part of messages takes up to `latest_s`; the others take milliseconds."""
    latest_s: float = 3.0


FAIR = Weather()


class Net:
    def __init__(self, loop: VirtualLoop, dice: random.Random, ledger: Handler, weather: Weather) -> None:
        self._loop, self._dice, self._ledger = loop, dice, ledger
        self.weather = weather
        self.cut_off: set[str] = set()
        self.messages = self.repeated = self.dropped = 0
        self.fingerprint = 0
        """Of everything that the ledger was told and said: a seed's is always the same."""

    async def call(self, sender: str, path: str, body: bytes, within_s: float) -> tuple[int, bytes]:
        """Raises NoAnswer."""
        answer: asyncio.Future[tuple[int, bytes] | None] = self._loop.create_future()
        self._send(sender, lambda: self._arrive(sender, path, body, answer))
        try:
            async with asyncio.timeout(within_s):
                told = await answer
        except TimeoutError:
            raise NoAnswer(f"no answer within {within_s} s") from None
        if told is None:
            raise NoAnswer("nobody is there")
        return told

    def _arrive(
        self, sender: str, path: str, body: bytes, answer: asyncio.Future[tuple[int, bytes] | None]
    ) -> None:
        told = self._ledger(path, body)
        self.fingerprint = zlib.crc32(body if told is None else body + told[1], self.fingerprint)

        def back() -> None:
            if not answer.done():
                answer.set_result(told)

        self._send(sender, back)

    def _send(self, sender: str, arrive: Callable[[], None]) -> None:
        copies = 2 if self._dice.random() < self.weather.twice else 1
        self.messages += 1
        self.repeated += copies - 1
        for _ in range(copies):
            if self._dice.random() < self.weather.lost:
                self.dropped += 1
                continue
            self._loop.in_nature(self._loop.time() + self._delay(), lambda: self._pass(sender, arrive))

    def _pass(self, sender: str, arrive: Callable[[], None]) -> None:
        if sender in self.cut_off:
            self.dropped += 1
        else:
            arrive()

    def _delay(self) -> float:
        if self._dice.random() < self.weather.late:
            return self._dice.random() * self.weather.latest_s
        return 0.001 + self._dice.random() * 0.01
