"""Where a connection goes: parsed once from a base URL, and the key of the pool. Pure."""

import base64
from dataclasses import dataclass
from typing import Literal
from urllib.parse import SplitResult, unquote, urlsplit

from byway_contract.reach import Reach
from byway_contract.secret import Secret
from msgspec import Struct

_PORTS = {"http": 80, "https": 443}


class Origin(Struct, frozen=True, cache_hash=True, gc=False):
    scheme: Literal["http", "https"]
    host: str
    """ASCII, lower case, without brackets."""
    port: int
    ca_bundle: str | None = None
    """PEM. The only authorities trusted here; None means the system's."""
    reach: Reach = "url"
    """Part of the key: what was dialled as a Service must not serve an account that has a URL."""

    @property
    def authority(self) -> str:
        """What belongs into `Host:`: the port only if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Egress:
    """A forward proxy that every connection is tunnelled through."""

    host: str
    port: int
    authorization: Secret | None = None
    """The value of `Proxy-Authorization`."""


def origin_of(base_url: str, ca_bundle: str | None = None, reach: Reach = "url") -> tuple[Origin, str]:
    """The origin and the path prefix (without a slash at its end) of `https://api.example.com/v1`.

    Raises ValueError. The message does not quote the URL, which may hold somebody's password.
    """
    url = _split(base_url)
    if url.username is not None:
        raise ValueError("the URL holds a user or password; put the credential into a Secret")
    if url.query or url.fragment or base_url.endswith(("?", "#")):
        raise ValueError("the URL has a query or fragment; end it with the path")
    if url.scheme not in ("http", "https"):
        raise ValueError(f"the URL's scheme is {url.scheme or 'missing'!r}; use http or https")
    scheme: Literal["http", "https"] = "https" if url.scheme == "https" else "http"
    return Origin(scheme, _host(url), _port(url, _PORTS[scheme]), ca_bundle, reach), url.path.rstrip("/")


def egress_of(url: str) -> Egress:
    """`http://[user:password@]host:port`. Raises ValueError, without quoting the URL."""
    parts = _split(url)
    if parts.scheme != "http" or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("an egress proxy is http://[user:password@]host:port; TLS runs inside its tunnels")
    authorization = None
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        authorization = Secret("Basic " + base64.b64encode(pair).decode())
    return Egress(_host(parts), _port(parts, 3128), authorization)


def _split(url: str) -> SplitResult:
    # Checked before urlsplit, which silently drops tabs and line ends.
    if any(c <= " " or c == "\x7f" or c == "\\" for c in url):
        raise ValueError("the URL holds a space, a backslash or a control character")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("the URL cannot be parsed; write https://host[:port]/path") from None
    if not parts.path.isascii():
        raise ValueError("the URL's path holds a character that is not ASCII; percent-encode it")
    return parts


def _host(url: SplitResult) -> str:
    try:
        # IDNA also turns look-alikes (`①②⑦.⓪.⓪.①`) into what they would be dialled as.
        host = (url.hostname or "").encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError("the URL's host is no valid name") from None
    if not host:
        raise ValueError("the URL has no host; write https://host[:port]/path")
    if not all(c.isalnum() or c in "-._:" for c in host):
        raise ValueError("the URL's host holds a character that no host name has")
    return host


def _port(url: SplitResult, usual: int) -> int:
    try:
        port = usual if url.port is None else url.port
    except ValueError:
        port = 0
    if not 0 < port < 65536:
        raise ValueError("the URL's port is no number from 1 to 65535")
    return port
