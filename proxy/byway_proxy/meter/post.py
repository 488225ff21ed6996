"""A way to the ledger: a POST, and what came back. What is asked and what an answer means is for others to say.

Shipping and asking are given one as an argument, so that a simulation can be the net between.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

import aiohttp
import msgspec
from byway_contract.records import CLOSED_EPOCH
from byway_process.tls import ClientTls

from byway_proxy.meter.log import Log

ANSWER_WITHIN_S = 10.0
MOST_ANSWER_BYTES = 1024 * 1024
# Shipping, asking, and one that is given up on while the next begins.
MOST_CONNECTIONS = 4
NO_TOKEN = "the token's file holds no token; mount a projected ServiceAccount token of the ledger's audience"


class NoAnswer(Exception):
    """Nobody knows whether it arrived."""


class Post(Protocol):
    async def __call__(self, path: str, body: bytes) -> tuple[int, bytes]:
        """HTTP's status, and the body of the answer. Raises NoAnswer."""


@dataclass(frozen=True)
class Ledger:
    """Where it is: `unix:/path/to/socket`, or `http(s)://host:port`; and what proves us there."""

    url: str
    token_file: str | None = None
    """Read for each request: the kubelet renews it in place."""
    tls: ClientTls | None = None

    def proofs(self) -> dict[str, str]:
        """Header lines. Raises OSError if there is no token where one should be."""
        if self.token_file is None:
            return {}
        token = Path(self.token_file).read_text(encoding="ascii", errors="replace").strip()
        return {"Authorization": f"Bearer {token}"}


class LedgerPost:
    """Over HTTP, with connections that are kept. Close it, or enter it."""

    def __init__(self, to: Ledger | str, *, answer_within_s: float = ANSWER_WITHIN_S) -> None:
        self._ledger = to if isinstance(to, Ledger) else Ledger(to)
        url = self._ledger.url
        self._socket = url.removeprefix("unix:") if url.startswith("unix:") else None
        self._base = "http://ledger" if self._socket else url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=answer_within_s)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __call__(self, path: str, body: bytes) -> tuple[int, bytes]:
        session = self._session or self._open()
        try:
            headers = {"Content-Type": "application/json", **self._ledger.proofs()}
            tls = self._ledger.tls.context if self._ledger.tls else True
            async with session.post(
                self._base + path, data=body, headers=headers, ssl=tls, allow_redirects=False
            ) as answer:
                if (answer.content_length or 0) > MOST_ANSWER_BYTES:
                    raise NoAnswer(f"HTTP {answer.status}, and an answer no ledger gives")
                return answer.status, await answer.read()
        except TimeoutError as error:
            raise NoAnswer(f"no answer within {self._timeout.total} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        except ValueError as error:
            # What the token's file holds cannot be in a header. It is not quoted.
            raise NoAnswer(NO_TOKEN) from error

    def _open(self) -> aiohttp.ClientSession:
        connector = (
            aiohttp.UnixConnector(self._socket, limit=MOST_CONNECTIONS)
            if self._socket
            else aiohttp.TCPConnector(limit=MOST_CONNECTIONS)
        )
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, trust_env=False, auto_decompress=False
        )
        return self._session


class _Told(msgspec.Struct):
    error: dict[str, str]


def said(text: bytes) -> str:
    """What the ledger says is wrong, which holds the way out; or whatever somebody else said in its place."""
    try:
        return msgspec.json.decode(text, type=_Told).error["message"][:500]
    except (msgspec.DecodeError, KeyError):
        return text[:200].decode(errors="replace")


def fenced(log: Log, epoch: int) -> str:
    """What a log is that may not write any more; it is disowned if the ledger holds it for lost."""
    if epoch >= CLOSED_EPOCH:
        log.disown()
        return f"the log in {log.directory} was declared lost; the next start begins a new one"
    return (
        f"the log in {log.directory}, in its opening {log.epoch}, has been opened elsewhere since ({epoch}):"
        " two proxies have copies of it; move this one away and restart"
    )


async def at_once_or(event: asyncio.Event, within_s: float) -> None:
    """A pause that news ends."""
    try:
        async with asyncio.timeout(max(within_s, 0.001)):
            await event.wait()
    except TimeoutError:
        return
