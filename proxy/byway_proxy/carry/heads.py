"""Request heads, prepared once for each endpoint of a table: a request adds only its length."""

from byway_contract.table import Account, Table, TableError
from msgspec import Struct

from byway_proxy.carry.upstream.origins import Origin, origin_of

_FORBIDDEN = frozenset("\r\n\0")
_VERSION = "byway/0.1"


class Head(Struct, frozen=True, gc=False):
    origin: Origin
    text: bytes
    credential: str
    """What is in it as our own, and must not come back to a caller; empty for none."""

    def __repr__(self) -> str:
        return f"Head({self.origin!r}, ***)"

    def with_length(self, length: int) -> bytes:
        return self.text + b"%d\r\n\r\n" % length


class Heads:
    """By account. Raises TableError for an account whose values cannot stand in a head."""

    def __init__(self, table: Table) -> None:
        self._heads = {name: _head(name, account, table) for name, account in table.accounts.items()}

    def of(self, account_id: str) -> Head:
        return self._heads[account_id]


def _head(account_id: str, account: Account, table: Table) -> Head:
    try:
        origin, prefix = origin_of(account.base_url, account.ca_bundle, "service" if account.in_cluster else "url")
    except ValueError as error:
        raise TableError(f"accounts/{account_id}", f"base_url: {error}") from error
    credential = _credential(account, table)
    lines = [
        f"POST {prefix.rstrip('/')}/chat/completions HTTP/1.1",
        f"Host: {origin.authority}",
        f"User-Agent: {_VERSION}",
        "Accept: application/json, text/event-stream",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        *(f"{name}: {value}" for name, value in account.headers.items()),
        *_authorization(account, credential),
        "Content-Length: ",
    ]
    for line in lines:
        if not _FORBIDDEN.isdisjoint(line) or not line.isascii():
            section = "credentials" if line.startswith(("Authorization", "api-key")) else "accounts"
            raise TableError(f"{section}/{account_id}", "holds a character that no HTTP header may hold")
    return Head(origin, "\r\n".join(lines).encode(), credential)


def _credential(account: Account, table: Table) -> str:
    if account.credential is None or account.auth == "none":
        return ""
    return table.credentials[account.credential].value.reveal()


def _authorization(account: Account, credential: str) -> list[str]:
    if not credential:
        return []
    return [f"api-key: {credential}" if account.auth == "api-key" else f"Authorization: Bearer {credential}"]
