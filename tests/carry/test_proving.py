"""A credential is proven by a call that costs nothing, and by nothing that anybody could have."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from builders.gateway import one_route
from builders.tables import account, endpoint, table
from byway_contract.reach import Fence
from byway_contract.report import ProviderKeyReport
from byway_contract.table import Egress, Table
from byway_proxy.carry.proving import Prover
from byway_proxy.carry.upstream.client import Client
from byway_proxy.carry.upstream.dialing import Guard, guarded_by
from byway_proxy.choose.health import Health
from canary import KEY
from fakes.bare_server import Wire, serving
from fakes.provider import FakeProvider

NAME = "default/a"


class Bench:
    """A prover with a table, and what it tells."""

    def __init__(self, prover: Prover, health: Health) -> None:
        self._prover, self._health = prover, health
        self.told = asyncio.Event()

    async def proof(self, name: str = NAME) -> ProviderKeyReport:
        """What comes of asking."""
        self.told.clear()
        self._prover.ask((name,))
        async with asyncio.timeout(5):
            await self.told.wait()
        return self.known(name)

    def known(self, name: str = NAME) -> ProviderKeyReport:
        return self._health.report(0.0, 0.0)[1][name]


@asynccontextmanager
async def bench(of: Table, guard: Guard | None = None, within_s: float = 2.0) -> AsyncIterator[Bench]:
    loop = asyncio.get_running_loop()
    client, health = Client(guard=guard), Health()
    prover = Prover(client, health, lambda: of, lambda: made.told.set(), loop.time, loop.time, within_s=within_s)
    made = Bench(prover, health)
    running = asyncio.create_task(prover.run())
    try:
        yield made
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await client.close()


def said(status: int, body: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{headers}\r\n{body}".encode()


@asynccontextmanager
async def a_provider(with_key: bytes, without: bytes = said(401, "{}")) -> AsyncIterator[Wire]:
    """Says the one to who brings a credential, the other to who does not."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while question := await wire.question(reader):
            writer.write(with_key if KEY.encode() in question else without)

    async with serving(answer) as wire:
        yield wire


def at(wire: Wire, **fields: object) -> Table:
    key = account("a", "default", base_url=wire.url() + "/v1", credential=NAME, **fields)
    return table([key], [endpoint(NAME)], credentials={NAME: KEY})


def test_a_key_that_is_taken_is_proven_and_nothing_counts_as_used() -> None:
    async def main() -> None:
        async with FakeProvider(keys=(KEY,)) as provider, bench(one_route(provider)) as made:
            proof = await made.proof()
            assert proof.last_ok is not None
            assert (proof.last_used, proof.last_error, proof.requests, proof.failures) == (None, None, 0, 0)
            # The second one brings no credential: were it answered too, the first would prove nothing.
            assert [(one.method, one.path, one.key) for one in provider.served] == [
                ("GET", "/v1/models", 0),
                ("GET", "/v1/models", -1),
            ]

    asyncio.run(main())


def test_a_key_that_is_refused_is_told_and_puts_nothing_to_rest() -> None:
    async def main() -> None:
        async with FakeProvider(keys=("sk-other",)) as provider, bench(one_route(provider)) as made:
            proof = await made.proof()
            assert proof.last_error is not None
            assert (proof.last_ok, proof.last_error.kind, proof.last_error.status) == (None, "unauthorized", 401)
            assert (proof.last_used, proof.requests, proof.failures) == (None, 0, 0)
            assert made._health.refusals == 0
            assert not made._health._resting_accounts

    asyncio.run(main())


RESTRICTED = '{"error": {"message": "You have insufficient permissions for this operation. Missing scopes: x."}}'


@pytest.mark.parametrize(
    ("with_key", "without"),
    [
        (said(200, '{"data": []}'), said(200, '{"data": []}')),
        (said(200, "<html>Welcome</html>"), said(401, "{}")),
        (said(404, "{}"), said(401, "{}")),
        (said(405, "{}"), said(401, "{}")),
        (said(429, "{}"), said(401, "{}")),
        (said(500, "{}"), said(401, "{}")),
        (said(302, "", "Location: http://127.0.0.1:1/\r\n"), said(401, "{}")),
        (said(401, RESTRICTED), said(401, "{}")),
        (said(403, RESTRICTED), said(401, "{}")),
        (said(200, "{}"), said(503, "{}")),
    ],
)
def test_what_proves_nothing_changes_nothing(with_key: bytes, without: bytes) -> None:
    async def main() -> None:
        async with a_provider(with_key, without) as wire, bench(at(wire)) as made:
            proof = await made.proof()
            assert (proof.last_ok, proof.last_error) == (None, None)

    asyncio.run(main())


@pytest.mark.parametrize(("status", "kind"), [(401, "unauthorized"), (402, "payment_required"), (403, "forbidden")])
def test_each_refusal_has_its_word(status: int, kind: str) -> None:
    async def main() -> None:
        async with a_provider(said(status, "{}")) as wire, bench(at(wire)) as made:
            proof = await made.proof()
            assert proof.last_error is not None
            assert (proof.last_error.kind, proof.last_error.status) == (kind, status)

    asyncio.run(main())


def test_a_providers_own_way_of_asking_is_its_data() -> None:
    async def main() -> None:
        async with a_provider(said(200, "{}")) as wire:
            own = {"x-api-key": "{credential}", "anthropic-version": "2023-06-01"}
            async with bench(at(wire, verify="/key", verify_headers=own)) as made:
                assert (await made.proof()).last_ok is not None
            first, second = wire.questions
            assert first.startswith(b"GET /v1/key HTTP/1.1\r\n")
            assert f"\r\nx-api-key: {KEY}\r\n".encode() in first
            assert b"anthropic-version: 2023-06-01\r\n" in first
            assert b"x-api-key" not in second
            assert b"anthropic-version" in second
            assert b"Authorization" not in first + second

    asyncio.run(main())


def test_who_needs_no_credential_is_proven_by_an_answer() -> None:
    async def main() -> None:
        async with a_provider(b"", said(200, '{"data": []}')) as wire:
            keyless = table([account("a", "default", base_url=wire.url())], [endpoint(NAME)])
            async with bench(keyless) as made:
                assert (await made.proof()).last_ok is not None
            assert len(wire.questions) == 1

    asyncio.run(main())


def test_why_nobody_answers_is_told() -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with serving(silent) as wire:
            async with bench(at(wire), within_s=0.1) as made:
                late = (await made.proof()).last_error
            async with bench(at(wire), guarded_by(Fence(Egress()))) as made:
                forbidden = (await made.proof()).last_error
        async with bench(at(wire)) as made:
            gone = (await made.proof()).last_error
        assert late is not None
        assert forbidden is not None
        assert gone is not None
        assert (late.kind, forbidden.kind, gone.kind) == ("timeout", "off_limits", "connect")
        assert forbidden.why.startswith("127.0.0.1 is the proxy itself (for a Service")
        assert gone.why == f"127.0.0.1 port {wire.port}: Connection refused"

    asyncio.run(main())


def test_what_comes_of_a_credential_that_changed_meanwhile_is_told_to_nobody() -> None:
    async def main() -> None:
        asked, go = asyncio.Event(), asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await wire.question(reader)
            asked.set()
            await go.wait()
            writer.write(said(401, "{}"))

        async with serving(slow) as wire, bench(at(wire)) as made:
            proving = asyncio.create_task(made.proof())
            await asked.wait()
            made._health.renew((NAME,))
            go.set()
            assert (await proving).last_error is None

    asyncio.run(main())


def test_an_account_that_the_table_does_not_have_or_that_cannot_be_asked_is_passed_over() -> None:
    async def main() -> None:
        async with a_provider(said(200, "{}")) as wire:
            async with bench(at(wire, verify="")) as made:
                made._prover.ask((NAME, "default/nobody"))
                for _ in range(10):
                    await asyncio.sleep(0)
            assert wire.connections == 0

    asyncio.run(main())
