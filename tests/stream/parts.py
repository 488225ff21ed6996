"""A hub and proxies in one loop over a unix socket in a short folder, and tables small enough to read."""

import asyncio
import io
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import aiohttp
from aiohttp import web
from byway_contract.report import Report
from byway_contract.secret import Secret
from byway_contract.stream import (
    PATH,
    SUBPROTOCOL,
    Ack,
    FromOperator,
    Hello,
    Nack,
    Pod,
    Snapshot,
    decode_from_operator,
    decode_snapshot,
    encode,
)
from byway_contract.table import (
    Account,
    Credential,
    Endpoint,
    Route,
    RouteEndpoint,
    Sections,
    Table,
    TableError,
    canonical,
    object_hash,
    table_hash,
)
from byway_operator.compile.verdict import Compiled, Verdict
from byway_operator.push.door import Identify, trust_the_socket
from byway_operator.push.push import Hub, PushSettings
from byway_operator.resources.manifest import Key
from byway_process.logs import Log
from byway_proxy.control.control import Control, ControlSettings
from byway_proxy.control.keep import Keep
from byway_proxy.control.redial import Redial
from byway_proxy.control.stream import Address

PUSH = PushSettings(scout_s=0.3, gather_s=0.01, late_s=0.05, close_s=0.3)
SECRET = "sk-canary-71f3"
HASTY = Redial(first_s=0.01, most_s=0.05)


def sections(*routes: str, secret: str = SECRET) -> Sections:
    """One account with a credential, one endpoint, and these routes in `team-a`."""
    account = Account("team-a", "openai", "openai", "OpenAI", "http://127.0.0.1:1", credential="team-a/openai")
    members = (RouteEndpoint("only", "team-a/openai:gpt"),)
    return {
        "accounts": {"team-a/openai": canonical(account)},
        "credentials": {"team-a/openai": canonical(Credential(Secret(secret)))},
        "endpoints": {"team-a/openai:gpt": canonical(Endpoint("team-a/openai", "openai/gpt", "gpt"))},
        "routes": {
            f"team-a/{name}": canonical(Route("team-a", name, (name,), endpoints=members)) for name in routes
        },
    }


def compiled(*routes: str, secret: str = SECRET) -> Compiled:
    table = sections(*routes, secret=secret)
    verdicts: dict[Key, Verdict] = {}
    owners = {}
    for route in routes:
        key, name = Key("ModelRoute", "team-a", route), f"team-a/{route}"
        owners["routes", name] = (key,)
        verdicts[key] = Verdict(key, 1, fingerprint=object_hash(table["routes"][name]))
    return Compiled(table, table_hash(table), verdicts, owners=owners)  # type: ignore[arg-type]


@dataclass
class Operator:
    hub: Hub
    socket: Path
    changes: list[None]
    log: io.StringIO
    runner: web.AppRunner

    @property
    def acked(self) -> list[str | None]:
        return [proxy.acked for proxy in self.hub.fleet().proxies]


@asynccontextmanager
async def an_operator(
    socket: Path | None = None,
    settings: PushSettings = PUSH,
    term: int = 1,
    identify: Identify = trust_the_socket,
) -> AsyncIterator[Operator]:
    """A hub behind a unix socket. It ends as an operator does: drained, then closed."""
    with tempfile.TemporaryDirectory(prefix="by") as folder:
        path = socket or Path(folder) / "s"
        changes: list[None] = []
        log = io.StringIO()
        hub = Hub(term, "op", Log("operator", out=log), lambda: changes.append(None), settings, identify)
        app = web.Application()
        app.add_routes(hub.routes())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(runner, str(path)).start()
        try:
            yield Operator(hub, path, changes, log, runner)
        finally:
            await hub.drain("shutdown", 0.05)
            await runner.cleanup()


@dataclass
class Proxy:
    control: Control
    applied: list[Table]
    fleets: list[int]
    log: io.StringIO
    refuse: dict[str, str] = field(default_factory=dict)
    """Path → message: tables that hold such an object cannot be obeyed."""
    reports: list[Report] = field(default_factory=list)

    @property
    def serving(self) -> str | None:
        return self.control.live.table.hash if self.control.live else None


@asynccontextmanager
async def a_proxy(
    socket: Path,
    name: str = "proxy-0",
    build: str = "1",
    keep: Path | None = None,
    refuse: Mapping[str, str] | None = None,
    mounts: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Proxy]:
    applied: list[Table] = []
    fleets: list[int] = []
    out = io.StringIO()
    log = Log(name, out=out)
    refused = dict(refuse or {})

    async def apply(table: Table) -> None:
        for path, message in refused.items():
            section, _, member = path.partition("/")
            if member in getattr(table, section):
                raise TableError(path, message)
        applied.append(table)

    chosen = replace(
        ControlSettings(Address(f"unix:{socket}"), redial=HASTY, report_gap_s=0.01),
        **settings,  # type: ignore[arg-type]
    )
    keeping = Keep(keep, log) if keep and mounts is None else Keep(keep, log, mounts) if keep and mounts else None
    control = Control(
        Pod(name, f"uid-{name}"), build, chosen, log, apply, lambda: Report(None, True), fleets.append, keeping
    )
    running = asyncio.create_task(control.run())
    try:
        yield Proxy(control, applied, fleets, out, refused)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Wait for it, bounded."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - conditions are plain reads of somebody else's state
            await asyncio.sleep(0.002)


class Raw:
    """A proxy that says what it is told to, and nothing by itself."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def hears(self) -> FromOperator | Snapshot:
        async with asyncio.timeout(5):
            frame = await self.ws.receive()
        if frame.type is aiohttp.WSMsgType.BINARY:
            return decode_snapshot(frame.data)
        assert frame.type is aiohttp.WSMsgType.TEXT, (frame, self.ws.close_code)
        return decode_from_operator(frame.data)

    async def hears_table(self) -> Snapshot:
        while True:
            message = await self.hears()
            if isinstance(message, Snapshot):
                return message

    async def says(self, message: Hello | Ack | Nack) -> None:
        await self.ws.send_str(encode(message))

    def reads_nothing_more(self) -> None:
        connection = self.ws._response.connection
        assert connection is not None
        cast(asyncio.ReadTransport, connection.transport).pause_reading()

    async def closed_with(self) -> int | None:
        async with asyncio.timeout(5):
            while not self.ws.closed:
                await self.ws.receive()
        return self.ws.close_code


@asynccontextmanager
async def a_raw_proxy(socket: Path, name: str = "raw", build: str = "1", hello: bool = True) -> AsyncIterator[Raw]:
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
        session.ws_connect(f"http://operator{PATH}", protocols=(SUBPROTOCOL,), max_msg_size=0) as ws,
    ):
        raw = Raw(ws)
        if hello:
            await raw.says(Hello(Pod(name, f"uid-{name}"), build))
        yield raw
