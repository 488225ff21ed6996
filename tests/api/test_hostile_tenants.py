"""What one namespace is told of another's accounts: nothing, also when it asks for reasons."""

import asyncio
from pathlib import Path

import msgspec
from builders.gateway import gateway, one_route
from byway_contract.secret import Secret
from byway_contract.table import Account, Credential, Endpoint, SectionName, Table, TableObject, canonical, decode
from canary import canary, in_bytes
from fakes.provider import FakeProvider


def with_a_neighbour(table: Table) -> Table:
    """An account of `team-b` alone, which has the same model and one of its own."""
    hidden = Account(
        namespace="team-b", name="hidden", provider="zq7hidden", display_name="zq7hidden",
        base_url="http://127.0.0.1:9/v1", credential="team-b/hidden",
    )  # fmt: skip
    added: dict[SectionName, dict[str, TableObject]] = {
        "accounts": {"team-b/hidden": hidden},
        "credentials": {"team-b/hidden": Credential(Secret(canary()))},
        "endpoints": {
            "team-b/hidden:m": Endpoint(account="team-b/hidden", model="acme/m", upstream_model="zq7hidden"),
            "team-b/hidden:n": Endpoint(account="team-b/hidden", model="acme/zq7hidden", upstream_model="n"),
        },
    }
    more = {
        section: {name: msgspec.Raw(canonical(one)) for name, one in added[section].items()} for section in added
    }
    return decode({section: {**members, **more.get(section, {})} for section, members in table.raw.items()})


def test_a_tenant_hears_nothing_of_a_neighbours_account(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, with_a_neighbour(one_route(a))) as proxy:
            explained = {"X-Byway-Explain": "1"}
            heard = [
                await proxy.ask(model, headers=explained, stream=stream, **more)
                for model in ("smart", "acme/m", "acme/m:floor", "nobody", "acme/zq7hidde")
                for stream in (False, True)
                for more in ({}, {"provider": {"only": ["nobody"]}}, {"provider": {"ignore": ["a"]}})
            ]
            heard += [await proxy.get(path) for path in ("/v1/models", "/v1/models/acme/zq7hidde", "/v1/models/x")]
            assert {answer.status for answer in heard} == {200, 400, 404}
            told = b"\n".join(answer.body + str(answer.headers).encode() for answer in heard)
            assert b"acme/m" in told
            assert b"team-b" not in told
            assert b"hidden" not in told
            assert not in_bytes(told)
            # Its own name is no help either: it is as unknown as one that nobody has.
            named = await proxy.ask("acme/zq7hidden", headers=explained)
            assert named.status == (await proxy.ask("acme/zq8hidden")).status == 400

    asyncio.run(tell())
