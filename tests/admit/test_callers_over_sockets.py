"""An app proves who it is with its ServiceAccount's token: over real sockets, down to the row in the books."""

import asyncio
import time
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from builders.cluster_tokens import issuer, rsa_signer, signed, token
from builders.gateway import Gateway, gateway, one_route
from byway_contract.table import Anonymous, Identity, Issuer, Table
from canary import KEY
from fakes.provider import FakeProvider

HELLO: Any = [{"role": "user", "content": "Hello"}]


def fresh(namespace: str = "default", name: str = "app", **changes: Any) -> str:
    """A token of now: these tests run by the real clock."""
    now = int(time.time())
    return token(namespace, name, **({"exp": now + 600, "nbf": now, "iat": now} | changes))


def known_by(table: Table, known: Issuer | None = None, anonymous: str | None = None) -> Table:
    callers: dict[str, Identity] = {"serviceaccounts": known or issuer()}
    if anonymous is not None:
        callers["anonymous"] = Anonymous(anonymous)
    return msgspec.structs.replace(table, callers=callers)


async def ask(proxy: Gateway, credential: str | None, header: str = "Authorization") -> Any:
    said = f"Bearer {credential}" if header == "Authorization" else credential
    return await proxy.ask(headers={} if credential is None else {header: str(said)})


def test_a_tokens_namespace_pays_and_its_service_account_is_in_the_books(tmp_path: Path) -> None:
    async def tell() -> None:
        heard: list[str] = []
        async with FakeProvider() as a, gateway(tmp_path, known_by(one_route(a))) as proxy:
            a.choose = lambda request: heard.append(str(request.headers))
            answers = [await ask(proxy, fresh(name="app")), await ask(proxy, fresh(name="job"), "X-Api-Key")]
            assert [answer.status for answer in answers] == [200, 200]
            written = [(intent.namespace, intent.service_account) for intent, _ in proxy.settled()]
            assert written == [("default", "app"), ("default", "job")]
            # What an app brings is for us alone.
            assert [KEY in headers for headers in heard] == [True, True]
            assert "eyJ" not in "".join(heard)

    asyncio.run(tell())


def test_a_caller_sees_its_own_namespaces_models_alone(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, known_by(one_route(a))) as proxy:
            for namespace, seen in (
                ("default", {"smart", "acme/m"}),
                ("team-b", set()),
                ("default", {"smart", "acme/m"}),
            ):
                headers = {"Authorization": f"Bearer {fresh(namespace)}"}
                async with proxy.session.get(f"{proxy.url}/v1/models", headers=headers) as response:
                    assert {model["id"] for model in (await response.json())["data"]} == seen
                called = await proxy.ask(headers=headers)
                assert called.status == (200 if seen else 400)

    asyncio.run(tell())


REFUSED = {
    "nothing": (lambda: None, "no credential"),
    "a key of another gateway": (lambda: "sk-or-v1-0123", "does not know this credential"),
    "an access key": (lambda: "sk-byway-0123", "not a key that this gateway knows"),
    "another audience": (lambda: fresh(aud=["byway-control"]), 'not made for the audience "byway"'),
    "expired": (lambda: fresh(exp=int(time.time()) - 1), "has expired"),
    "another issuer": (lambda: fresh(iss="https://elsewhere.example"), "another cluster"),
    "another cluster's key": (lambda: fresh(by=rsa_signer("elsewhere")), "has not (any more)"),
    "alg none": (lambda: signed(rsa_signer(), '{"alg":"none","kid":"one"}', "{}"), "algorithm"),
    "very long": (lambda: fresh(by=rsa_signer("elsewhere"), x="x" * 10_000), "has not (any more)"),
    "a borrowed key's name": (lambda: fresh().rpartition(".")[0] + "." + "A" * 342, "signature is wrong"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_who_is_not_known_is_told_401_in_openais_words(tmp_path: Path, case: str) -> None:
    make, why = REFUSED[case]

    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, known_by(one_route(a))) as proxy:
            credential = make()
            refused = await ask(proxy, credential)
            assert refused.status == 401
            assert refused.headers["WWW-Authenticate"] == "Bearer"
            error = refused.json["error"]
            assert (error["code"], error["type"]) == (401, "authentication_error")
            assert error["metadata"]["error_type"] == "authentication"
            assert why in error["message"]
            assert "audience" in error["message"]
            assert all(part not in refused.body.decode() for part in (credential or "").split(".") if len(part) > 9)
            assert (await proxy.get("/v1/models")).status == (await proxy.get("/v1/models/smart")).status == 401
            assert not a.served
            assert proxy.written()[1:] == []
            # The connection lives, and so does everybody else.
            assert (await ask(proxy, fresh())).status == 200

    asyncio.run(tell())


def test_who_brings_no_token_is_anonymous_and_who_brings_a_bad_one_is_not(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a:
            table = known_by(one_route(a), anonymous="default")
            async with gateway(tmp_path, table) as proxy:
                for credential in (None, "none-needed", fresh(name="app")):
                    assert (await ask(proxy, credential)).status == 200
                assert (await ask(proxy, fresh(aud=["else"]))).status == 401
                written = [(intent.namespace, intent.service_account) for intent, _ in proxy.settled()]
                assert written == [("default", ""), ("default", ""), ("default", "app")]

    asyncio.run(tell())


def test_new_signing_keys_are_live_with_the_table_that_brings_them(tmp_path: Path) -> None:
    async def tell() -> None:
        new = rsa_signer("new")
        async with FakeProvider() as a, gateway(tmp_path, known_by(one_route(a))) as proxy:
            assert (await ask(proxy, fresh(by=new))).status == 401
            proxy.serving.swap(known_by(one_route(a), issuer(rsa_signer(), new)))
            assert [(await ask(proxy, one)).status for one in (fresh(by=new), fresh())] == [200, 200]
            proxy.serving.swap(known_by(one_route(a), issuer(new)))
            assert [(await ask(proxy, one)).status for one in (fresh(by=new), fresh())] == [200, 401]

    asyncio.run(tell())


def test_openais_client_reads_its_token_anew_for_each_request(tmp_path: Path) -> None:
    """kubelet writes a new token into the file before the old one ends."""
    file = tmp_path / "token"

    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, known_by(one_route(a))) as proxy:
            client = openai.OpenAI(base_url=f"{proxy.url}/v1", api_key=file.read_text, max_retries=0)
            with client:
                for name in ("app", "other"):
                    file.write_text(fresh(name=name))
                    await asyncio.to_thread(client.chat.completions.create, model="smart", messages=HELLO)
                file.write_text(fresh(exp=int(time.time()) - 1))
                with pytest.raises(openai.AuthenticationError, match="has expired"):
                    await asyncio.to_thread(client.models.list)
            assert [intent.service_account for intent, _ in proxy.settled()] == ["app", "other"]

    asyncio.run(tell())
