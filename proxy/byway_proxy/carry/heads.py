"""Request heads, prepared once for each endpoint of a table: a request adds only its length."""

from byway_contract.table import Account, Table, TableError
from msgspec import Struct

from byway_proxy.carry.upstream.origins import Origin, origin_of

_FORBIDDEN = frozenset("\r\n\0")
_VERSION = "byway/0.1"
_CREDENTIAL = "{credential}"
"""In `verify_headers`."""


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


def proof_head(account_id: str, table: Table, *, with_credential: bool = True) -> Head:
    """The whole head of an account's cheapest authenticated call. Raises TableError."""
    account = table.accounts[account_id]
    origin, prefix = _where(account_id, account)
    credential = _credential(account, table) if with_credential else ""
    lines = [
        f"GET {prefix}{account.verify} HTTP/1.1",
        f"Host: {origin.authority}",
        f"User-Agent: {_VERSION}",
        "Accept: application/json",
        "Accept-Encoding: identity",
        *(f"{name}: {value}" for name, value in account.headers.items()),
        *_proof(account, credential),
        "",
        "",
    ]
    return Head(origin, _joined(account_id, lines), credential)


def _proof(account: Account, credential: str) -> list[str]:
    if not account.verify_headers:
        return _authorization(account, credential)
    said = account.verify_headers.items()
    return [
        f"{name}: {value.replace(_CREDENTIAL, credential)}"
        for name, value in said
        if credential or _CREDENTIAL not in value
    ]


def _head(account_id: str, account: Account, table: Table) -> Head:
    origin, prefix = _where(account_id, account)
    credential = _credential(account, table)
    lines = [
        f"POST {prefix}/chat/completions HTTP/1.1",
        f"Host: {origin.authority}",
        f"User-Agent: {_VERSION}",
        "Accept: application/json, text/event-stream",
        "Accept-Encoding: identity",
        "Content-Type: application/json",
        *(f"{name}: {value}" for name, value in account.headers.items()),
        *_authorization(account, credential),
        "Content-Length: ",
    ]
    return Head(origin, _joined(account_id, lines), credential)


def _where(account_id: str, account: Account) -> tuple[Origin, str]:
    try:
        return origin_of(account.base_url, account.ca_bundle, "service" if account.in_cluster else "url")
    except ValueError as error:
        raise TableError(f"accounts/{account_id}", f"base_url: {error}") from error


def _joined(account_id: str, lines: list[str]) -> bytes:
    for line in lines:
        if not _FORBIDDEN.isdisjoint(line) or not line.isascii():
            section = "credentials" if line.startswith(("Authorization", "api-key")) else "accounts"
            raise TableError(f"{section}/{account_id}", "holds a character that no HTTP header may hold")
    return "\r\n".join(lines).encode()


def _credential(account: Account, table: Table) -> str:
    if account.credential is None or account.auth == "none":
        return ""
    return table.credentials[account.credential].value.reveal()


def _authorization(account: Account, credential: str) -> list[str]:
    if not credential:
        return []
    return [f"api-key: {credential}" if account.auth == "api-key" else f"Authorization: Bearer {credential}"]
