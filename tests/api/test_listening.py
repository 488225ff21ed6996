"""A proxy takes callers when it has something to answer them with, and not before."""

import asyncio
from pathlib import Path

import aiohttp
from builders.gateway import one_route
from builders.unattended import proxy_without_operator, status, until_it_is
from fakes.provider import FakeProvider


def test_a_proxy_without_a_table_takes_no_callers(tmp_path: Path) -> None:
    """Those that share its port with it can answer them."""

    async def story() -> None:
        async with (
            FakeProvider() as provider,
            aiohttp.ClientSession() as session,
            proxy_without_operator(tmp_path) as (proxy, at),
        ):
            await until_it_is(503, session, at.admin, "/readyz")
            assert await status(session, at.listen, "/v1/models") == 0
            await proxy._apply(one_route(provider))
            await until_it_is(200, session, at.listen, "/v1/models")
            assert await status(session, at.admin, "/readyz") == 200

    asyncio.run(story())


def test_a_proxy_that_never_got_a_table_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    async def story() -> None:
        async with aiohttp.ClientSession() as session, proxy_without_operator(tmp_path) as (_, at):
            await until_it_is(503, session, at.admin, "/readyz")

    asyncio.run(story())
