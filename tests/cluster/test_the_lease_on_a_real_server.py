"""Electors on a real API server: who keeps the Lease, and how it is given up."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from builders.control_plane import ControlPlane
from builders.kube import kube_api
from byway_operator.kube.api import KubeApi
from byway_operator.kube.elector import Elector
from byway_operator.kube.lease import Candidate, Pace
from byway_process.logs import Log

PACE = Pace(lease_s=3)
PROMPTLY_S = PACE.lease_s / 2


@asynccontextmanager
async def three(plane: ControlPlane) -> AsyncIterator[list[Elector]]:
    namespace = plane.namespace()
    async with kube_api(plane.kubeconfig) as api:
        yield [_elector(api, namespace, name) for name in ("a", "b", "c")]


def _elector(api: KubeApi, namespace: str, name: str) -> Elector:
    log = Log("operator", out=io.StringIO())
    return Elector(api, namespace, "it", Candidate(name, "192.0.2.1:8443"), log, lambda _: None, PACE)


def test_who_has_released_the_lease_does_not_take_it_again_while_it_ends(plane: ControlPlane) -> None:
    async def story() -> None:
        async with three(plane) as (first, second, _):
            await first.win()
            keeping = asyncio.create_task(first.keep())
            await first.release()
            async with asyncio.timeout(PROMPTLY_S):
                await second.win()
                await keeping
            assert first.holds_for_s <= 0 < second.holds_for_s
            assert first.leader == "192.0.2.1:8443"

    asyncio.run(story())


def test_who_is_asked_to_end_while_it_waits_does_not_take_the_lease(plane: ControlPlane) -> None:
    async def story() -> None:
        async with three(plane) as (first, second, third):
            await first.win()
            waiting = asyncio.create_task(second.win())
            await asyncio.sleep(0)
            await second.release()
            await first.release()
            async with asyncio.timeout(PROMPTLY_S):
                await third.win()
            assert not waiting.done()
            waiting.cancel()

    asyncio.run(story())
