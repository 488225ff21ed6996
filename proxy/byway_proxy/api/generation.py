"""`GET /generation?id=gen-…`: what became of a request, from whichever proxy, in OpenRouter's fields.

All of them are there, for its own client refuses an answer that lacks one; null is what nobody knows here. The
records of an attempt reach the ledger a moment after the answer has reached its caller, so who asks at once is kept
waiting for a moment, and not for longer.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
from byway_contract.activity import Attempt
from byway_contract.records import Settle
from byway_contract.table import Table

from byway_proxy.admit.caller import Caller
from byway_proxy.api.errors import ApiError
from byway_proxy.api.own import asked, namespace_of, provider_name, told, usd
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.outlet import JSON
from byway_proxy.meter.books import Books
from byway_proxy.meter.ids import minted_at

_encode = msgspec.json.Encoder().encode

# A proxy's log is synced every 50 ms, and shipped at once.
PAUSES_S = (0.05, 0.1, 0.15, 0.3, 0.4)
# Of an id so young there may be records on their way.
YOUNG_S = 30.0
MOST_WAITING = 64
LONGEST_ID = 256

_APIS = {"chat": "completions", "messages": "completions", "responses": "completions"}


class Generation:
    def __init__(
        self,
        serving: Serving,
        books: Books,
        wall: Callable[[], float],
        pauses_s: Sequence[float] = PAUSES_S,
    ) -> None:
        self._serving, self._books, self._wall, self._pauses_s = serving, books, wall, pauses_s
        self._waiting = 0

    async def __call__(self, received: Received, reply: Reply) -> None:
        view, _ = self._serving.current()
        caller = self._serving.caller(received.headers)
        name = asked(received).get("id", "")
        if not name or len(name) > LONGEST_ID:
            raise ApiError(400, "id: want the id of a generation, as in ?id=gen-…", param="id")
        attempts = await self._found(name, caller, view.table)
        if not attempts:
            raise ApiError(
                404, f'no generation "{name}" here; ids are those of answers, kept for a while', param="id"
            )
        if not _over(attempts):
            raise ApiError(404, f'generation "{name}" has not ended yet', param="id", retry_after_s=1.0)
        reply.whole(200, JSON, _encode({"data": described(attempts, view.table)}))

    async def _found(self, name: str, caller: Caller, table: Table) -> list[Attempt]:
        """Raises ApiError."""
        of = namespace_of(caller, table)
        found = await told(self._books.attempts(name, of))
        if _answered(found) or not self._young(name, found) or self._waiting >= MOST_WAITING:
            return found
        self._waiting += 1
        try:
            for pause_s in self._pauses_s:
                await asyncio.sleep(pause_s)
                found = await told(self._books.attempts(name, of))
                if _answered(found):
                    break
        finally:
            self._waiting -= 1
        return found

    def _young(self, name: str, found: Sequence[Attempt]) -> bool:
        """Whether more of it may be on its way. A stream may have begun long ago, and have ended just now."""
        known = [minted_at(name), *(one.settle.at for one in found if one.settle is not None)]
        under_way = any(one.settle is None for one in found)
        return under_way or abs(self._wall() - max(known)) < YOUNG_S


def _over(attempts: Sequence[Attempt]) -> bool:
    return all(one.settle is not None for one in attempts)


def _answered(attempts: Sequence[Attempt]) -> bool:
    """A failed attempt may be followed by another one, so that alone is no end yet."""
    last = attempts[-1].settle if attempts else None
    return _over(attempts) and last is not None and last.outcome != "failed"


def described(attempts: Sequence[Attempt], table: Table) -> dict[str, Any]:
    """Raises nothing: every attempt has ended."""
    first, last = attempts[0].intent, _answering(attempts)
    intent, settle = last.intent, last.settle or Settle(last.intent.attempt, last.intent.at, "crash")
    usage = settle.usage if settle.usage_from != "unknown" else None
    billed = usd(sum(one.settle.billed + one.settle.fee for one in attempts if one.settle is not None))
    first_word_ms = settle.first_token_ms if settle.first_token_ms is not None else settle.duration_ms
    return {
        "id": intent.request,
        "request_id": None,
        "session_id": intent.session or None,
        "api_type": _APIS.get(intent.api, intent.api),
        "created_at": _instant(first.at),
        "model": intent.model,
        "router": intent.route or None,
        "provider_name": provider_name(table, intent.account, intent.provider),
        "provider_responses": [_response(one, table) for one in attempts],
        "streamed": intent.streamed,
        "cancelled": settle.outcome == "client_cancel",
        "finish_reason": settle.finish or None,
        "native_finish_reason": settle.native_finish or None,
        "latency": round((intent.at - first.at) * 1000 + first_word_ms, 3),
        "generation_time": settle.duration_ms,
        "moderation_latency": None,
        "tokens_prompt": usage and usage.prompt,
        "tokens_completion": usage and usage.completion,
        "native_tokens_prompt": usage and usage.prompt,
        "native_tokens_completion": usage and usage.completion,
        "native_tokens_cached": usage and usage.cached,
        "native_tokens_reasoning": usage and usage.reasoning,
        "native_tokens_completion_images": usage and usage.image_completion,
        "num_media_prompt": None,
        "num_media_completion": None,
        "num_input_audio_prompt": None,
        "num_search_results": None,
        "num_fetches": None,
        "usage": billed,
        "total_cost": billed,
        "upstream_inference_cost": usd(settle.cost) if intent.byok else None,
        "cache_discount": None,
        "is_byok": intent.byok,
        "upstream_id": settle.upstream_id or None,
        "service_tier": None,
        "web_search_engine": None,
        "preset_id": None,
        "response_cache_source_id": None,
        "app_id": None,
        "origin": intent.referer,
        "http_referer": intent.referer or None,
        "user_agent": intent.user_agent or None,
        "external_user": intent.user or None,
        "data_region": "global",
        "workspace_id": None,
        # Ours:
        "namespace": intent.namespace,
        "service_account": intent.service_account or None,
        "access_key": intent.access_key or None,
        "usage_from": settle.usage_from,
    }


def _answering(attempts: Sequence[Attempt]) -> Attempt:
    """The one whose run the client was given; where none was, the last."""
    for one in reversed(attempts):
        if one.settle is not None and one.settle.outcome != "failed":
            return one
    return attempts[-1]


def _response(one: Attempt, table: Table) -> dict[str, Any]:
    intent, settle = one.intent, one.settle
    told_of: dict[str, Any] = {
        "status": settle.status or None if settle is not None else None,
        "endpoint_id": intent.endpoint,
        "is_byok": intent.byok,
        "model_permaslug": intent.model,
        "provider_name": provider_name(table, intent.account, intent.provider),
    }
    if settle is not None:
        told_of["latency"] = settle.duration_ms
        if settle.upstream_id:
            told_of["id"] = settle.upstream_id
    return told_of


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
