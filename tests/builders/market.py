"""Fake providers with a proxy before them, for stories of who answers and why."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from builders.gateway import Answer, Gateway, gateway
from builders.tables import account, endpoint, table
from byway_contract.table import Account, Endpoint, Route, Table
from fakes.provider import FakeProvider

Providers = Mapping[str, FakeProvider]
"""By slug: a, b, c. Their display names are A, B, C."""
Story = Callable[[Gateway, Providers], Awaitable[None]]


def told(
    story: Story, folder: Path, table_of: Callable[[Providers], Table], slugs: str = "abc", **how: Any
) -> None:
    """`how` goes to the gateway."""

    async def tell() -> None:
        async with AsyncExitStack() as stack:
            at = {slug: await stack.enter_async_context(FakeProvider(keys=None)) for slug in slugs}
            await story(await stack.enter_async_context(gateway(folder, table_of(at), **how)), at)

    asyncio.run(tell())


def key(slug: str, at: Providers, namespace: str = "team-a", **fields: Any) -> Account:
    """A provider key at one of them, without a credential."""
    return account(slug, namespace, base_url=at[slug].url, **fields)


def market(
    *priced: tuple[str, float | None],
    model: str = "acme/m",
    routes: list[Route] | None = None,
    more: list[Endpoint] | None = None,
    accounts: Mapping[str, dict[str, Any]] | None = None,
    endpoints: Mapping[str, dict[str, Any]] | None = None,
) -> Callable[[Providers], Table]:
    """One model at several providers of team-a, whose apps call; `accounts` and `endpoints` say more of each."""

    def of(at: Providers) -> Table:
        keys = [key(slug, at, **(accounts or {}).get(slug, {})) for slug in at]
        offers = [
            endpoint(f"team-a/{slug}", model, price, **(endpoints or {}).get(slug, {})) for slug, price in priced
        ]
        return table(keys, offers + (more or []), routes, anonymous="team-a")

    return of


def who(answer: Answer) -> str:
    """The slug of the provider that answered."""
    assert answer.status == 200, answer.body
    provider: str = answer.json["provider"]
    return provider.lower()


async def shares(proxy: Gateway, asks: int, model: str = "acme/m", **fields: Any) -> Counter[str]:
    """Who answers how many of so many requests."""
    return Counter([who(await proxy.ask(model, **fields)) for _ in range(asks)])


async def explained(proxy: Gateway, model: str = "acme/m", **fields: Any) -> list[Any]:
    """The rows of `X-Byway-Explain` of an answer."""
    answer = await proxy.ask(model, headers={"X-Byway-Explain": "1"}, **fields)
    assert answer.status == 200, answer.body
    rows: list[Any] = answer.json["byway"]["explain"]
    return rows


def places(rows: list[Any]) -> list[str]:
    """The providers to be tried, first to last."""
    return [row["provider"] for row in rows if "place" in row]


def left_out(rows: list[Any]) -> dict[str, str]:
    """Provider → why not."""
    return {row["provider"]: row["reason"] for row in rows if "place" not in row}
