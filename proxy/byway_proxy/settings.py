"""What a proxy is told by its environment."""

from collections.abc import Mapping

import msgspec
from byway_process.logs import Level
from byway_process.settings import SettingsError, address_of, read

from byway_proxy.carry.job import Patience
from byway_proxy.meter.valkey_url import redis_url


class Settings(msgspec.Struct, frozen=True):
    log_dir: str
    """Where the log of attempts is kept; one proxy's alone."""
    control: str
    """The operator: `unix:/path/to/socket` or `https://host:port`."""
    ledger: str
    """The ledger: `unix:/path/to/socket` or `https://host:port`."""
    control_token: str = ""
    """File of the token that proves us to the operator: a projected ServiceAccount token, renewed in place."""
    control_ca: str = ""
    """File of the authorities that the operator's certificate may be of; empty: the system's."""
    control_name: str = ""
    """The name on the operator's certificate, whatever address is dialled; empty: the host of `control`."""
    ledger_token: str = ""
    """File of the token that proves us to the ledger, of an audience of its own."""
    ledger_ca: str = ""
    """File of the authorities that the ledger's certificate may be of; empty: the system's."""
    name: str = "proxy"
    """In a cluster, the pod's: with `pod_uid`, what the token must say too."""
    pod_uid: str = ""
    """The pod's, where it is one."""
    pod_namespace: str = ""
    """The pod's."""
    node: str = ""
    """Where the pod runs."""
    zone: str = ""
    """Where the node is."""
    listen: str = "127.0.0.1:8080"
    """For callers. Several proxies of one machine may share it."""
    admin: str = "127.0.0.1:9090"
    """Health and metrics."""
    socket: str = ""
    """A unix socket that explains; only this user may connect."""
    valkey: str = ""
    """`valkey://[user:password@]host:port[/database]`, `valkeys://…` for TLS, or `unix:///path`: where proxies tell
    each other how much of a limit of a minute they used. Empty: each keeps to its share."""
    keep: str = ""
    """A folder on a memory-backed file system for the last good table."""
    egress_proxy: str = ""
    """`http://[user:password@]host:port` that providers are reached through; Services in the cluster are not."""
    drain_s: float = 30.0
    """How long requests under way may take when the process is asked to end."""
    connect_s: float = 3.0
    """For a connection to a provider, where a route says nothing; so the three that follow."""
    first_token_s: float = 60.0
    """Streams only: from sending to the first content."""
    idle_s: float = 150.0
    """Between data of an answer that has begun."""
    request_s: float = 900.0
    """For a whole request."""
    comment_s: float = 10.0
    """After so long without content a stream is opened all the same, and told to wait."""
    blocked_s: float = 30.0
    """How long a client may not read while we have something for it."""
    grant_wait_s: float = 2.0
    """How long a request may wait for others to give back what a budget has left."""
    default_output_tokens: int = 4096
    """How long an answer may be under a budget, where neither caller, route nor model say."""
    body_mib: int = 32
    """The largest request body."""
    eject: bool = True
    """Whether endpoints that keep failing are left alone for a while."""
    report_gap_s: float = 1.0
    """Between two reports to the operator, at least."""
    log_level: Level = "info"
    """`debug`, `info`, `warning` or `error`."""


def settings_from(environment: Mapping[str, str]) -> Settings:
    """Raises SettingsError."""
    settings = read(Settings, environment)
    if settings.control.startswith("/"):
        settings = msgspec.structs.replace(settings, control=f"unix:{settings.control}")
    if settings.ledger.startswith("/"):
        settings = msgspec.structs.replace(settings, ledger=f"unix:{settings.ledger}")
    address_of("BYWAY_LISTEN", settings.listen)
    address_of("BYWAY_ADMIN", settings.admin)
    if settings.valkey:
        redis_url(settings.valkey)
    for room, url, token in (
        ("CONTROL", settings.control, settings.control_token),
        ("LEDGER", settings.ledger, settings.ledger_token),
    ):
        if token and not url.startswith("https://"):
            raise SettingsError(
                f"BYWAY_{room}_TOKEN: a token is shown over TLS only; give BYWAY_{room} as https://…"
            )
    return settings


def patience_of(settings: Settings) -> Patience:
    return Patience(
        connect_s=settings.connect_s,
        first_token_s=settings.first_token_s,
        idle_s=settings.idle_s,
        request_s=settings.request_s,
        comment_s=settings.comment_s,
        blocked_s=settings.blocked_s,
    )
