"""A provider that is not one: OpenAI's chat completions over real sockets, obeying a script and keeping the truth.

In a test:      async with FakeProvider() as provider: provider.script.then += [FAULTS["503"]]; … provider.served
As a process:   python -m fakes.provider --port 0 --truth served.jsonl --script script.json   (tests/ on PYTHONPATH)

What it served, and what a real provider would bill for it, is in `served`: the books are asserted against that.
`sending` writes an answer and commits its fault; `reply` says which; this module listens, reads and remembers.
"""

import argparse
import asyncio
import contextlib
import signal
import socket
import ssl
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal, Self

import msgspec
import trustme
from canary import KEY
from fakes import wire
from fakes.connection import Connection, Request
from fakes.reply import Reply, Script, status
from fakes.sending import Sending
from fakes.served import Served

TLS = Literal["none", "good", "untrusted", "wrong_host", "plain_on_https"]
UNAUTHORISED = status(
    401, code="invalid_api_key", type="invalid_request_error", message="Incorrect API key provided"
)
NO_SUCH_URL = status(404, code="unknown_url", type="invalid_request_error", message="unknown request URL")


class FakeProvider:
    """Listens while entered, on 127.0.0.1 unless told otherwise. `script` may be changed at any time."""

    def __init__(
        self,
        script: Script | None = None,
        *,
        always: Reply | None = None,
        keys: tuple[str, ...] | None = ("sk-fake", KEY),
        models: tuple[str, ...] = ("gpt-fake",),
        host: str = "127.0.0.1",
        port: int = 0,
        tls: TLS = "none",
        truth: IO[bytes] | None = None,
    ) -> None:
        self.script = script or Script()
        if always is not None:
            self.script.always = always
        self.keys = keys
        """Accepted bearer tokens; None accepts any, or none at all."""
        self.models = models
        self.host = host
        self.port = port
        self.served: list[Served] = []
        self.connections = 0
        self.choose: Callable[[Request], Reply | None] | None = None
        """Asked before the script, when a test decides by what was sent."""
        self.authority = trustme.CA() if tls in ("good", "untrusted", "wrong_host") else None
        self._tls: TLS = tls
        self._truth = truth
        self._server: asyncio.Server | None = None
        self._placeholder: socket.socket | None = None
        self._open: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._released = asyncio.Event()

    @property
    def url(self) -> str:
        """The base URL a client is given, `/v1` included."""
        return f"{'http' if self._tls == 'none' else 'https'}://{self.host}:{self.port}/v1"

    @property
    def holding(self) -> int:
        """Requests that are being held now."""
        return sum(served.ended == "held" for served in self.served)

    async def __aenter__(self) -> Self:
        await self.accept()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.refuse()
        if self._placeholder:
            self._placeholder.close()
            self._placeholder = None

    async def accept(self) -> None:
        """Listen (again, on the same port)."""
        if self._placeholder:
            self._placeholder.close()
            self._placeholder = None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._serve), self.host, self.port, ssl=self._context(), reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def refuse(self) -> None:
        """Close the port and every connection; the port stays ours, and refuses."""
        if self._server:
            self._server.close()
            self._server = None
        tasks = list(self._tasks)
        for connection in list(self._open):
            connection.reset()
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome
        if self._placeholder:
            return
        # Bound and not listening: nobody else gets the port, and a connect to it is refused.
        self._placeholder = socket.socket()
        self._placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._placeholder.bind((self.host, self.port))

    def release(self) -> None:
        """Let go every request held now; later ones are held anew."""
        self._released.set()
        self._released = asyncio.Event()

    async def until(self, condition: Callable[[], bool], within_s: float = 5.0) -> None:
        """Wait until what was served makes `condition` true."""
        async with asyncio.timeout(within_s):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    def client_tls(self) -> ssl.SSLContext:
        """What a client needs to trust us; `untrusted` is without it, `wrong_host` fails with it too."""
        context = ssl.create_default_context()
        if self.authority:
            self.authority.configure_trust(context)
        return context

    def _context(self) -> ssl.SSLContext | None:
        if self.authority is None:
            return None
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        host = "elsewhere.example" if self._tls == "wrong_host" else self.host
        self.authority.issue_cert(host).configure_cert(context)
        return context

    def _serve(self, connection: Connection) -> None:
        self.connections += 1
        self._open.add(connection)
        task = asyncio.get_running_loop().create_task(self._converse(connection, self.connections))
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._open.discard(connection)
            self._changed.set()
            if task.cancelled() or task.exception() is None:
                self._tasks.discard(task)  # one that failed is kept, to be raised by `refuse`

        task.add_done_callback(done)

    async def _converse(self, connection: Connection, number: int) -> None:
        while (request := await connection.request()) is not None:
            if connection.stale:
                break
            if request.path.startswith("/__fake/"):
                self._control(connection, request)
            elif not await self._answer(connection, request, number):
                return
        connection.close()

    async def _answer(self, connection: Connection, request: Request, number: int) -> bool:
        """Answer one request; whether the connection may carry another."""
        served = self._begin(request, number)
        reply = self._reply(request, served)
        served.kind = reply.kind
        connection.stale = reply.keep_alive == "stale"
        sending = Sending(connection, reply, request, served, self._hold)
        try:
            again = await connection.unless_gone(sending.run())
        finally:
            if served.ended in ("", "held"):
                served.ended = "client_gone"
            self._write_truth(served)
            self._changed.set()
        return again is True

    def _begin(self, request: Request, connection: int) -> Served:
        asked = wire.Asked.read(request.json)
        served = Served(
            number=len(self.served) + 1,
            connection=connection,
            method=request.method,
            path=request.path,
            headers=sorted(request.headers),
            key=self._which_key(request.headers.get("authorization", "")),
            body=request.json,
            model=asked.model,
            stream=asked.stream,
        )
        self.served.append(served)
        self._changed.set()
        return served

    def _reply(self, request: Request, served: Served) -> Reply:
        if self.keys is not None and served.key < 0:
            return UNAUTHORISED
        if request.method == "GET" and request.path.endswith("/models"):
            return Reply()
        if request.method != "POST" or not request.path.endswith("/chat/completions"):
            return NO_SUCH_URL
        chosen = self.choose(request) if self.choose else None
        return chosen or self.script.next(served.model)

    def _which_key(self, authorization: str) -> int:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or token not in (self.keys or ()):
            return -1
        return (self.keys or ()).index(token)

    async def _hold(self, served: Served, at_most_s: float) -> bool:
        """Wait to be released; False when nobody did."""
        served.ended = "held"
        self._changed.set()
        try:
            async with asyncio.timeout(at_most_s):
                await self._released.wait()
        except TimeoutError:
            return False
        finally:
            served.ended = ""
        return True

    def _write_truth(self, served: Served) -> None:
        if self._truth:
            self._truth.write(msgspec.json.encode(served) + b"\n")
            self._truth.flush()

    def _control(self, connection: Connection, request: Request) -> None:
        """How a test scripts a fake that is another process. Not a provider's URL, so it asks for no key."""
        answer, code = b"{}", 200
        match request.path:
            case "/__fake/script":
                try:
                    self.script = msgspec.json.decode(request.body, type=Script)
                except msgspec.DecodeError as error:
                    answer, code = msgspec.json.encode({"error": str(error)}), 400
            case "/__fake/release":
                self.release()
            case "/__fake/served":
                answer = msgspec.json.encode(self.served)
            case _:
                code = 404
        connection.write(wire.head(code, {"content-type": "application/json", "content-length": str(len(answer))}))
        connection.write(answer)


async def _listen(provider: FakeProvider, for_s: float) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    async with provider:
        sys.stdout.write(msgspec.json.encode({"url": provider.url, "port": provider.port}).decode() + "\n")
        sys.stdout.flush()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), for_s)


def main() -> None:
    parser = argparse.ArgumentParser(description="A fake provider; its address is the first line it prints.")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a pod")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--script", help="a JSON file of {then: [reply…], models: {name: reply}, always: reply}")
    parser.add_argument("--truth", help="append a JSON line for every request that ended")
    parser.add_argument(
        "--key", action="append", default=[], help="accept this bearer token (repeatable); none: any"
    )
    parser.add_argument("--for-s", type=float, default=600.0, help="end by itself after so long")
    given = parser.parse_args()
    script = msgspec.json.decode(Path(given.script).read_bytes(), type=Script) if given.script else None
    with contextlib.ExitStack() as stack:
        truth = stack.enter_context(Path(given.truth).open("ab")) if given.truth else None
        keys = tuple(given.key) or None
        provider = FakeProvider(script, keys=keys, host=given.host, port=given.port, truth=truth)
        asyncio.run(_listen(provider, given.for_s))


if __name__ == "__main__":
    main()
