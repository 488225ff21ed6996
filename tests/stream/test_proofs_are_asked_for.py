"""The operator asks one proxy, and one that has the newest table."""

import asyncio

from byway_contract.stream import Ack, FromOperator, Nack, Snapshot, Verify
from stream.parts import Raw, a_raw_proxy, an_operator, compiled, until


async def takes(raw: Raw) -> str:
    """Gives the hash."""
    table = await raw.hears_table()
    await raw.says(Ack(table.nonce, table.hash))
    return table.hash


async def verify(raw: Raw) -> Verify:
    while True:
        message: FromOperator | Snapshot = await raw.hears()
        if isinstance(message, Verify):
            return message


def test_proofs_are_asked_of_one_proxy_at_a_time_in_turn() -> None:
    async def main() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            assert not operator.hub.ask(("team-a/openai",))
            async with a_raw_proxy(operator.socket, "a") as a, a_raw_proxy(operator.socket, "b") as b:
                digest = await takes(a)
                await takes(b)
                await until(lambda: operator.acked == [digest, digest])
                for expected in ("one", "two"):
                    assert operator.hub.ask((f"team-a/{expected}", "team-a/both"))
                heard = await verify(a), await verify(b)
                assert [message.provider_keys for message in heard] == [
                    ("team-a/one", "team-a/both"),
                    ("team-a/two", "team-a/both"),
                ]
                assert operator.hub.ask(("team-a/three",))
                assert (await verify(a)).provider_keys == ("team-a/three",)

    asyncio.run(main())


def test_a_proxy_that_holds_another_table_or_is_leaving_is_not_asked() -> None:
    async def main() -> None:
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_raw_proxy(operator.socket, "a") as a:
                first = await takes(a)
                await until(lambda: operator.acked == [first])
                operator.hub.publish(compiled("smart", "other"))
                assert not operator.hub.ask(("team-a/openai",))
                table = await a.hears_table()
                await a.says(Nack(table.nonce, table.hash, "Build", serving=first))
                await until(lambda: operator.hub.fleet().proxies[0].nack)
                assert not operator.hub.ask(("team-a/openai",))
            async with a_raw_proxy(operator.socket, "b") as b:
                operator.hub.publish(compiled("smart", "third"))
                third = await takes(b)
                await until(lambda: third in operator.acked)
                await b.ws.send_str('{"type":"report","report":{"serving":null,"ready":false}}')
                await until(lambda: [p for p in operator.hub.fleet().proxies if p.report and not p.report.ready])
                assert not operator.hub.ask(("team-a/openai",))

    asyncio.run(main())
