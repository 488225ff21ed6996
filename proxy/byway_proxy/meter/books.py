"""Ask the ledger what it has booked, for callers who ask about themselves. Never on the path of a model's answer.

Who may see what is decided by whoever asks: this only fetches. Callers ask as often as they like, so all of it is
bounded: some connections, some waiting, a short while for each answer, and what was answered a moment ago is said
again.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

import aiohttp
import msgspec
from byway_contract.activity import ATTEMPTS_PATH, Attempt, Attempts, By, Sums
from byway_contract.fees import CREDITS_PATH, Credits
from byway_contract.grants import COUNTERS_PATH, Counter, Counters
from byway_contract.records import USAGE_PATH
from cachetools import TTLCache

from byway_proxy.meter.post import Ledger

WITHIN_S = 2.0
CONNECTIONS = 4
MOST_WAITING = 64
MOST_ANSWER_BYTES = 16 * 1024 * 1024
# Apps poll; and a sum of a long time is work for the ledger. Short answers only are remembered.
FRESH_S, REMEMBERED, SHORT_BYTES = 5.0, 512, 32 * 1024

T = TypeVar("T")


class BooksAway(Exception):
    """The ledger does not answer, or not with an answer. Worth asking again soon."""


class Books:
    def __init__(self, ledger: Ledger, now: Callable[[], float], *, within_s: float = WITHIN_S) -> None:
        self._ledger, self._within_s = ledger, within_s
        self._socket = ledger.url.removeprefix("unix:") if ledger.url.startswith("unix:") else None
        self._url = "http://ledger" if self._socket else ledger.url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None
        self._waiting = 0
        self._fresh: TTLCache[str, bytes] = TTLCache(REMEMBERED, FRESH_S, timer=now)

    async def attempts(self, request: str, namespace: str | None) -> list[Attempt]:
        """Of that namespace alone, if one is named. Raises BooksAway."""
        asked = {"request": request} if namespace is None else {"request": request, "namespace": namespace}
        return _read(await self._get(ATTEMPTS_PATH, asked.items()), Attempts).attempts

    async def sums(
        self, by: Iterable[By], only: Mapping[By, str], since: float, until: float | None = None, limit: int = 1000
    ) -> Sums:
        """Raises BooksAway."""
        asked: dict[str, str] = {"by": ",".join(by), "since": f"{since:.0f}", "limit": str(limit)}
        asked.update(only.items())
        if until is not None:
            asked["until"] = f"{until:.0f}"
        return _read(await self._remembered(USAGE_PATH, asked.items()), Sums)

    async def counters(self, names: Iterable[tuple[str, str]]) -> list[Counter]:
        """Where these (limit, subject) stand in their windows of now, as far as the ledger knows them.

        Raises BooksAway.
        """
        asked = [("of", f"{limit}\n{subject}") for limit, subject in names]
        return _read(await self._remembered(COUNTERS_PATH, asked), Counters).counters if asked else []

    async def credits(self, namespace: str | None) -> Credits:
        """Of that namespace, or of all. Raises BooksAway."""
        asked = {} if namespace is None else {"namespace": namespace}
        return _read(await self._remembered(CREDITS_PATH, asked.items()), Credits)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def _remembered(self, path: str, query: Iterable[tuple[str, str]]) -> bytes:
        target = f"{path}?{urlencode(list(query))}"
        found = self._fresh.get(target)
        if found is None:
            found = await self._fetch(target)
            if len(found) <= SHORT_BYTES:
                self._fresh[target] = found
        return found

    async def _get(self, path: str, query: Iterable[tuple[str, str]]) -> bytes:
        return await self._fetch(f"{path}?{urlencode(list(query))}")

    async def _fetch(self, target: str) -> bytes:
        if self._waiting >= MOST_WAITING:
            raise BooksAway("too many wait for the ledger already")
        self._waiting += 1
        try:
            return await self._fetched(target)
        except TimeoutError as error:
            raise BooksAway(f"no answer within {self._within_s:g} s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what the token's file holds cannot be in a header. It is not quoted.
            raise BooksAway(type(error).__name__) from error
        finally:
            self._waiting -= 1

    async def _fetched(self, target: str) -> bytes:
        tls = self._ledger.tls.context if self._ledger.tls else True
        async with self._dialling().get(
            self._url + target, headers=self._ledger.proofs(), ssl=tls, allow_redirects=False
        ) as answer:
            if answer.status != 200:
                raise BooksAway(f"HTTP {answer.status}")
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > MOST_ANSWER_BYTES:
                    raise BooksAway("an answer that is too long")
            return bytes(body)

    def _dialling(self) -> aiohttp.ClientSession:
        if self._session is None:
            limit = CONNECTIONS
            connector = (
                aiohttp.UnixConnector(self._socket, limit=limit)
                if self._socket
                else aiohttp.TCPConnector(limit=limit)
            )
            # The wait for one of the connections is in it.
            timeout = aiohttp.ClientTimeout(total=self._within_s)
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self._session


def _read(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BooksAway("an answer no ledger gives") from error
