"""Signing keys among ledgers side by side: the operator brings them to one, the others find them in the books."""

import asyncio

from byway_process.logs import Log

from byway_ledger.keys import Keys, KeysError
from byway_ledger.stores.postgres import Postgres
from byway_ledger.stores.store import StoreError

# A proxy that is told "no keys yet" comes again after two seconds.
LOOK_EVERY_S = 2.0
_NAME = "signing keys"


class SharedKeys:
    def __init__(self, store: Postgres, keys: Keys, log: Log) -> None:
        self.keys = keys
        self._store, self._log = store, log

    async def keep(self, written: str) -> None:
        """Raises StoreError."""
        await self._store.keep(_NAME, written)

    async def watch(self, look_every_s: float) -> None:
        failing = False
        while True:
            try:
                await self._look()
                failing = False
            except (StoreError, KeysError) as error:
                if not failing:
                    self._log.warning("other ledgers' signing keys cannot be read", why=str(error))
                failing = True
            await asyncio.sleep(look_every_s)

    async def _look(self) -> None:
        body = await self._store.kept(_NAME)
        if body is not None and body.encode() != self.keys.written:
            self.keys.take(body.encode())
