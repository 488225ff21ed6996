"""An app with an access key: over real sockets, down to the row in the books."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from builders.booked import booked_gateway
from builders.gateway import Gateway, gateway, one_route
from builders.tables import a_key, access_key
from byway_contract.table import AccessKey, Anonymous, Identity, Table
from fakes.provider import FakeProvider

ONE, TWO = a_key(0xA1), a_key(0xA2)


def known_by(table: Table, *keys: AccessKey, anonymous: str | None = None) -> Table:
    callers: dict[str, Identity] = {f"key:{key.namespace}/{key.name}": key for key in keys}
    if anonymous is not None:
        callers["anonymous"] = Anonymous(anonymous)
    return msgspec.structs.replace(table, callers=callers)


def ours(*keys: str, **fields: Any) -> AccessKey:
    return access_key(*keys, **({"namespace": "default"} | fields))


def with_key(key: str, header: str = "Authorization") -> dict[str, str]:
    return {header: f"Bearer {key}" if header == "Authorization" else key}


async def told(proxy: Gateway, key: str, model: str = "smart", **fields: Any) -> tuple[int, str]:
    answer = await proxy.ask(model, headers=with_key(key), **fields)
    return answer.status, answer.json.get("error", {}).get("message", "")


def test_a_key_and_its_user_are_in_the_books_and_go_no_further(tmp_path: Path) -> None:
    async def tell() -> None:
        heard: list[str] = []
        async with FakeProvider() as a:
            table = known_by(one_route(a), ours(ONE, user="ci@example.com"), ours(TWO, name="cd"))
            async with gateway(tmp_path, table) as proxy:
                a.choose = lambda request: heard.append(str(request.headers) + str(request.body))
                for key, header in ((ONE, "Authorization"), (TWO, "X-Api-Key")):
                    assert (await proxy.ask(headers=with_key(key, header), user="somebody else")).status == 200
                written = [(i.namespace, i.access_key, i.user_id, i.user) for i, _ in proxy.settled()]
                assert written == [
                    ("default", "ci", "ci@example.com", "somebody else"),
                    ("default", "cd", "", "somebody else"),
                ]
                assert "sk-byway-" not in "".join(heard)
                assert set(proxy.serving.last_used()) == {"default/ci/a", "default/cd/a"}

    asyncio.run(tell())
    logged = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"ci@example.com" in logged
    assert b"sk-byway-" not in logged


def test_who_is_not_let_in_is_told_why_and_learns_nothing(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a:
            past, free = int(time.time()) - 1, one_route(a)
            table = known_by(free, ours(ONE), ours(TWO, name="old", expires=past), anonymous="default")
            async with gateway(tmp_path, table) as proxy:
                assert (await proxy.ask()).status == 200
                unknown, expired = await told(proxy, a_key(0xA3)), await told(proxy, TWO)
                assert unknown[0] == expired[0] == 401
                assert "not a key that this gateway knows" in unknown[1]
                assert 'of AccessKey "old" has expired on' in expired[1]
                assert (await told(proxy, ONE))[0] == 200
                proxy.serving.swap(known_by(free, ours(TWO, name="old", expires=past), anonymous="default"))
                assert await told(proxy, ONE) == unknown
                refused = await proxy.get("/v1/models", headers=with_key(ONE))
                assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert ONE not in refused.body.decode()

    asyncio.run(tell())


def test_a_key_of_another_namespace_sees_what_that_namespace_sees(tmp_path: Path) -> None:
    async def tell() -> None:
        async with (
            FakeProvider() as a,
            gateway(tmp_path, known_by(one_route(a), ours(ONE), access_key(TWO))) as proxy,
        ):
            assert (await told(proxy, ONE))[0] == 200
            status, message = await told(proxy, TWO)
            assert (status, "no model named" in message) == (400, True)

    asyncio.run(tell())


def test_a_key_calls_and_sees_its_allowed_models_alone(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a:
            table = known_by(one_route(a), ours(ONE, allowed_models=("sm*",)), ours(TWO, name="all"))
            async with gateway(tmp_path, table) as proxy:
                assert (await told(proxy, ONE))[0] == 200
                assert (await told(proxy, ONE, "smart:nitro"))[0] == 200
                there, not_there = await told(proxy, ONE, "acme/m"), await told(proxy, ONE, "acme/else")
                assert there[0] == not_there[0] == 403
                assert there[1] == 'this access key may not call "acme/m"; its allowedModels: sm*'
                assert there[1].replace("acme/m", "acme/else") == not_there[1]
                refused = (await proxy.ask("acme/m", headers=with_key(ONE))).json["error"]
                assert refused["metadata"]["error_type"] == "permission_denied"
                assert refused["availability"]["excluded_by"] == ["allowed_models"]
                # A fallback is passed over as a name that leads nowhere would be.
                assert (await told(proxy, ONE, "acme/m", models=["smart"]))[0] == 200
                # What is not there, but could be called if it were: said as always, and nothing else is named.
                unknown = await told(proxy, ONE, "smarter")
                assert (unknown[0], "acme" in unknown[1]) == (400, False)
                for key, seen in ((ONE, ["smart"]), (TWO, ["acme/m", "smart"])):
                    listed = await proxy.get("/v1/models", headers=with_key(key))
                    assert [model["id"] for model in listed.json["data"]] == seen
                assert (await proxy.get("/v1/models/acme/m", headers=with_key(ONE))).status == 404
                assert (await proxy.get("/v1/models/acme/m", headers=with_key(TWO))).status == 200

    asyncio.run(tell())


def test_key_tells_an_app_of_its_key(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a:
            table = known_by(
                one_route(a), ours(ONE, user="ci@example.com", expires=4_000_000_000), anonymous="default"
            )
            async with booked_gateway(tmp_path, table) as proxy:
                for path in ("/api/v1/key", "/v1/key", "/v1/auth/key", "/api/v1/auth/key"):
                    answer = await proxy.get(path, headers=with_key(ONE))
                    assert answer.status == 200
                    data = answer.json["data"]
                    assert data["label"] == "sk-byway-000…0a1"
                    assert data["expires_at"] == "2096-10-02T07:06:40Z"
                    assert data["creator_user_id"] == "ci@example.com"
                    assert (data["limit"], data["limit_remaining"], data["budgets"]) == (None, None, [])
                    assert ONE not in answer.body.decode()
                assert (await proxy.get("/v1/key")).json["data"]["label"] == "anonymous in default"
                assert (await proxy.get("/v1/key", headers=with_key(TWO))).status == 401

    asyncio.run(tell())


def test_openais_client_says_who_is_denied_and_who_may_not(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a:
            table = known_by(one_route(a), ours(ONE, allowed_models=("smart",)))
            async with gateway(tmp_path, table) as proxy:
                for key, model, raised in (
                    (TWO, "smart", openai.AuthenticationError),
                    (ONE, "acme/m", openai.PermissionDeniedError),
                ):
                    async with openai.AsyncOpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=0) as client:
                        with pytest.raises(raised):
                            await client.chat.completions.create(
                                model=model, messages=[{"role": "user", "content": "Hello"}]
                            )

    asyncio.run(tell())
