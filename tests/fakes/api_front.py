"""A TLS front before a real API server, which passes everything on and can spoil the watches and LISTs on the way.

    async with ApiFront(plane) as front:
        kubeconfig = plane.kubeconfig_for("operator", namespace, port=front.port)
        front.now = Spoilt(gone=True)     # each new watch is answered 410
        front.cut()                       # every open watch ends

It invents nothing but what is said here: answers are the API server's own, as whoever asks (a token; certificates
end here).
"""

import asyncio
import json
import ssl
from dataclasses import dataclass
from typing import Self

import aiohttp
from aiohttp import web
from builders.control_plane import ControlPlane
from fakes.sockets import Sockets
from yarl import URL

_NOT_PASSED_ON = {
    "host",
    "connection",
    "transfer-encoding",
    "content-length",
    "content-encoding",
    "accept-encoding",
}


@dataclass(frozen=True)
class Spoilt:
    gone: bool = False
    """A new watch is told, in its stream, that its version is too old (410)."""
    failing: int = 0
    """A new watch is told this other error, in its stream."""
    silent: bool = False
    """Watches stay open, those of before too, and nothing comes any more."""
    empty_lists: str = ""
    """A LIST of this plural finds nothing."""
    missing: str = ""
    """There is no such plural: 404 to a LIST."""


class ApiFront:
    """Listens on 127.0.0.1 while entered."""

    def __init__(self, plane: ControlPlane) -> None:
        self.now = Spoilt()
        self.port = 0
        self.asked: list[str] = []
        """Every path with its query."""
        self.watches = 0
        """Open now."""
        self.emptied = 0
        """LISTs that found nothing because of us."""
        self._plane = plane
        self._upstream = f"https://127.0.0.1:{plane.port}"
        self._open: set[web.StreamResponse] = set()
        self._sockets = Sockets()

    async def __aenter__(self) -> Self:
        trust = ssl.create_default_context(cafile=str(self._plane.ca))
        self._session = aiohttp.ClientSession(connector=self._sockets.connector(trust), connector_owner=False)
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True)
        await self._runner.setup()
        mine = self._plane.certificate("127.0.0.1", common_name="front")
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(mine.cert, mine.key)
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        await self._runner.cleanup()
        await self._session.close()
        await self._sockets.end()

    def cut(self) -> None:
        """End every open watch, without a word."""
        for answer in self._open:
            if answer._req is not None and answer._req.transport is not None:
                answer._req.transport.abort()

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        watching = request.query.get("watch") == "true"
        if self.now.missing and not watching and request.path.endswith(f"/{self.now.missing}"):
            return web.json_response(_status(404), status=404)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _NOT_PASSED_ON}
        async with self._session.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            headers=headers,
            data=await request.read() or None,
            timeout=aiohttp.ClientTimeout(),
        ) as answer:
            return await (self._watch if watching else self._answer)(request, answer)

    async def _answer(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        payload = await answer.read()
        if self.now.empty_lists and request.path.endswith(f"/{self.now.empty_lists}"):
            payload = json.dumps({**json.loads(payload), "items": []}).encode()
            self.emptied += 1
        kept = {name: value for name, value in answer.headers.items() if name.lower() not in _NOT_PASSED_ON}
        return web.Response(body=payload, status=answer.status, headers=kept)

    async def _watch(self, request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        stream = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        self._open.add(stream)
        self.watches += 1
        try:
            code = 410 if self.now.gone else self.now.failing
            if code:
                await stream.write(json.dumps({"type": "ERROR", "object": _status(code)}).encode() + b"\n")
                return stream
            async for piece in answer.content.iter_any():
                if not self.now.silent:
                    await stream.write(piece)
        except ConnectionError:
            pass  # cut, or given up by whoever watched
        finally:
            self._open.discard(stream)
            self.watches -= 1
        if self.now.silent:
            await asyncio.Event().wait()
        return stream


def _status(code: int) -> dict[str, object]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "message": "made up by the front",
    }
