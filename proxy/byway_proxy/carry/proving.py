"""Make an account's cheapest authenticated call, when the operator asks for it, and tell health what came of it.

    operator: verify --ask--> queue --a few at a time--> GET …/models --> health.proven | disproved --> report

The calls go through the same client as requests do, so they meet the same guard, TLS and headers. They are no
requests: they are not counted, not booked, take no place, and put no endpoint to rest.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import NoReturn

from byway_contract.table import Table

from byway_proxy.carry import proof
from byway_proxy.carry.heads import Head, proof_head
from byway_proxy.carry.refusing import by_failure, error_in
from byway_proxy.carry.upstream.client import Client, Exchange, Failure
from byway_proxy.choose.health import Health
from byway_proxy.choose.trouble import Trouble

# A whole catalogue in JSON is some 100 KiB; read to its end, so that the connection serves the first request.
_MOST_BYTES = 2 * 1024 * 1024
# The operator asks for few at once; whatever it does, this is all that is remembered.
_MOST_WAITING = 4096


class Prover:
    """`told()` is called whenever health knows more. `table()` is the live one, if there is one."""

    def __init__(
        self,
        client: Client,
        health: Health,
        table: Callable[[], Table | None],
        told: Callable[[], None],
        now: Callable[[], float],
        wall: Callable[[], float],
        *,
        connect_s: float = 3.0,
        within_s: float = 8.0,
        at_once: int = 4,
    ) -> None:
        self._client, self._health, self._table, self._told = client, health, table, told
        self._now, self._wall = now, wall
        self._connect_s, self._within_s, self._at_once = connect_s, within_s, at_once
        self._waiting: dict[str, None] = {}
        """In the order in which they were asked for, each once."""
        self._some = asyncio.Event()

    def ask(self, account_ids: Iterable[str]) -> None:
        for account_id in account_ids:
            if len(self._waiting) < _MOST_WAITING:
                self._waiting[account_id] = None
        self._some.set()

    async def run(self) -> NoReturn:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self._at_once):
                tasks.create_task(self._work())
        raise AssertionError("work does not end")

    async def _work(self) -> NoReturn:
        while True:
            while not self._waiting:
                self._some.clear()
                await self._some.wait()
            account_id = next(iter(self._waiting))
            del self._waiting[account_id]
            await self._prove(account_id)

    async def _prove(self, account_id: str) -> None:
        table = self._table()
        account = table.accounts.get(account_id) if table is not None else None
        if table is None or account is None or not account.verify:
            return
        # As of now: should the credential change meanwhile, what comes of this one is told to nobody.
        known = self._health.asked(account_id)
        head = proof_head(account_id, table)
        outcome = await self._said(head)
        if isinstance(outcome, Trouble):
            self._health.disproved(known, outcome, self._now())
        elif outcome == "taken" and (not head.credential or await self._wanted(account_id, table)):
            self._health.proven(known, self._now())
        self._told()

    async def _said(self, head: Head) -> proof.Said:
        exchange = self._client.exchange(head.origin, head.text, b"", connect_s=self._connect_s)
        try:
            async with asyncio.timeout(self._within_s):
                body = await _answer(exchange)
        except Failure as failure:
            refused = by_failure(failure)
            return (
                Trouble(refused.kind, why=refused.why)
                if refused.kind in ("connect", "off_limits", "reset")
                else None
            )
        except TimeoutError:
            return Trouble("timeout")
        finally:
            exchange.close()
        return proof.said(exchange.status, body, error_in(body), exchange.headers, self._wall())

    async def _wanted(self, account_id: str, table: Table) -> bool:
        """Whether the call is refused without the credential: a list that anybody may read proves nothing."""
        head = proof_head(account_id, table, with_credential=False)
        exchange = self._client.exchange(head.origin, head.text, b"", connect_s=self._connect_s)
        try:
            async with asyncio.timeout(self._within_s):
                await _answer(exchange)
        except (Failure, TimeoutError):
            return False
        finally:
            exchange.close()
        return proof.wants_credential(exchange.status)


async def _answer(exchange: Exchange) -> bytes:
    await exchange.begin()
    return await exchange.read_all(_MOST_BYTES)
