"""Which addresses an account's URL may lead to. One rule: the operator tells it in a status as far as a URL shows
it, and the proxy holds it where the socket connects, for every connection.

    an address that is                                          a URL's          a Service's
    public                                                      yes              yes
    private (10/8, fc00::/7, shared, reserved, documentation)   if listed        yes
    loopback                                                    if listed, or on one machine
    link-local, metadata, unspecified, multicast                never, even if listed

A URL is written by a tenant and dialled by a proxy, which stands where the tenant does not. An IPv6 address that
only carries an IPv4 one (mapped, compatible, translated, NAT64, 6to4) is judged as that one.

The tables are our own and not `ipaddress.is_global`, whose answers differ between Python's versions.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal

from byway_contract.table import Egress

Reach = Literal["url", "service"]
"""As what an account is reached: by a URL (a `baseURL`, or the catalogue's), or as a Service in the cluster."""

Ground = Literal["loopback", "link-local", "metadata", "unspecified", "multicast", "private"]
"""What is wrong with an address."""

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NEVER: frozenset[Ground] = frozenset({"link-local", "metadata", "unspecified", "multicast"})


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


# Where machines ask for their own credentials, beside those that are link-local: AWS (and whatever else it serves
# there, the pods' identity agent among it), Google, Scaleway, Alibaba, Oracle, Azure's host.
_METADATA = _networks(
    "fd00:ec2::/32",
    "fd20:ce::254/128",
    "fd00:42::42/128",
    "100.100.100.200/32",
    "192.0.0.192/32",
    "168.63.129.16/32",
)
_LINK_LOCAL = _networks("169.254.0.0/16", "fe80::/10")
_UNSPECIFIED = _networks("0.0.0.0/8", "::/128")
_MULTICAST = _networks("224.0.0.0/4", "255.255.255.255/32", "ff00::/8")
_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks(
    "10.0.0.0/8",
    "100.64.0.0/10",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "240.0.0.0/4",
    # Of 2000::/3: IETF's own (Teredo, benchmarks, ORCHID) and documentation.
    "2001::/23",
    "2001:db8::/32",
    "3fff::/20",
)
_GROUNDS: tuple[tuple[Ground, tuple[Network, ...]], ...] = (
    ("metadata", _METADATA),
    ("link-local", _LINK_LOCAL),
    ("unspecified", _UNSPECIFIED),
    ("multicast", _MULTICAST),
    ("loopback", _LOOPBACK),
    ("private", _PRIVATE),
)
# All of IPv6 that is anybody's in the open; the rest (ULA, site-local, what is not given out) is private.
_PUBLIC_V6 = IPv6Network("2000::/3")

# IPv6 networks, and where in their addresses an IPv4 address stands, in bits from the right.
_CARRIERS: tuple[tuple[IPv6Network, int], ...] = (
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (IPv6Network("::/96"), 0),  # compatible
    (IPv6Network("2002::/16"), 80),  # 6to4
)


class Fence:
    """An `Egress` policy, ready to be asked. Raises ValueError for a CIDR that is none."""

    def __init__(self, egress: Egress) -> None:
        self.egress = egress
        self._listed = networks(egress.allowed)

    def against(self, address: Address, reach: Reach) -> Ground | None:
        """What speaks against this address; None: it may be called."""
        meant = _meant(address)
        ground = _ground(meant)
        return None if ground is None or self._open(meant, ground, reach) else ground

    def _open(self, address: Address, ground: Ground, reach: Reach) -> bool:
        if ground in NEVER:
            return False
        if ground == "loopback":
            return self.egress.loopback or (reach == "url" and self._lists(address, _LOOPBACK))
        return reach == "service" or self._lists(address, None)

    def _lists(self, address: Address, within: tuple[Network, ...] | None) -> bool:
        """`within`: only what was listed as a part of these. Who lists 0.0.0.0/0 does not mean the proxy itself."""
        return any(
            address in listed for listed in self._listed if within is None or any(_part(listed, w) for w in within)
        )


def parsed(address: str) -> Address:
    """An address as a socket has it; a zone is no part of it. Raises ValueError."""
    return ip_address(address.partition("%")[0])


def networks(cidrs: Iterable[str]) -> tuple[Network, ...]:
    """Raises ValueError."""
    found = []
    for cidr in cidrs:
        try:
            found.append(ip_network(cidr))
        except ValueError as error:
            raise ValueError(f"{cidr!r} is no CIDR; want one like 10.1.0.0/16 or fd12::/64 ({error})") from error
    return tuple(found)


def told(ground: Ground) -> str:
    """As a sentence goes on after `is` or `leads to`; with the way out, if there is one."""
    match ground:
        case "loopback":
            return "the proxy itself" + _WAY_OUT
        case "private":
            return "a private address" + _WAY_OUT
        case "metadata":
            return "a metadata address, which is never called"
        case _:
            return f"{'an' if ground == 'unspecified' else 'a'} {ground} address, which is never called"


_WAY_OUT = (
    " (for a Service in the cluster write serviceRef; for anything else, whoever runs Byway lists its CIDR: "
    "allowedCIDRs, or byway up --allow-cidr)"
)


def _meant(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries, else itself."""
    if isinstance(address, IPv6Address) and int(address) > 1:  # :: and ::1 carry nothing
        for network, shift in _CARRIERS:
            if address in network:
                return IPv4Address(int(address) >> shift & 0xFFFFFFFF)
    return address


def _ground(address: Address) -> Ground | None:
    for ground, members in _GROUNDS:
        if any(address in network for network in members):
            return ground
    return "private" if isinstance(address, IPv6Address) and address not in _PUBLIC_V6 else None


def _part(network: Network, whole: Network) -> bool:
    if isinstance(network, IPv4Network) and isinstance(whole, IPv4Network):
        return network.subnet_of(whole)
    return isinstance(network, IPv6Network) and isinstance(whole, IPv6Network) and network.subnet_of(whole)
