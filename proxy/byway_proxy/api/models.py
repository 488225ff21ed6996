"""`GET /models` and `GET /models/{id}`: what the caller may call, in OpenRouter's fields and OpenAI's."""

from typing import Any
from urllib.parse import parse_qs, unquote

import msgspec
from byway_contract.globs import allows
from byway_contract.money import MILLION, NANO, Price
from cachetools import LRUCache

from byway_proxy.admit.caller import Caller
from byway_proxy.api.errors import ApiError
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.outlet import JSON
from byway_proxy.choose.listing import Listed, nearest, visible_models
from byway_proxy.choose.view import View

_encode = msgspec.json.Encoder().encode
MOST = 1000
LIMIT = 500
# Whose lists are kept: a list of 1,000 models is 3 MB.
NAMESPACES = 8

# Features of the table, and the parameters that OpenRouter's list names for them.
_PARAMETERS = {
    "tools": ("tools", "tool_choice"),
    "structured_outputs": ("structured_outputs", "response_format"),
    "json_object": ("response_format",),
    "reasoning": ("reasoning", "include_reasoning"),
    "temperature": ("temperature",),
    "logprobs": ("logprobs", "top_logprobs"),
}


class Models:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._view: View | None = None
        self._listed: LRUCache[str, tuple[dict[str, Any], ...]] = LRUCache(NAMESPACES)

    async def all(self, received: Received, reply: Reply) -> None:
        """`offset` and `limit` page; without either the list is whole. A client pages while a page is full, so
        ignoring `offset` would keep it here for ever."""
        entries = self._entries(self._serving.caller(received.headers))
        query = parse_qs(received.query)
        if "offset" in query or "limit" in query:
            offset, limit = _whole(query, "offset", 0), min(_whole(query, "limit", LIMIT), MOST)
        else:
            offset, limit = 0, len(entries)
        page = entries[offset : offset + limit]
        body = {"object": "list", "data": page, "links": {"next": None}, "total_count": len(entries)}
        reply.whole(200, JSON, _encode(body))

    async def one(self, received: Received, reply: Reply) -> None:
        """The slash in a model's name may come encoded or not: OpenAI's client encodes it."""
        name = unquote(received.path.removeprefix("/v1/models/"))
        caller = self._serving.caller(received.headers)
        for entry in self._entries(caller):
            if entry["id"] == name:
                reply.whole(200, JSON, _encode(entry))
                return
        view, _ = self._serving.current()
        near = nearest(view, caller.namespace, name, caller.allowed_models)
        hint = f"; did you mean {' or '.join(near)}?" if near else "."
        raise ApiError(404, f'no model named "{name[:200]}" here{hint} GET /v1/models lists all', param="model")

    def _entries(self, caller: Caller) -> tuple[dict[str, Any], ...]:
        entries = self._of(caller.namespace)
        if not caller.allowed_models:
            return entries
        allowed = allows(caller.allowed_models)
        return tuple(entry for entry in entries if allowed(entry["id"]))

    def _of(self, namespace: str) -> tuple[dict[str, Any], ...]:
        """Made once for each table and namespace, of the namespaces that asked last."""
        view, _ = self._serving.current()
        if view is not self._view:
            self._listed.clear()
            self._view = view
        entries = self._listed.get(namespace)
        if entries is None:
            entries = tuple(_entry(listed) for listed in visible_models(view, namespace))
            self._listed[namespace] = entries
        return entries


def _entry(listed: Listed) -> dict[str, Any]:
    author = listed.id.split("/", 1)[0] if "/" in listed.id else "byway"
    return {
        "id": listed.id,
        "object": "model",
        "owned_by": author,
        "canonical_slug": listed.id,
        "name": listed.name,
        "created": listed.created,
        "description": listed.description,
        "context_length": listed.context_length,
        "architecture": {
            "modality": f"{'+'.join(listed.input_modalities)}->{'+'.join(listed.output_modalities)}",
            "input_modalities": listed.input_modalities,
            "output_modalities": listed.output_modalities,
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": pricing(listed.price),
        "top_provider": {
            "context_length": listed.context_length,
            "max_completion_tokens": listed.max_output_tokens,
            "is_moderated": False,
        },
        "per_request_limits": None,
        "supported_parameters": _parameters(listed.features),
        "default_parameters": None,
        "supported_voices": None,
        "knowledge_cutoff": listed.knowledge_cutoff,
        "links": {"details": f"/api/v1/models/{listed.id}"},
    }


def pricing(price: Price | None) -> dict[str, str]:
    """US dollars per token, as decimal strings; -1 where nobody knows, as OpenRouter says of its router."""
    if price is None:
        return {"prompt": "-1", "completion": "-1"}
    found = {"prompt": per_token(price.input), "completion": per_token(price.output)}
    if price.per_request:
        found["request"] = per_token(price.per_request * MILLION)
    if price.cache_read is not None:
        found["input_cache_read"] = per_token(price.cache_read)
    if price.cache_write is not None:
        found["input_cache_write"] = per_token(price.cache_write)
    others = {
        "internal_reasoning": price.reasoning,
        "audio": price.audio_input,
        "audio_output": price.audio_output,
        "image_token": price.image_input,
        "image_output": price.image_output,
    }
    return found | {name: per_token(rate) for name, rate in others.items() if rate is not None}


def per_token(per_million: int) -> str:
    """Nanodollars per million tokens as US dollars per token: exact, 15 decimals at most."""
    whole, rest = divmod(per_million, NANO * MILLION)
    return f"{whole}.{rest:015d}".rstrip("0").rstrip(".")


def _parameters(features: tuple[str, ...] | None) -> list[str]:
    known = ["max_tokens", "stop", "seed", "top_p"]
    return known + list(dict.fromkeys(p for f in features or () for p in _PARAMETERS.get(f, ())))


def _whole(query: dict[str, list[str]], name: str, default: int) -> int:
    text = query.get(name, [str(default)])[-1]
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise ApiError(400, f"{name}: must be a whole number from 0", param=name)
    return int(text)
