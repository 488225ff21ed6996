"""Where Valkey is, as its client understands it.

Apart from `valkey`, whose client costs a proxy 20 MiB: only who has a Valkey imports that.
"""

from byway_process.settings import SettingsError

SCHEMES = {"valkey": "redis", "valkeys": "rediss", "redis": "redis", "rediss": "rediss", "unix": "unix"}


def redis_url(url: str) -> str:
    """Raises SettingsError, which does not repeat the URL: it may hold a password."""
    scheme, colon, rest = url.partition("://")
    if not colon or not rest or scheme not in SCHEMES:
        raise SettingsError("BYWAY_VALKEY: want valkey://host:port, valkeys://host:port (TLS) or unix:///path")
    return f"{SCHEMES[scheme]}://{rest}"
