"""`GET /key` and `/auth/key`: what is known of the credential that asks, what it spent, and what it still may.

In OpenRouter's fields, all of them. What was spent, and where budgets stand, only the ledger knows, so without it
there is no answer; models are answered all the same. `usage` is all that was charged, also where it was the
namespace's own key at the provider that paid: `byok_usage` is that part of it.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from byway_contract.access_key import label_of
from byway_contract.activity import By, Sum
from byway_contract.table import Table

from byway_proxy.admit.caller import Caller
from byway_proxy.api.callers import credential_in
from byway_proxy.api.key_budgets import binding, described, effective
from byway_proxy.api.own import told, usd
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.outlet import JSON
from byway_proxy.meter.books import Books

_encode = msgspec.json.Encoder().encode


class Key:
    def __init__(self, serving: Serving, books: Books, wall: Callable[[], float]) -> None:
        self._serving, self._books, self._wall = serving, books, wall

    async def __call__(self, received: Received, reply: Reply) -> None:
        view, _ = self._serving.current()  # without a table nobody is known
        caller = self._serving.caller(received.headers)
        credential = credential_in(received.headers) if caller.access_key else None
        data = {
            **_described(caller, credential),
            **await self._spent(caller),
            **await self._limited(caller, view.table),
        }
        reply.whole(200, JSON, _encode({"data": data}))

    async def _spent(self, caller: Caller) -> dict[str, Any]:
        only: Mapping[By, str] = {
            "namespace": caller.namespace,
            "access_key": caller.access_key,
            "service_account": caller.service_account,
        }
        starts = begun(self._wall())
        ever = await told(self._books.sums(("byok",), only, 0.0))
        first = min(start.timestamp() for start in starts.values())
        lately = await told(self._books.sums(("day", "byok"), only, first))
        spent = _sums("", ever.rows)
        for name, start in starts.items():
            spent |= _sums(f"_{name}", [row for row in lately.rows if row.key["day"] >= f"{start:%Y-%m-%d}"])
        return spent

    async def _limited(self, caller: Caller, table: Table) -> dict[str, Any]:
        bound = binding(table.budgets.values(), caller)
        found = await told(self._books.counters([one.counter for one in bound]))
        counters = {(one.limit, one.subject): one for one in found}
        first = effective(bound, counters)
        return {
            "limit": first and first["limit_usd"],
            "limit_remaining": first and first["remaining_usd"],
            "limit_reset": first and first["reset_interval"],
            "include_byok_in_limit": True,
            "budgets": described(bound, counters),
            "effective_budget": first,
        }


def begun(now: float) -> dict[str, datetime]:
    """When the windows of `usage_…` began: UTC, weeks on Monday."""
    today = datetime.fromtimestamp(now, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return {"daily": today, "weekly": today - timedelta(days=today.weekday()), "monthly": today.replace(day=1)}


def _sums(suffix: str, rows: list[Sum]) -> dict[str, Any]:
    own = [row.billed_nanodollars for row in rows if row.key["byok"] == "1"]
    return {
        f"usage{suffix}": usd(sum(row.billed_nanodollars + row.fee_nanodollars for row in rows)),
        f"byok_usage{suffix}": usd(sum(own)),
    }


def _described(caller: Caller, access_key: str | None) -> dict[str, Any]:
    return {
        "label": label_of(access_key) if access_key else _label(caller),
        "name": caller.access_key or caller.service_account or None,
        "namespace": caller.namespace,
        "creator_user_id": caller.user or None,
        "allowed_models": caller.allowed_models or None,
        "expires_at": _instant(caller.expires),
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ("global",),
        # Free models have no quota of their own here; a Budget is what limits requests.
        "free_model_daily_requests": {"limit": -1, "remaining": -1, "used": 0},
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated; it limits nothing"},
    }


def _label(caller: Caller) -> str:
    if caller.service_account:
        return f"ServiceAccount {caller.namespace}/{caller.service_account}"
    return f"anonymous in {caller.namespace}"


def _instant(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
