"""`GET /activity`: what was used in each of the last 30 days that are over, and `GET /credits`.

A caller reads its own namespace's, one of a trusted namespace everybody's, or one namespace's by `workspace_id`. A
day is UTC's. `usage` is what was charged; `byok_usage_inference` the part of it that the namespace's own keys paid.
"""

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec
from byway_contract.activity import By, Sum
from byway_contract.table import AccessKey, Table

from byway_proxy.admit.caller import Caller
from byway_proxy.api.errors import ApiError
from byway_proxy.api.own import asked, namespace_of, provider_name, told, usd
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.outlet import JSON
from byway_proxy.meter.books import Books

_encode = msgspec.json.Encoder().encode
DAYS = 30
MOST_ROWS = 10_000
_BY: tuple[By, ...] = ("day", "namespace", "model", "endpoint", "account", "provider", "byok")


class Activity:
    def __init__(self, serving: Serving, books: Books, wall: Callable[[], float]) -> None:
        self._serving, self._books, self._wall = serving, books, wall

    async def __call__(self, received: Received, reply: Reply) -> None:
        view, _ = self._serving.current()
        caller = self._serving.caller(received.headers)
        query = asked(received)
        since, until = _span(query.get("date"), datetime.fromtimestamp(self._wall(), UTC).date())
        only = _only(query, caller, view.table)
        rows: list[Sum] = []
        if only is not None:
            found = await told(self._books.sums(_BY, only, since, until, MOST_ROWS))
            if found.more:
                raise ApiError(400, f"more than {MOST_ROWS} rows; ask for one day, with date=YYYY-MM-DD")
            rows = found.rows
        by_namespace = query.get("group_by") == "workspace"
        reply.whole(200, JSON, _encode({"data": _described(rows, view.table, by_namespace)}))


class Credits:
    """`total_credits` is what was bought, ever, and `total_usage` what was taken from it: fees, and what the
    platform's provider keys paid."""

    def __init__(self, serving: Serving, books: Books) -> None:
        self._serving, self._books = serving, books

    async def __call__(self, received: Received, reply: Reply) -> None:
        view, _ = self._serving.current()
        caller = self._serving.caller(received.headers)
        of = namespace_of(caller, view.table)
        # By something of which there are few.
        found = await told(self._books.sums(("byok",), {} if of is None else {"namespace": of}, 0.0))
        spent = usd(sum(row.charge_nanodollars for row in found.rows))
        bought = usd((await told(self._books.credits(of))).total)
        reply.whole(200, JSON, _encode({"data": {"total_credits": bought, "total_usage": spent}}))


def _span(day: str | None, today: date) -> tuple[float, float]:
    first, last = today - timedelta(days=DAYS), today
    if day is not None:
        try:
            chosen = date.fromisoformat(day[:10])
        except ValueError as error:
            raise ApiError(400, "date: want a day as YYYY-MM-DD", param="date") from error
        if not first <= chosen < last:
            raise ApiError(
                400, f"date: want one of the last {DAYS} days that are over (UTC), from {first} on", param="date"
            )
        first, last = chosen, chosen + timedelta(days=1)
    return _begins(first), _begins(last)


def _begins(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _only(query: dict[str, str], caller: Caller, table: Table) -> dict[By, str] | None:
    """Whose rows are asked for; None: nobody's. Raises ApiError."""
    only: dict[By, str] = {}
    own = namespace_of(caller, table)
    workspace = query.get("workspace_id")
    if own is not None and workspace not in (None, own):
        raise ApiError(403, f"workspace_id: a caller of namespace {own} reads its own activity alone")
    if (namespace := own or workspace) is not None:
        only["namespace"] = namespace
    if (user := query.get("user_id")) is not None:
        only["user"] = user
    if (digest := query.get("api_key_hash")) is not None:
        key = _with_digest(table, digest)
        if key is None or only.get("namespace", key.namespace) != key.namespace:
            return None
        only |= {"namespace": key.namespace, "access_key": key.name}
    return only


def _with_digest(table: Table, digest: str) -> AccessKey | None:
    """An AccessKey is counted as one, whichever of its keys was used."""
    for known in table.callers.values():
        if isinstance(known, AccessKey) and any(key.sha256 == digest.lower() for key in known.keys):
            return known
    return None


def _described(rows: Iterable[Sum], table: Table, by_namespace: bool) -> list[dict[str, Any]]:
    """One row for a day, a model and an endpoint, whoever's key it is to whom."""
    found: dict[tuple[str, ...], list[Sum]] = {}
    for row in rows:
        key = row.key
        name = (key["day"], key["model"], key["endpoint"], key["namespace"] if by_namespace else "")
        found.setdefault(name, []).append(row)
    newest_first = sorted(sorted(found.items()), key=lambda item: item[0][0], reverse=True)
    return [_row(some, table, by_namespace) for _, some in newest_first]


def _row(rows: list[Sum], table: Table, by_namespace: bool) -> dict[str, Any]:
    key = rows[0].key
    own = sum(row.billed_nanodollars for row in rows if row.key["byok"] == "1")
    return {
        "date": key["day"],
        "model": key["model"],
        "model_permaslug": key["model"],
        "endpoint_id": key["endpoint"],
        "provider_name": provider_name(table, key["account"], key["provider"]),
        "requests": sum(row.answered for row in rows),
        "prompt_tokens": sum(row.prompt_tokens for row in rows),
        "completion_tokens": sum(row.completion_tokens for row in rows),
        "reasoning_tokens": sum(row.reasoning_tokens for row in rows),
        "cached_tokens": sum(row.cached_tokens for row in rows),
        "usage": usd(sum(row.billed_nanodollars + row.fee_nanodollars for row in rows)),
        "byok_usage_inference": usd(own),
        **({"workspace_id": key["namespace"]} if by_namespace else {}),
    }
