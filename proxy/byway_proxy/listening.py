"""Where a proxy listens: its callers' port, which several may share, and small sites beside it."""

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack

from aiohttp import web
from aiohttp.web_runner import BaseSite


def bound(host: str, port: int) -> socket.socket:
    """Accepted connections inherit the buffers: small ones, so that a client that does not read holds little."""
    listening = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 128 * 1024)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listening.bind((host, port))
    except OSError:
        listening.close()
        raise
    return listening


async def site(
    ending: AsyncExitStack, routes: list[web.RouteDef], made: Callable[[web.AppRunner], BaseSite]
) -> None:
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    ending.push_async_callback(runner.cleanup)
    await made(runner).start()
