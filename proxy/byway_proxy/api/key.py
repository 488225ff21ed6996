"""`GET /key` and `/auth/key`: what is known of the credential that asks, in OpenRouter's fields.

Fields that only the ledger could fill (`usage…`, `free_model_daily_requests`) are left out rather than invented:
no request waits for the ledger. There are no limits on keys, so those fields say that there are none.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec
from byway_contract.access_key import label_of

from byway_proxy.admit.caller import Caller
from byway_proxy.api.callers import credential_in
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.outlet import JSON

_encode = msgspec.json.Encoder().encode


class Key:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    async def __call__(self, received: Received, reply: Reply) -> None:
        self._serving.current()  # without a table nobody is known
        caller = self._serving.caller(received.headers)
        credential = credential_in(received.headers) if caller.access_key else None
        reply.whole(200, JSON, _encode({"data": _described(caller, credential)}))


def _described(caller: Caller, access_key: str | None) -> dict[str, Any]:
    return {
        "label": label_of(access_key) if access_key else _label(caller),
        "name": caller.access_key or caller.service_account or None,
        "namespace": caller.namespace,
        "creator_user_id": caller.user or None,
        "allowed_models": caller.allowed_models or None,
        "expires_at": _instant(caller.expires),
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "include_byok_in_limit": False,
        "budgets": (),
        "effective_budget": None,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "organization_id": None,
        "workspace_id": None,
        "allowed_data_regions": ("global",),
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated; it limits nothing"},
    }


def _label(caller: Caller) -> str:
    if caller.service_account:
        return f"ServiceAccount {caller.namespace}/{caller.service_account}"
    return f"anonymous in {caller.namespace}"


def _instant(seconds: int | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
