"""A Service of a cluster: one port for several processes, any of those that listen."""

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from queue import Queue

from fakes.ports import free_port

PIECE = 64 * 1024


class Service:
    """`targets` may change at any time; connections that are open stay where they are."""

    def __init__(self) -> None:
        self.port = free_port()
        self.targets: tuple[int, ...] = ()

    async def carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far = await self._dialled()
        if far is None:
            back.transport.abort()  # nobody listens: as refused
            return
        ways = _pass(near, far[1]), _pass(far[0], back)
        await asyncio.gather(*ways)

    async def _dialled(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for target in random.sample(self.targets, len(self.targets)):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection("127.0.0.1", target)
        return None


@contextmanager
def service() -> Iterator[Service]:
    made, ends = Service(), Queue[Callable[[], object]]()

    async def serve() -> None:
        stop = asyncio.Event()
        async with await asyncio.start_server(made.carry, "127.0.0.1", made.port):
            ends.put(partial(asyncio.get_running_loop().call_soon_threadsafe, stop.set))
            await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    end = ends.get(timeout=5)
    try:
        yield made
    finally:
        end()
        thread.join(5)


async def _pass(near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await near.read(PIECE):
            far.write(piece)
            await far.drain()
    far.close()
