"""As in a cluster: TLS under a fixed name, a token that is read at each dialling, and a pod it proves."""

import asyncio
import ssl
from pathlib import Path

import trustme
from aiohttp import web
from byway_contract.stream import Pod
from byway_operator.push.door import Stranger
from byway_proxy.control.stream import Address
from stream.parts import Operator, a_proxy, an_operator, compiled, until

NAME = "byway-operator.byway.svc"


async def by_token(request: web.Request) -> Pod | Stranger | None:
    match request.headers.get("Authorization"):
        case "Bearer fresh":
            return Pod("proxy-0", "uid-proxy-0")
        case "Bearer other":
            return Pod("proxy-9", "uid-proxy-9")
        case _:
            return Stranger(401, "no token, or one of another audience")


async def listening(operator: Operator, authority: trustme.CA, name: str = NAME) -> tuple[web.AppRunner, str]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    app = web.Application()
    app.add_routes(operator.hub.routes())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    return runner, f"https://127.0.0.1:{runner.addresses[0][1]}"


def test_a_proxy_proves_itself_by_the_token_of_the_moment(tmp_path: Path) -> None:
    async def story() -> None:
        authority, token, ca = trustme.CA(), tmp_path / "token", tmp_path / "ca.crt"
        authority.cert_pem.write_to_path(ca)
        token.write_text("stale\n")
        async with an_operator(identify=by_token) as operator:
            operator.hub.publish(compiled("smart"))
            runner, url = await listening(operator, authority)
            address = Address(url, str(token), str(ca), NAME)
            async with a_proxy(operator.socket, address=address) as proxy:
                await until(lambda: "HTTP 401" in proxy.log.getvalue())
                token.write_text("other\n")
                await until(lambda: '"code":4403' in proxy.log.getvalue())
                assert not proxy.control.ready
                token.write_text("fresh\n")
                await until(lambda: proxy.control.ready)
                assert "fresh" not in proxy.log.getvalue() + operator.log.getvalue()
            await runner.cleanup()

    asyncio.run(story())


def test_an_operator_under_another_name_or_authority_is_not_believed(tmp_path: Path) -> None:
    async def story() -> None:
        authority, ca, token = trustme.CA(), tmp_path / "ca.crt", tmp_path / "token"
        authority.cert_pem.write_to_path(ca)
        token.write_text("fresh")
        async with an_operator(identify=by_token) as operator:
            operator.hub.publish(compiled("smart"))
            for impostor, name in ((trustme.CA(), NAME), (authority, "elsewhere.example")):
                runner, url = await listening(operator, impostor, name)
                async with a_proxy(operator.socket, address=Address(url, str(token), str(ca), NAME)) as proxy:
                    await until(lambda proxy=proxy: "Certificate" in proxy.log.getvalue())  # type: ignore[misc]
                    assert not proxy.control.ready
                await runner.cleanup()

    asyncio.run(story())
