"""Budgets at a real ledger, for tests: what the operator would bring it, and what it then says of its counters."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import ClientSession, UnixConnector
from builders.gateway import Gateway, gateway
from byway_contract.budget import Budget, Line
from byway_contract.grants import COUNTERS_PATH, LIMITS_PATH, Counter, Counters, Limit, Limits, Unit
from byway_contract.money import Price
from byway_contract.periods import Period
from byway_contract.table import Floor, SectionName, Table, TableObject, canonical, decode
from fakes.usage import ledger_at


def line(amount: int, period: Period = "Month", unit: Unit = "nanodollars") -> Line:
    return Line(period, unit, amount)


def budget(*lines: Line, namespace: str = "default", name: str = "team", **fields: Any) -> Budget:
    return Budget(namespace, name, lines, **fields)


def under(table: Table, *budgets: Budget) -> Table:
    """The same, with budgets."""
    sections: dict[SectionName, dict[str, Any]] = {name: dict(objects) for name, objects in table.raw.items()}
    objects: dict[str, TableObject] = {one.id: one for one in budgets}
    return decode({**sections, "budgets": {name: canonical(one) for name, one in objects.items()}})


def limits(budgets: Iterable[Budget], generation: int = 1) -> Limits:
    return Limits(
        1,
        generation,
        f"limits-{generation}",
        tuple(
            Limit(
                one.id, each.period, each.unit, each.amount, per=one.per, match=one.match, top_ups=each.top_ups,
                dearest=one.dearest,
            )
            for one in budgets
            for each in one.counted()
        ),
    )  # fmt: skip


async def rule(ledger: str, *budgets: Budget, generation: int = 1) -> None:
    body = msgspec.json.encode(limits(budgets, generation))
    async with _session(ledger) as session, session.put(f"http://ledger{LIMITS_PATH}", data=body) as answer:
        assert answer.status == 200, await answer.text()


async def counters(ledger: str) -> dict[str, Counter]:
    """By limit, or by limit and subject where there is one."""
    async with _session(ledger) as session, session.get(f"http://ledger{COUNTERS_PATH}") as answer:
        found = msgspec.json.decode(await answer.read(), type=Counters).counters
    return {f"{one.limit} {one.subject}".strip(): one for one in found}


def _session(ledger: str) -> ClientSession:
    return ClientSession(connector=UnixConnector(ledger.removeprefix("unix:")))


def priced(table: Table, price: Price | None, **fields: Any) -> Table:
    """The same, its endpoints at another price."""
    sections: dict[SectionName, dict[str, Any]] = {name: dict(objects) for name, objects in table.raw.items()}
    for name, one in table.endpoints.items():
        sections["endpoints"][name] = canonical(msgspec.structs.replace(one, price=price, **fields))
    return decode(sections)


def floored(table: Table, floor: Floor) -> Table:
    """The same, with a floor."""
    sections: dict[SectionName, dict[str, Any]] = {name: dict(objects) for name, objects in table.raw.items()}
    sections["policies"]["floor:0"] = canonical(floor)
    return decode(sections)


@asynccontextmanager
async def held(folder: Path, table: Table, *budgets: Budget, **settings: Any) -> AsyncIterator[tuple[Gateway, str]]:
    async with ledger_at(folder) as ledger:
        await rule(ledger, *budgets)
        async with gateway(folder, under(table, *budgets), ledger=ledger, **settings) as proxy:
            yield proxy, ledger
