"""TLS to providers: verified, and an end that nobody can forge. On both loops, which differ in it."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import trustme
from byway_proxy.carry.upstream.client import Client, Egress, Failure, Origin
from fakes.bare_server import Wire, answering, serving

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CA = trustme.CA()
BUNDLE = CA.cert_pem.bytes().decode()


def server_tls(name: str = "localhost", ca: trustme.CA = CA) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ca.issue_cert(name).configure_cert(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def at(wire: Wire, bundle: str | None = BUNDLE) -> Origin:
    return Origin("https", "localhost", wire.port, bundle)


async def ask(client: Client, origin: Origin) -> bytes:
    exchange = client.exchange(origin, HEAD, b"", connect_s=5)
    await exchange.begin()
    return await exchange.read_all(1 << 24)


async def ask_once(origin: Origin, **settings: Any) -> bytes:
    client = Client(**settings)
    try:
        return await ask(client, origin)
    finally:
        await client.close()


def test_a_connection_over_tls_speaks_http_1_1_and_is_used_again(run: Run) -> None:
    async def main() -> None:
        spoken: list[str | None] = []

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            spoken.append(writer.get_extra_info("ssl_object").selected_alpn_protocol())
            while await wire.question(reader):
                writer.write(OK)

        async with serving(handler, tls=server_tls()) as wire:
            client = Client()
            for _ in range(3):
                assert await ask(client, at(wire)) == b"hello"
            await client.close()
            assert (wire.connections, spoken) == (1, ["http/1.1"])

    run(main)


def test_a_certificate_that_does_not_fit_is_refused_before_a_byte_is_sent(run: Run) -> None:
    async def main() -> None:
        cases = {
            "another authority": (server_tls(ca=trustme.CA()), BUNDLE),
            "another name": (server_tls("elsewhere.example"), BUNDLE),
            "not the system's": (server_tls(), None),
        }
        for tls, bundle in cases.values():
            async with answering(OK, tls=tls) as wire:
                with pytest.raises(Failure) as caught:
                    await ask_once(at(wire, bundle))
                assert (caught.value.kind, caught.value.sent, wire.questions) == ("tls", False, [])
                assert "certificate of localhost" in str(caught.value)

    run(main)


def test_a_server_without_tls_is_a_tls_failure(run: Run) -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)
            writer.write(b"HTTP/1.1 400 Bad\r\n\r\n")

        async with serving(handler) as wire:
            with pytest.raises(Failure) as caught:
                await ask_once(at(wire))
            assert caught.value.kind == "tls"

    run(main)


def test_a_server_that_hangs_up_after_the_handshake_leaves_nothing_open(run: Run) -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.transport.abort()

        async with serving(handler, tls=server_tls()) as wire:
            client = Client()
            for _ in range(10):
                with pytest.raises(Failure):
                    await ask(client, at(wire))
            for _ in range(10):
                await asyncio.sleep(0)
            assert client.connected == 0
            await client.close()

    run(main)


def test_a_server_that_hangs_up_during_the_handshake_is_a_tls_failure(run: Run) -> None:
    async def main() -> None:
        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(10)

        async with serving(handler) as wire:
            with pytest.raises(Failure) as caught:
                await ask_once(at(wire))
            assert caught.value.kind == "tls"

    run(main)


@pytest.mark.parametrize("proven", [True, False])
@pytest.mark.parametrize("big", [False, True])
def test_only_a_close_notify_ends_an_answer_without_a_length(run: Run, proven: bool, big: bool) -> None:
    """A FIN is anybody's on the path. The server here is blocking and bare, to say when it closes what."""
    body = b"x" * (700_000 if big else 5)

    async def main() -> None:
        async with bare_tls(b"HTTP/1.1 200 OK\r\n\r\n" + body, proven=proven) as port:
            origin = Origin("https", "localhost", port, BUNDLE)
            if proven:
                assert await ask_once(origin) == body
            else:
                with pytest.raises(Failure) as caught:
                    await ask_once(origin)
                assert caught.value.kind == "cut"

    run(main)


def test_an_answer_with_a_length_needs_no_close_notify(run: Run) -> None:
    async def main() -> None:
        async with bare_tls(OK, proven=False) as port:
            assert await ask_once(Origin("https", "localhost", port, BUNDLE)) == b"hello"

    run(main)


def test_tls_runs_inside_the_tunnel_of_an_egress_proxy(run: Run) -> None:
    async def main() -> None:
        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            there, back = await asyncio.open_connection("127.0.0.1", provider.port)

            async def relay(a: asyncio.StreamReader, b: asyncio.StreamWriter) -> None:
                while piece := await a.read(65536):
                    b.write(piece)
                b.close()

            try:
                await asyncio.gather(relay(reader, back), relay(there, writer))
            finally:
                back.close()

        async with answering(OK, tls=server_tls()) as provider, serving(proxy) as wire:
            assert await ask_once(at(provider), egress_proxy=Egress("127.0.0.1", wire.port)) == b"hello"

    run(main)


@pytest.mark.parametrize("after_turns", [1, 3, 5, 6, 7, 8, 9, 10, 12, 15, 20])
def test_cancelling_at_any_turn_of_a_handshake_leaves_nothing_open(run: Run, after_turns: int) -> None:
    async def main() -> None:
        async with answering(OK, tls=server_tls()) as wire:
            client = Client()
            task = asyncio.ensure_future(ask(client, at(wire)))
            for _ in range(after_turns):
                await asyncio.sleep(0)
            if task.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await task
                for _ in range(10):
                    await asyncio.sleep(0)
                assert client.connected == client.idle  # the whole answer may have come in that turn
            await client.close()

    run(main)


class bare_tls:  # noqa: N801 - reads as a function
    """One connection, one answer, then the end of the socket: with or without a close_notify before it."""

    def __init__(self, answer: bytes, *, proven: bool) -> None:
        self._answer, self._proven = answer, proven

    async def __aenter__(self) -> int:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._served = asyncio.ensure_future(asyncio.to_thread(self._serve))
        port: int = self._listener.getsockname()[1]
        return port

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        await self._served

    def _serve(self) -> None:
        sock, _ = self._listener.accept()
        sock.settimeout(5)
        with server_tls().wrap_socket(sock, server_side=True) as tls:
            read = b""
            while b"\r\n\r\n" not in read:
                read += tls.recv(4096)
            tls.sendall(self._answer)
            if self._proven:
                with contextlib.suppress(OSError):  # the client need not wait for us
                    tls.unwrap().close()
