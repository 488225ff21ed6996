"""A proxy whose records reach a real ledger, as both of `byway up`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from builders.gateway import Gateway, gateway
from byway_contract.table import Table
from fakes.usage import ledger_at


@asynccontextmanager
async def booked_gateway(folder: Path, table: Table, **how: Any) -> AsyncIterator[Gateway]:
    async with ledger_at(folder) as to, gateway(folder, table, ledger=to, **how) as proxy:
        yield proxy
