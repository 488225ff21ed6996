"""A provider at an address that may not be called is asked nothing, and its owner is told why."""

import asyncio
from pathlib import Path

from builders.gateway import gateway, one_route
from byway_contract.reach import Fence
from byway_contract.table import Egress
from byway_proxy.carry.upstream.client import Forbidden
from byway_proxy.carry.upstream.dialing import guarded_by
from fakes.provider import FakeProvider


def test_nobody_is_asked_at_an_address_that_may_not_be_called(tmp_path: Path) -> None:
    async def main() -> None:
        async with FakeProvider() as a, FakeProvider() as b, gateway(tmp_path, one_route(a, b)) as proxy:
            assert (await proxy.ask()).json["provider"] == "Provider A"
            proxy.means.client.guard_by(guarded_by(Fence(Egress())))
            answer = await proxy.ask()
            assert (answer.status, answer.json["error"]["code"]) == (502, 502)
            assert "has an address that may not be called" in answer.json["error"]["message"]
            assert len(a.served) == 1
            assert len(b.served) == 0
            # Asked once each: the same would be no other.
            assert [settle.reason for _, settle in proxy.settled()][1:] == ["off_limits", "off_limits"]
            told = proxy.means.health.report(0.0, 0.0)[1]["default/a"].last_error
            assert told is not None
            assert told.why.startswith(
                "127.0.0.1 is the proxy itself (for a Service in the cluster write serviceRef"
            )

    asyncio.run(main())


def test_the_next_candidate_answers_in_its_place(tmp_path: Path) -> None:
    async def main() -> None:
        async with FakeProvider() as a, FakeProvider() as b, gateway(tmp_path, one_route(a, b)) as proxy:
            dialled: list[object] = []

            def not_the_first(address: object, _: object) -> None:
                dialled.append(address)
                if len(dialled) == 1:
                    raise Forbidden("off limits")

            proxy.means.client.guard_by(not_the_first)
            assert (await proxy.ask()).json["provider"] == "Provider B"
            assert (len(a.served), len(b.served)) == (0, 1)

    asyncio.run(main())
