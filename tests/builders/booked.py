"""A proxy whose records reach a real ledger, as both of `byway up`, and a second proxy beside it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders.gateway import Gateway, gateway
from byway_contract.table import Table
from byway_proxy.meter.ship import Shipper
from fakes.usage import ledger_at, silent


@asynccontextmanager
async def booked_gateway(folder: Path, table: Table, **how: Any) -> AsyncIterator[Gateway]:
    async with (
        ledger_at(folder) as to,
        gateway(folder, table, ledger=to, **how) as proxy,
        shipping(proxy, to),
    ):
        yield proxy


@asynccontextmanager
async def shipping(proxy: Gateway, to: str) -> AsyncIterator[None]:
    shipper = Shipper(proxy.records, to, silent(), first_wait_s=0.001, longest_wait_s=0.02)
    task = asyncio.create_task(shipper.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
