"""No spelling of an address that may not be called is ever connected to: over real sockets, with a canary behind
them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from byway_contract.reach import Fence, Ground, Reach, parsed
from byway_contract.table import Egress
from byway_proxy.carry.upstream import origins
from byway_proxy.carry.upstream.client import Client, Failure, Origin, egress_of, origin_of
from byway_proxy.carry.upstream.dialing import guarded_by
from fakes.bare_server import Wire, answering, serving
from hypothesis import given
from hypothesis import strategies as st

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
NOTHING_LISTED = guarded_by(Fence(Egress()))

SPELLINGS = r"""
127.0.0.1 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1 0x7f.0x0.0x0.0x1 0X7F.0.0.1
0177.0.0.1 0177.1 017700000001 00177.0.0.1 0000177.0.0.1 127.0.0.01 127.0.0.0x1 127.00000000.1 4294967296 127.0.0.1.
127.1. ①②⑦.⓪.⓪.① １２７.０.０.１ 127。0。0。1 127．0．0．1 ⑫７.0.0.1 0.0.0.0 0 0x0 00.0 0.0.0.0.
[::1] [0:0:0:0:0:0:0:1] [0000::0001] [::0001] [::] [::ffff:127.0.0.1] [::ffff:7f00:1] [0:0:0:0:0:ffff:127.0.0.1]
[::127.0.0.1] [::ffff:0:127.0.0.1] [64:ff9b::127.0.0.1] [64:ff9b::7f00:1] [2002:7f00:1::] [2002:7f00:1::1]
[::ffff:0.0.0.0] [fe80::1] [fe80::1%25lo] [fe80::1%lo] [::1%25lo] [::1%lo] [::ffff:127.0.0.1%25lo]
localhost LOCALHOST localhost. LocalHost. localhost.localdomain ip6-localhost ｌｏｃａｌｈｏｓｔ
127.0.0.1%00.example 127.0.0.1%2f 127.0.0.1\@a.example me@127.0.0.1 api.example@127.0.0.1
api.example:80@127.0.0.1 me:pw@[::1] 127.0.0.1#.example 127.0.0.1?.example
""".split()  # noqa: SIM905 - one a word is how they are read


@asynccontextmanager
async def canary() -> AsyncIterator[Wire]:
    """Answers on 127.0.0.1 and ::1."""
    async with answering(OK) as wire:
        with socket.socket(socket.AF_INET6) as six:
            six.bind(("::1", wire.port))

            def came(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                wire.connections += 1
                writer.close()

            also = await asyncio.start_server(came, sock=six.dup())
            try:
                yield wire
            finally:
                also.close()


async def reached(origin: Origin, client: Client) -> None:
    exchange = client.exchange(origin, HEAD, b"", connect_s=2)
    await exchange.begin()
    await exchange.read_all(100)


async def refused(url: str, client: Client, reach: Reach = "url") -> str:
    """Why it is not reached: a kind of failure, or `url` where it is no base URL at all."""
    try:
        origin, _ = origin_of(url, None, reach)
    except ValueError:
        return "url"
    with pytest.raises(Failure) as caught:
        await reached(origin, client)
    assert not caught.value.sent
    return caught.value.kind


def test_no_spelling_of_this_machine_is_dialled(run: Run) -> None:
    assert len(SPELLINGS) >= 60

    async def main() -> None:
        async with canary() as wire:
            client = Client(guard=NOTHING_LISTED)
            told = {host: await refused(f"http://{host}:{wire.port}", client) for host in SPELLINGS}
            # Where libc does not take a spelling for an address there is no such name, which is as good.
            assert set(told.values()) == {"forbidden", "dns", "url"}, told
            assert sum(why == "forbidden" for why in told.values()) >= 40, told
            assert (wire.connections, client.opened) == (0, 0)
            await client.close()

    run(main)


def test_on_one_machine_loopback_is_reached_and_nothing_else_that_is_not_public(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire:
            client = Client(guard=guarded_by(Fence(Egress(loopback=True))))
            await reached(origin_of(wire.url())[0], client)
            await reached(origin_of(wire.url(host="localhost"))[0], client)
            for host in ("0.0.0.0", "10.1.2.3", "169.254.169.254", "[fe80::1]", "192.168.0.1"):
                assert await refused(wire.url(host=host), client) == "forbidden"
            await client.close()

    run(main)


def test_a_name_that_leads_to_a_forbidden_address_is_told_so_without_the_address(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_as(monkeypatch, "10.1.2.3")

    async def main() -> None:
        client = Client(guard=NOTHING_LISTED)
        with pytest.raises(Failure) as caught:
            await reached(Origin("http", "inside.example", 80), client)
        assert str(caught.value).startswith("inside.example leads to a private address (for a Service")
        assert "--allow-cidr" in str(caught.value)
        assert "10.1.2.3" not in str(caught.value)
        await client.close()

    asyncio.run(main())


def test_each_connection_is_judged_anew_so_a_name_that_turns_round_gains_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """DNS rebinding: the first answer is listed, the second is this machine's other address."""
    answers = ["127.0.0.2", "127.0.0.1"]
    resolve_as(monkeypatch, *answers)

    async def main() -> None:
        async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            writer.close()
            await writer.wait_closed()

        async with canary() as wire:
            server = await asyncio.start_server(once, "127.0.0.2", 0)
            port = server.sockets[0].getsockname()[1]
            client = Client(guard=guarded_by(Fence(Egress(("127.0.0.2/32",)))))
            origin = Origin("http", "rebind.example", port)
            await reached(origin, client)
            with pytest.raises(Failure) as caught:
                await reached(origin, client)
            assert caught.value.kind == "forbidden"
            assert (wire.connections, client.opened) == (0, 1)
            await client.close()
            server.close()

    asyncio.run(main())


def test_a_service_may_be_private_but_never_what_is_link_local_or_the_proxy_itself() -> None:
    fence = Fence(Egress(("0.0.0.0/0", "::/0")))
    for address in ("10.1.2.3", "192.168.0.1", "100.64.0.1", "fd12::1", "8.8.8.8", "240.0.0.1"):
        assert fence.against(parsed(address), "service") is None
    for address in (
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "100.100.100.200",
        "127.0.0.1",
        "::1",
        "0.0.0.0",
    ):
        assert fence.against(parsed(address), "service") is not None
    assert Fence(Egress(loopback=True)).against(parsed("127.0.0.1"), "service") is None


@pytest.mark.parametrize(
    ("address", "ground"),
    [
        ("169.254.169.254", "link-local"),
        ("::ffff:169.254.169.254", "link-local"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:a9fe:a9fe::", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fd00:ec2::254", "metadata"),
        ("fd00:ec2::23", "metadata"),
        ("fd20:ce::254", "metadata"),
        ("100.100.100.200", "metadata"),
        ("192.0.0.192", "metadata"),
        ("168.63.129.16", "metadata"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("0.1.2.3", "unspecified"),
        ("::", "unspecified"),
    ],
)
def test_what_is_never_called_is_not_opened_by_any_list(address: str, ground: Ground) -> None:
    everything = Fence(Egress(("0.0.0.0/0", "::/0", "169.254.0.0/16", "fd00::/8", "100.64.0.0/10"), loopback=True))
    assert everything.against(parsed(address), "url") == everything.against(parsed(address), "service") == ground


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1",
        "172.31.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "198.18.0.1",
        "240.0.0.1",
        "fc00::1",
        "fdff::1",
        "fec0::1",
        "2001:db8::1",
        "2001::1",
        "::ffff:10.0.0.1",
        "64:ff9b::10.0.0.1",
        "2002:a00:1::1",
        "64:ff9b:1::a00:1",
        "4000::1",
    ],
)
def test_what_is_private_is_opened_by_a_list_that_holds_it(address: str) -> None:
    assert Fence(Egress(("10.9.0.0/16",))).against(parsed(address), "url") == "private"
    assert Fence(Egress(("0.0.0.0/0", "::/0"))).against(parsed(address), "url") is None


def test_the_proxy_itself_is_opened_only_by_its_name() -> None:
    itself = parsed("127.0.0.1")
    assert Fence(Egress(("0.0.0.0/0", "::/0"))).against(itself, "url") == "loopback"
    assert Fence(Egress(("127.0.0.1/32",))).against(itself, "url") is None
    assert Fence(Egress(("127.0.0.1/32",))).against(itself, "service") == "loopback"


# The edges of what is special, and anything.
EDGES = (
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
)
EDGES += (
    "192.0.2.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "fc00::/7",
)
EDGES += (
    "fe80::/10",
    "2001::/23",
    "2001:db8::/32",
    "2002::/16",
    "3fff::/20",
    "64:ff9b::/96",
    "64:ff9b:1::/48",
    "ff00::/8",
)
V4 = st.integers(0, 2**32 - 1).map(IPv4Address)
AT_EDGES = st.sampled_from(
    [address + step for edge in map(ip_network, EDGES) for address in (edge[0], edge[-1]) for step in (-1, 0, 1)
     if 0 <= int(address) + step < 2**address.max_prefixlen]
)  # fmt: skip


@given(st.one_of(V4, st.integers(0, 2**128 - 1).map(IPv6Address), AT_EDGES))
def test_what_python_does_not_call_global_is_never_called(address: IPv4Address | IPv6Address) -> None:
    if not address.is_global:
        assert Fence(Egress()).against(address, "url") is not None


@given(V4, st.sampled_from(["::ffff:0:0", "64:ff9b::", "::", "::ffff:0:0:0"]))
def test_an_address_that_carries_another_is_judged_as_it(address: IPv4Address, carrier: str) -> None:
    fence = Fence(Egress(("10.1.0.0/16",)))
    carried = ip_address(int(ip_address(carrier)) + int(address))
    if int(carried) > 1:
        assert fence.against(carried, "url") == fence.against(address, "url")


@pytest.mark.parametrize("cidr", ["10.1.2.3/8", "10.0.0.0/33", "inside", "", "fd00::/129"])
def test_what_is_no_cidr_is_refused(cidr: str) -> None:
    with pytest.raises(ValueError, match="is no CIDR"):
        Fence(Egress((cidr,)))


# The pool


def test_a_connection_of_a_service_serves_no_account_that_has_a_url(run: Run) -> None:
    async def main() -> None:
        def services_alone(_: object, reach: Reach) -> None:
            NOTHING_LISTED(parsed("127.0.0.1" if reach == "url" else "8.8.8.8"), reach)

        async with answering(OK) as wire:
            client = Client(guard=services_alone)
            await reached(origin_of(wire.url(), None, "service")[0], client)
            assert client.idle == 1
            assert await refused(wire.url(), client) == "forbidden"
            assert (wire.connections, client.idle) == (1, 1)
            await client.close()

    run(main)


def test_a_connection_from_before_the_list_was_shortened_carries_nothing_more(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire:
            client = Client(guard=guarded_by(Fence(Egress(("127.0.0.0/8",)))))
            origin, _ = origin_of(wire.url())
            await reached(origin, client)
            running = client.exchange(origin, HEAD, b"", connect_s=2)
            await running.begin()
            client.guard_by(NOTHING_LISTED)
            assert await running.read_all(100) == b"hello"
            assert await refused(wire.url(), client) == "forbidden"
            assert (client.idle, wire.connections) == (0, 1)
            await client.close()

    run(main)


# Other ways out


def test_a_redirect_is_an_answer_and_nobody_follows_it(run: Run) -> None:
    async def main() -> None:
        async with canary() as inside:
            moved = f"HTTP/1.1 307 Moved\r\nLocation: {inside.url()}\r\nContent-Length: 0\r\n\r\n".encode()
            async with answering(moved) as outside:
                client = Client()
                exchange = client.exchange(origin_of(outside.url())[0], HEAD, b"", connect_s=2)
                await exchange.begin()
                assert (exchange.status, inside.connections) == (307, 0)
                await client.close()

    run(main)


def test_the_environments_proxies_are_not_for_us(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with canary() as other, answering(OK) as wire:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, other.url())
            client = Client()
            await reached(origin_of(wire.url())[0], client)
            assert (wire.connections, other.connections) == (1, 0)
            await client.close()

    run(main)


def test_through_an_egress_proxy_an_address_is_judged_first_and_told_in_one_spelling(run: Run) -> None:
    heads: list[bytes] = []

    async def no_tunnels(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 403 No\r\n\r\n")

    async def main() -> None:
        async with serving(no_tunnels) as wire:
            client = Client(guard=NOTHING_LISTED, egress_proxy=egress_of(wire.url()))
            for host in ("127.0.0.1", "0177.0.0.1", "[::ffff:10.0.0.1]", "169.254.169.254", "[::1]"):
                assert await refused(f"http://{host}", client) == "forbidden"
            assert heads == []
            for host in ("010.8.8.8", "a.example"):
                assert await refused(f"http://{host}", client) == "proxy"
            assert [head.split(b" ")[1] for head in heads] == [b"8.8.8.8:80", b"a.example:80"]
            await client.close()

    run(main)


def test_a_service_in_the_cluster_is_not_dialled_through_the_egress_proxy(run: Run) -> None:
    async def main() -> None:
        async with answering(OK) as wire:
            client = Client(egress_proxy=origins.Egress("127.0.0.1", 9))
            await reached(origin_of(wire.url(), None, "service")[0], client)
            await client.close()

    run(main)


def resolve_as(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    """Names in `.example` lead to these, one after the other, and then to the last one again."""
    real, left = socket.getaddrinfo, list(addresses)

    def resolver(host: str, *rest: Any, **more: Any) -> Any:
        if not str(host).endswith(".example") or more.get("flags"):
            return real(host, *rest, **more)
        return real(left.pop(0) if len(left) > 1 else left[0], *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolver)
