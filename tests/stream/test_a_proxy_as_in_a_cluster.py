"""A whole proxy with the settings of a pod: it proves itself to both, and what it owes arrives."""

import asyncio
import io
from pathlib import Path

import pytest
from aiohttp import web
from builders.tls_ledger import House
from byway_contract.stream import Pod
from byway_operator.push.door import Stranger
from byway_process.logs import Log
from byway_process.settings import SettingsError
from byway_process.tls import ServerTls, TlsError
from byway_proxy.app import Proxy, settings_from
from fakes.ports import free_port
from stream.parts import an_operator, compiled, until

NAME = "byway-operator.byway.svc"


async def by_token(request: web.Request) -> Pod | Stranger | None:
    if request.headers.get("Authorization") == "Bearer for-control":
        return Pod("proxy-0", "5f0c")
    return Stranger(401, "no")


def environment(house: House, control: int) -> dict[str, str]:
    return {
        "BYWAY_CONTROL": f"https://127.0.0.1:{control}",
        "BYWAY_CONTROL_TOKEN": house.file("token-control"),
        "BYWAY_CONTROL_CA": house.file("ca"),
        "BYWAY_CONTROL_NAME": NAME,
        "BYWAY_LEDGER": house.url,
        "BYWAY_LEDGER_TOKEN": house.file("token-proxy-0"),
        "BYWAY_LEDGER_CA": house.file("ca"),
        "BYWAY_NAME": "proxy-0",
        "BYWAY_POD_UID": "5f0c",
        "BYWAY_POD_NAMESPACE": "byway",
        "BYWAY_NODE": "node-a",
        "BYWAY_ZONE": "zone-1",
        "BYWAY_LOG_DIR": house.file("log"),
        "BYWAY_LISTEN": f"127.0.0.1:{free_port()}",
        "BYWAY_ADMIN": f"127.0.0.1:{free_port()}",
    }


def test_a_pod_proves_itself_to_the_operator_and_to_the_ledger(tmp_path: Path) -> None:
    async def story() -> None:
        house, out = House(tmp_path), io.StringIO()
        house.project("control", "for-control\n")
        house.project("proxy-0")
        async with house.serving(), house.operator(), an_operator(identify=by_token) as operator:
            operator.hub.publish(compiled("smart"))
            tls = ServerTls(house.file("operator.crt"), house.file("operator.key"), house.log)
            await web.TCPSite(operator.runner, "127.0.0.1", 0, ssl_context=tls.context).start()
            port = next(address[1] for address in operator.runner.addresses if isinstance(address, tuple))
            proxy, stop = Proxy(settings_from(environment(house, port)), Log("proxy-0", out=out)), asyncio.Event()
            serving = asyncio.create_task(proxy.serve(stop))
            await until(lambda: proxy.serving.ready and operator.acked)
            [view] = operator.hub.fleet().proxies
            assert (view.pod.node, view.pod.zone, view.pod.uid) == ("node-a", "zone-1", "5f0c")
            await until(lambda: proxy.records.booked >= 1)
            stop.set()
            await serving
            assert proxy.records.unshipped == 0
        for token in ("for-control", (tmp_path / "token-proxy-0").read_text()):
            assert token not in out.getvalue() + house.said.getvalue()

    asyncio.run(story())


@pytest.mark.parametrize("room", ["CONTROL", "LEDGER"])
def test_a_token_is_shown_over_tls_only(room: str, tmp_path: Path) -> None:
    given = environment(House(tmp_path), 1) | {f"BYWAY_{room}": "http://127.0.0.1:1"}
    with pytest.raises(SettingsError, match=f"BYWAY_{room}_TOKEN: a token is shown over TLS only"):
        settings_from(given)


def test_an_authority_that_is_not_mounted_stops_the_proxy_with_a_sentence(tmp_path: Path) -> None:
    async def story() -> None:
        house = House(tmp_path)
        (tmp_path / "ca").unlink()
        with pytest.raises(TlsError, match="mount the authority's certificate"):
            Proxy(settings_from(environment(house, 1)), Log("proxy-0", "error"))

    asyncio.run(story())
