"""Where connections may go, and what each way of not getting there is called."""

import asyncio
import base64
import socket
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from byway_contract.reach import Address, Fence, Reach
from byway_contract.table import Egress
from byway_proxy.carry.upstream import origins
from byway_proxy.carry.upstream.client import Client, Failure, Forbidden, Origin, egress_of, origin_of
from byway_proxy.carry.upstream.dialing import guarded_by
from fakes.bare_server import Wire, answering, serving

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


PUBLIC_ALONE = guarded_by(Fence(Egress()))


async def begin(origin: Origin, connect_s: float = 5, **settings: Any) -> int:
    client = Client(**settings)
    try:
        exchange = client.exchange(origin, HEAD, b"", connect_s=connect_s)
        await exchange.begin()
        await exchange.read_all(100)
        return exchange.status
    finally:
        await client.close()


async def failing(origin: Origin, connect_s: float = 5, **settings: Any) -> Failure:
    with pytest.raises(Failure) as caught:
        await begin(origin, connect_s, **settings)
    assert not caught.value.sent
    assert not caught.value.answered
    return caught.value


@pytest.mark.parametrize(
    ("url", "origin", "prefix"),
    [
        ("https://api.example.com/v1", Origin("https", "api.example.com", 443), "/v1"),
        ("HTTPS://API.Example.COM:8443/v1//", Origin("https", "api.example.com", 8443), "/v1"),
        ("http://[::1]:80/", Origin("http", "::1", 80), ""),
        ("http://①②⑦.⓪.⓪.①", Origin("http", "127.0.0.1", 80), ""),
        ("https://bücher.example/a%20b", Origin("https", "xn--bcher-kva.example", 443), "/a%20b"),
    ],
)
def test_a_base_url_is_an_origin_and_a_prefix(url: str, origin: Origin, prefix: str) -> None:
    assert origin_of(url) == (origin, prefix)


def test_the_host_header_names_the_port_only_where_it_must() -> None:
    assert origin_of("https://a.example:443")[0].authority == "a.example"
    assert origin_of("http://[::1]:443")[0].authority == "[::1]:443"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com/v1",
        "ftp://a.example",
        "http://",
        "http://a.example:0",
        "http://a.example:99999",
        "http://a.example:x",
        "http://user:sesame@a.example",
        "http://a.example/?q=1",
        "http://a.example/#f",
        "http://a.example/v1?",
        "http://a.example/\r\nX: 1",
        "http://a\t.example/",
        "http://a.example\\@b.example/",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http://a..example/",
        "http://a.example/ü",
        "http://a_b<c/",
    ],
)
def test_what_is_no_base_url_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        origin_of(url)
    assert str(caught.value).startswith("the URL")
    assert "sesame" not in str(caught.value)


def test_a_name_that_resolves_differently_each_time_cannot_slip_past_the_guard(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding. The resolver is the fake: the first answer is allowed (nobody listens), later ones are not."""
    looked_up = 0
    real = socket.getaddrinfo

    def rebinding(host: str, *rest: Any, **more: Any) -> Any:
        nonlocal looked_up
        if host != "rebind.example" or more.get("flags"):
            return real(host, *rest, **more)
        looked_up += 1
        return real("127.0.0.2" if looked_up == 1 else "127.0.0.1", *rest, **more)

    def guard(address: Address, _: Reach) -> None:
        if str(address) == "127.0.0.1":
            raise Forbidden("loopback is not allowed")

    async def main() -> None:
        async with answering(OK) as wire:
            origin = Origin("http", "rebind.example", wire.port)
            assert (await failing(origin, guard=guard)).kind == "refused"
            assert (looked_up, wire.connections) == (1, 0)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    asyncio.run(main())


def test_an_allowed_address_is_dialled_when_another_one_of_the_name_is_forbidden(run: Run) -> None:
    async def main() -> None:
        def only_v4(address: Address, _: Reach) -> None:
            if address.version == 6:
                raise Forbidden("no IPv6")

        async with answering(OK) as wire:
            assert await begin(Origin("http", "localhost", wire.port), guard=only_v4) == 200

    run(main)


def test_every_way_of_not_connecting_has_its_word(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            failure = await failing(Origin("http", "127.0.0.1", taken.getsockname()[1]))
        assert (failure.kind, "refused" in str(failure).lower()) == ("refused", True)
        assert (await failing(Origin("http", "nothing.invalid", 80))).kind == "dns"
        assert (await failing(Origin("https", "127.0.0.1", 9, ca_bundle="no PEM"))).kind == "tls"

    run(main)


def test_a_handshake_that_does_not_end_is_a_connect_timeout(run: Run) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with serving(silent) as wire:
            failure = await failing(origin_of(wire.url("https"))[0], connect_s=0.3)
            assert failure.kind == "connect_timeout"

    run(main)


# The egress proxy


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(65536):
        writer.write(piece)
        await writer.drain()
    writer.close()


class Proxy:
    """A forward proxy that resolves every name to loopback."""

    def __init__(self, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(self.answer)
        await writer.drain()
        if not self.answer.startswith(b"HTTP/1.1 200"):
            return
        port = int(self.heads[-1].split(b" ")[1].rsplit(b":", 1)[1])
        there, back = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.gather(relay(reader, back), relay(there, writer))
        finally:
            back.close()


def through(wire: Wire, userinfo: str = "") -> origins.Egress:
    return egress_of(f"http://{userinfo}127.0.0.1:{wire.port}")


def test_requests_go_through_the_egress_proxy_and_its_tunnel_is_used_again(run: Run) -> None:
    async def main() -> None:
        proxy = Proxy()
        async with answering(OK) as provider, serving(proxy) as wire:
            client = Client(egress_proxy=through(wire, "me:s%40same@"))
            origin = Origin("http", "provider.example", provider.port)
            for _ in range(2):
                exchange = client.exchange(origin, HEAD, b"", connect_s=5)
                await exchange.begin()
                assert await exchange.read_all(9) == b"hello"
            await client.close()
            assert wire.connections == 1
            pair = base64.b64encode(b"me:s@same")
            assert proxy.heads == [
                b"CONNECT provider.example:%d HTTP/1.1\r\nHost: provider.example:%d\r\n" % ((provider.port,) * 2)
                + b"Proxy-Authorization: Basic "
                + pair
                + b"\r\n\r\n"
            ]

    run(main)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nextra",
        b"garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000,
    ],
)
def test_a_proxy_that_gives_no_tunnel_is_named(run: Run, answer: bytes) -> None:
    async def main() -> None:
        async with serving(Proxy(answer)) as wire:
            failure = await failing(Origin("http", "provider.example", 80), egress_proxy=through(wire))
            assert failure.kind == "proxy"

    run(main)


def test_a_proxy_that_is_not_there_is_named(run: Run) -> None:
    async def main() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            egress = origins.Egress("127.0.0.1", taken.getsockname()[1])
            assert (await failing(Origin("http", "a.example", 80), egress_proxy=egress)).kind == "proxy"

    run(main)


def test_a_forbidden_address_is_forbidden_through_a_proxy_too(run: Run) -> None:
    async def main() -> None:
        async with serving(Proxy()) as wire:
            for host in ("127.0.0.1", "127.1", "::ffff:127.0.0.1"):
                failure = await failing(Origin("http", host, 80), egress_proxy=through(wire), guard=PUBLIC_ALONE)
                assert failure.kind == "forbidden"
            assert wire.connections == 0

    run(main)


def test_an_egress_proxy_does_not_show_its_password() -> None:
    assert "sesame" not in repr(egress_of("http://me:sesame@proxy.example:3128"))
    with pytest.raises(ValueError) as caught:
        egress_of("https://me:sesame@proxy.example")
    assert "sesame" not in str(caught.value)
