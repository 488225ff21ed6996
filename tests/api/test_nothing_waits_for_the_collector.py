"""A request's objects go when it ends: what the garbage collector has to find costs memory and time."""

import asyncio
import gc
from pathlib import Path

import pytest
from builders.gateway import gateway, one_route
from fakes.provider import FakeProvider
from fakes.reply import status

OURS = ("byway_proxy.carry", "byway_proxy.choose", "byway_proxy.api")
REQUESTS = 20


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_leaves_no_circle_of_objects_behind(tmp_path: Path, stream: bool) -> None:
    async def story() -> list[str]:
        async with FakeProvider() as a, FakeProvider() as b, gateway(tmp_path, one_route(a, b)) as proxy:
            a.script.then = [status(500)]
            await proxy.ask(stream=stream)
            gc.collect()
            gc.disable()
            for _ in range(REQUESTS):
                assert (await proxy.ask(stream=stream)).status == 200
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            return [type(each).__name__ for each in gc.garbage if type(each).__module__.startswith(OURS)]

    try:
        left = asyncio.run(story())
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()
    assert left == []
