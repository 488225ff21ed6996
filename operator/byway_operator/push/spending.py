"""Ask the ledger every few seconds what is spent. Its answer is for people to read: proxies never wait for it.

    every 5 s, or limits changed --GET--> 200, as before   --> rest
                                          200, otherwise   --> tell
                                          4xx, 5xx, silence--> what was known stands; ask again

Nobody asks but who leads.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import aiohttp
import msgspec
from byway_contract.grants import COUNTERS_PATH, Counters
from byway_process.logs import Log
from byway_process.tls import ClientTls

from byway_operator.push.spend import Spend, heard, silent

EVERY_S = 5.0
ANSWER_WITHIN_S = 10.0
MOST_COUNTERS = 50_000
# Half a kilobyte each is twice what one takes.
MOST_BYTES = MOST_COUNTERS * 512
_decode = msgspec.json.Decoder(Counters).decode


class _NoAnswer(Exception):
    """Why there is none."""


class Spending:
    """Run it in one task with an owner, while we lead. `ledger`: the path of a socket, `unix:` before it or not,
    or `https://host:port`.

    `changed` is called when `spend` says something else.
    """

    def __init__(
        self,
        ledger: str,
        changed: Callable[[], None],
        log: Log,
        tls: ClientTls | None = None,
        *,
        every_s: float = EVERY_S,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.spend = Spend()
        self.asked = 0
        """Times, answered or not."""
        self._socket = ledger.removeprefix("unix:") if ledger.startswith(("unix:", "/")) else None
        host = "http://ledger" if self._socket else ledger.rstrip("/")
        self._url = f"{host}{COUNTERS_PATH}?open=true&limit={MOST_COUNTERS}"
        self._changed, self._log, self._tls, self._every_s, self._now = changed, log, tls, every_s, now
        self._body = b""
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """Ask at once: limits are others than before."""
        self._hurry.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        connector = aiohttp.UnixConnector(self._socket) if self._socket else aiohttp.TCPConnector(limit=1)
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session:
            while True:
                self._hurry.clear()
                try:
                    self._understand(await self._ask(session))
                except _NoAnswer as error:
                    self._miss(str(error))
                self.asked += 1
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._every_s):
                        await self._hurry.wait()

    async def _ask(self, session: aiohttp.ClientSession) -> bytes:
        try:
            tls = self._tls.context if self._tls else True
            async with session.get(self._url, ssl=tls, allow_redirects=False) as answer:
                if (answer.content_length or 0) > MOST_BYTES:
                    raise _NoAnswer(f"HTTP {answer.status}, and an answer no ledger gives")
                body = await answer.read()
                if answer.status != 200:
                    raise _NoAnswer(f"HTTP {answer.status}: {body[:300].decode(errors='replace')}")
                return body
        except TimeoutError as error:
            raise _NoAnswer(f"no answer within {ANSWER_WITHIN_S:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _NoAnswer(f"{type(error).__name__}: {error}") from error

    def _understand(self, body: bytes) -> None:
        # Most of the time nothing was spent: then there is nothing to read.
        if body == self._body and self.spend.silent_since is None:
            return
        try:
            spend = heard(_decode(body))
        except msgspec.DecodeError as error:
            raise _NoAnswer(f"an answer no ledger gives: {error}") from error
        if self.spend.silent_since is not None:
            self._log.info("the ledger says again what is spent")
        if not spend.whole and self.spend.whole:
            self._log.warning("the ledger has more counters than are shown", shown=MOST_COUNTERS)
        self._body, self.spend = body, spend
        self._changed()

    def _miss(self, why: str) -> None:
        if why != self.spend.why:
            self._log.warning("the ledger does not say what is spent", why=why)
        self.spend = silent(self.spend, why, self._now())
