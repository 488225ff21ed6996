"""A leader's write leaves while the Lease is its own, or not at all: over a real socket."""

import asyncio

import pytest
from aiohttp import web
from byway_operator.kube.api import KubeApi, KubeError
from byway_operator.kube.elector import HoldsForS, ReignOverError, in_reign
from kubernetes.aio.client import Configuration


def written(*holds_for_s: float) -> tuple[type[Exception] | None, int]:
    """A status, by one for whom the Lease holds so long at each look: what is raised, and how many came."""

    async def story() -> tuple[type[Exception] | None, int]:
        came: list[str] = []

        async def answer(request: web.Request) -> web.Response:
            came.append(request.method)
            return web.json_response({})

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        raised: type[Exception] | None = None
        async with KubeApi(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")) as api:
            try:
                await in_reign(
                    looks(*holds_for_s),
                    lambda still: api.apply_status("ModelRoute", "modelroutes", "a", "b", {}, still=still),
                )
            except (ReignOverError, KubeError) as error:
                raised = type(error)
        await runner.cleanup()
        return raised, len(came)

    return asyncio.run(story())


def looks(*holds_for_s: float) -> HoldsForS:
    """The last holds on."""
    left = list(holds_for_s)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize(
    ("holds_for_s", "raised", "came"),
    [
        ((5.0,), None, 1),
        ((-1.0,), ReignOverError, 0),
        ((5.0, -1.0), ReignOverError, 0),
        ((5.0, -1.0, 5.0), KubeError, 0),
    ],
    ids=["it holds", "it is over", "it is over as it would leave", "it was over for a moment"],
)
def test_a_write_leaves_only_while_the_lease_is_ours(
    holds_for_s: tuple[float, ...], raised: type[Exception] | None, came: int
) -> None:
    assert written(*holds_for_s) == (raised, came)
