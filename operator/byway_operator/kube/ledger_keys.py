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
LOOK_EVERY_S = 5.0
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0
ANSWER_WITHIN_S = 10.0
_MOST_ANSWER_BYTES = 4096

_encode = msgspec.json.Encoder(order="sorted").encode


class LedgerKeys:
    """Run it in one task with an owner, while we lead.

    `issuer()` is what callers' tokens are verified by, as it is known now; the ledger gets it with its audience.
    None: nobody knows yet, and the ledger keeps what it has.
    """

    def __init__(
        self,
        ledger: str,
        issuer: Callable[[], Issuer | None],
        tls: ClientTls,
        log: Log,
        audience: str = "byway-ledger",
        *,
        every_s: float = EVERY_S,
        look_every_s: float = LOOK_EVERY_S,
        first_wait_s: float = FIRST_WAIT_S,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.brought: Issuer | None = None
        """What the ledger took last, as `issuer()` gave it."""
        self._url, self._issuer, self._tls, self._log = ledger.rstrip("/") + KEYS_PATH, issuer, tls, log
        self._audience, self._every_s, self._look_every_s = audience, every_s, look_every_s
        self._first_wait_s, self._dice = first_wait_s, dice
        self._failures = 0
        self._failed = ""

    async def run(self) -> None:
        """Runs until cancelled."""
        timeout, loop = aiohttp.ClientTimeout(total=ANSWER_WITHIN_S), asyncio.get_running_loop()
        async with aiohttp.ClientSession(timeout=timeout, trust_env=False) as session:
            due, tried = loop.time(), None
            while True:
                issuer = self._issuer()
                if issuer is not None and (issuer != tried or loop.time() >= due):
                    tried = issuer
                    failed = await self._put(session, msgspec.structs.replace(issuer, audience=self._audience))
                    due = loop.time() + self._after(issuer, failed)
                await asyncio.sleep(min(max(due - loop.time(), 0.001), self._look_every_s))

    async def _put(self, session: aiohttp.ClientSession, keys: Issuer) -> str:
        """Why it failed; empty: it did not."""
        how: dict[str, Any] = {"headers": {"Content-Type": "application/json"}, "allow_redirects": False}
        try:
            async with session.put(self._url, data=_encode(keys), ssl=self._tls.context, **how) as answer:
                if answer.status == 204:
                    return ""
                said = await answer.content.read(_MOST_ANSWER_BYTES)
                return f"HTTP {answer.status}: {said[:500].decode(errors='replace')}"
        except TimeoutError:
            return f"no answer within {ANSWER_WITHIN_S} s"
        except (aiohttp.ClientError, OSError) as error:
            return f"{type(error).__name__}: {error}"

    def _after(self, issuer: Issuer, failed: str) -> float:
        """Say what is new, and how long to wait until the next try."""
        if not failed:
            if issuer != self.brought or self._failures:
                self._log.info("the ledger has the cluster's signing keys", after_failures=self._failures)
            self.brought, self._failures, self._failed = issuer, 0, ""
            return self._every_s
        self._failures += 1
        if failed != self._failed:
            self._log.warning("the ledger does not take the cluster's signing keys", ledger=self._url, why=failed)
        self._failed = failed
        longest = min(LONGEST_WAIT_S, self._first_wait_s * 2.0 ** min(self._failures, 16))
        return self._dice() * longest
