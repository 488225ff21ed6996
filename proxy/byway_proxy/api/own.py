"""What a caller may read of the books, and what it is told while they are out of reach.

A caller reads its own namespace's rows; one of a trusted namespace reads all. Whose rows they are is said to the
ledger, so that no others leave it.
"""

from collections.abc import Awaitable
from typing import TypeVar
from urllib.parse import parse_qs

from byway_contract.money import dollars
from byway_contract.table import Table
from msgspec import Raw

from byway_proxy.admit.caller import Caller
from byway_proxy.api.errors import ApiError
from byway_proxy.api.server import Received
from byway_proxy.meter.books import BooksAway

T = TypeVar("T")
TRY_AGAIN_S = 2.0


def namespace_of(caller: Caller, table: Table) -> str | None:
    """Whose rows it may read; None: everybody's."""
    return None if caller.namespace in table.trusted_namespaces else caller.namespace


async def told(question: Awaitable[T]) -> T:
    """The ledger's answer. Raises ApiError 503 if there is none."""
    try:
        return await question
    except BooksAway as away:
        raise ApiError(
            503,
            "the ledger does not answer just now, and only it knows what was spent; models are answered all the"
            " same. Ask again in a moment",
            "ledger_unavailable",
            retry_after_s=TRY_AGAIN_S,
        ) from away


def asked(received: Received) -> dict[str, str]:
    """The query; of a parameter that is there twice, the last."""
    return {name: values[-1] for name, values in parse_qs(received.query, keep_blank_values=True).items()}


def usd(nanodollars: int) -> Raw:
    """US dollars as a JSON number with every decimal it has, which no float would promise."""
    return Raw(dollars(nanodollars).encode())


def provider_name(table: Table, account: str, provider: str) -> str:
    """As answers name it; the provider's own word where the account is gone."""
    known = table.accounts.get(account)
    return known.display_name if known is not None else provider
