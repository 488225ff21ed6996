"""Both loops, and an eye on what a test leaves behind: tasks and sockets."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
AT_MOST_S = 20


def open_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue  # the descriptor of this very listing
    return found


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop

    def go(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        before = open_sockets()
        with asyncio.Runner(loop_factory=factory) as runner:

            async def bounded() -> None:
                async with asyncio.timeout(AT_MOST_S):
                    await main()
                    for _ in range(100):  # the standard loop's servers accept in a task of their own
                        await asyncio.sleep(0)
                    assert len(asyncio.all_tasks()) == 1

            runner.run(bounded())
        assert open_sockets() == before

    return go
