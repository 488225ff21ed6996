"""In an image nobody's name goes with the number that processes run as; the watches do not ask for it."""

import asyncio
import pwd

import pytest
from byway_operator.watch.cluster_inventory import View
from byway_operator.watch.watches import Watches
from kubernetes.aio.client import Configuration


def test_the_watches_begin_where_the_user_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME", "POD_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert asyncio.run(_dialled())


async def _dialled() -> bool:
    """Whether they came as far as that before they ended."""
    dialled = asyncio.Event()

    async def dial(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        dialled.set()
        writer.close()

    async with await asyncio.start_server(dial, "127.0.0.1", 0) as server:

        async def connect() -> Configuration:
            return Configuration(host=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

        watches = Watches([View("modelroutes", None)], "byway-proxy", lambda *_: None, lambda _: None)
        async with asyncio.timeout(20):
            await watches.run(connect, dialled)
    return dialled.is_set()
