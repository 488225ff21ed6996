"""Bring the ledger the cluster's signing keys: it dials nobody, and has no right to ask for them itself.

    keys changed, or every minute --PUT--> 204                      --> rest
                                           no answer, 4xx, 5xx      --> again, after a while that grows

The same keys again cost a ledger that has them nothing, and one that came up empty gets them by it. By TLS both
sides know each other: our certificate names us, its authority is the one the ledger was given.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec
from byway_contract.records import KEYS_PATH
from byway_contract.table import Issuer
from byway_process.logs import Log
from byway_process.tls import ClientTls

EVERY_S = 60.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
ANSWER_WITHIN_S = 10.0
_MOST_ANSWER_BYTES = 4096

_encode = msgspec.json.Encoder(order="sorted").encode


class LedgerKeys:
    """Run it in one task with an owner, while we lead; `bring` what is to be known whenever it may have changed."""

    def __init__(
        self,
        ledger: str,
        tls: ClientTls,
        log: Log,
        audience: str = "byway-ledger",
        *,
        every_s: float = EVERY_S,
        first_wait_s: float = FIRST_WAIT_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self._url, self._tls, self._log = ledger.rstrip("/") + KEYS_PATH, tls, log
        self._audience, self._every_s, self._first_wait_s, self._dice = audience, every_s, first_wait_s, dice
        self._body = b""
        self._changed = asyncio.Event()
        self._failures = 0
        self._failed = ""
        self.brought = False
        """Whether the ledger has the keys that are to be known."""

    def bring(self, issuer: Issuer | None) -> None:
        """The issuer as callers' tokens have it; the ledger gets it with its own audience. None: unknown."""
        body = _encode(msgspec.structs.replace(issuer, audience=self._audience)) if issuer is not None else b""
        if body and body != self._body:
            self._body, self.brought = body, False
            self._changed.set()

    async def run(self) -> None:
        """Runs until cancelled."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S)
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            while True:
                self._changed.clear()
                wait_s = self._every_s
                if self._body:
                    wait_s = self._after(await self._put(session, self._body))
                try:
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
                except TimeoutError:
                    continue

    async def _put(self, session: aiohttp.ClientSession, body: bytes) -> str:
        """Why it failed; empty: it did not."""
        how: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "allow_redirects": False}
        try:
            async with session.put(self._url, data=body, ssl=self._tls.context, **how) as answer:
                if answer.status == 204:
                    return ""
                said = await answer.content.read(_MOST_ANSWER_BYTES)
                return f"HTTP {answer.status}: {said[:500].decode(errors='replace')}"
        except TimeoutError:
            return f"no answer within {ANSWER_WITHIN_S} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}: {error}"

    def _after(self, failed: str) -> float:
        """Say what is new, and how long to wait."""
        if not failed:
            if not self.brought:
                self._log.info("the ledger has the cluster's signing keys", after_failures=self._failures)
            self.brought, self._failures, self._failed = True, 0, ""
            return self._every_s
        self._failures += 1
        if failed != self._failed:
            self._log.warning("the ledger does not take the cluster's signing keys", ledger=self._url, why=failed)
        self.brought, self._failed = False, failed
        longest = min(LONGEST_WAIT_S, self._first_wait_s * 2.0 ** min(self._failures, 16))
        return max(self._dice() * longest, 0.001)
