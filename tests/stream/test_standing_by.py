"""Several operators, one of which leads: who is let in, and what a new reign sends."""

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web
from byway_contract.stream import PATH
from byway_operator.push.push import Hub
from byway_process.logs import Log
from stream.parts import PUSH, a_proxy, an_operator, compiled, until


class Elsewhere:
    """Another operator leads; what this one hears of later terms is kept."""

    def __init__(self, leader: str | None = None) -> None:
        self.leader = leader
        self.heard: list[int] = []

    def outreigned(self, term: int) -> None:
        self.heard.append(term)


@asynccontextmanager
async def standing_by(standing: Elsewhere) -> AsyncIterator[tuple[Hub, Path]]:
    with tempfile.TemporaryDirectory(prefix="by") as folder:
        path = Path(folder) / "s"
        hub = Hub(None, "op", Log("operator", out=io.StringIO()), lambda: None, PUSH, standing=standing)
        app = web.Application()
        app.add_routes(hub.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.UnixSite(runner, str(path)).start()
        try:
            yield hub, path
        finally:
            await hub.drain("shutdown", 0.05)
            await runner.cleanup()


def test_who_dials_a_standby_is_told_where_the_leader_is() -> None:
    async def story() -> None:
        async with standing_by(Elsewhere("192.0.2.1:8443")) as (hub, path):
            hub.publish(compiled("smart"))
            connector = aiohttp.UnixConnector(str(path))
            async with (
                aiohttp.ClientSession(connector=connector) as session,
                session.get(f"http://o{PATH}") as answer,
            ):
                assert answer.status == 421
                assert answer.headers["Byway-Leader"] == "192.0.2.1:8443"
                assert await answer.json() == {"leader": "192.0.2.1:8443"}

    asyncio.run(story())


def test_a_standby_that_comes_to_lead_sends_its_table_under_the_new_term() -> None:
    async def story() -> None:
        async with standing_by(Elsewhere()) as (hub, path), a_proxy(path) as proxy:
            hub.publish(compiled("smart"))
            await until(lambda: "HTTP 421" in proxy.log.getvalue())
            hub.lead(7)
            await until(lambda: proxy.serving == compiled("smart").hash)
            assert proxy.control.live is not None
            assert proxy.control.live.term == 7

    asyncio.run(story())


def test_a_proxy_of_a_later_term_is_taken_in_once_the_lease_agrees(tmp_path: Path) -> None:
    """A Lease was deleted, and the clock of whoever leads now is behind: the fleet is not to refuse it for ever."""

    async def story() -> None:
        standing = Elsewhere()
        async with an_operator(term=9) as earlier, a_proxy(earlier.socket) as proxy:
            earlier.hub.publish(compiled("smart"))
            await until(lambda: proxy.control.ready)
            socket = earlier.socket
            await earlier.hub.drain("shutdown", 0.05)
            await earlier.runner.cleanup()
            async with standing_by(standing) as (hub, path):
                path.rename(socket)
                hub.publish(compiled("smart", "other"))
                hub.lead(3)
                await until(lambda: standing.heard != [])
                assert proxy.serving == compiled("smart").hash
                hub.lead(standing.heard[0] + 1)
                await until(lambda: proxy.serving == compiled("smart", "other").hash)
                assert proxy.control.live is not None
                assert proxy.control.live.term == 10

    asyncio.run(story())
