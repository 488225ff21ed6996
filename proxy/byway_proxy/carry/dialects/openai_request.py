"""A chat request in OpenAI's dialect: read what decides, and write what a provider is sent.

The body is cut into its top-level fields once; what decides nothing stays the bytes it was. Fields that are ours
alone are taken out, the model's name is the endpoint's, and usage is always asked for. A field nobody knows is
passed on, never judged.
"""

from collections.abc import Set
from typing import Any

import msgspec
from msgspec import Raw

Fields = dict[str, Raw]
MOST_TOKENS = 2**31
LONGEST_NAME = 512

# What OpenRouter's clients say to the router and not to a model.
OURS = frozenset(
    {"model", "models", "provider", "route", "plugins", "preset", "transforms", "usage", "session_id", "trace"}
    | {"stream_options", "user", "debug", "cache_control", "include_reasoning"}
)

_fields = msgspec.json.Decoder(Fields)
_text = msgspec.json.Decoder(str | None)
_texts = msgspec.json.Decoder(list[str] | None)
_flag = msgspec.json.Decoder(bool | None)
_count = msgspec.json.Decoder(int | None)
_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
_WITH_USAGE = b',"stream_options":{"include_usage":true}'

NO_STREAM_OPTIONS = "no_stream_options"
"""The quirk of a provider that refuses `stream_options`; it says its usage unasked, or is counted."""


class BadRequest(ValueError):
    """The caller's fault. `param` is the field, as OpenAI's errors name it."""

    def __init__(self, param: str | None, message: str) -> None:
        super().__init__(message)
        self.param = param
        self.message = message


class ResponseFormat(msgspec.Struct, frozen=True):
    type: str = "text"


class ChatRequest(msgspec.Struct, frozen=True):
    """What a chat request says that decides anything; `fields` is all of it."""

    fields: Fields
    models: tuple[str, ...]
    """`model`, then `models`, without repetition; empty if neither was given."""
    stream: bool
    provider: Any
    """The `provider` preferences, decoded but not judged; None if absent."""
    route: str | None
    max_tokens: int | None
    features: frozenset[str]
    modalities: frozenset[str]
    user: str
    session: str
    size: int
    """Bytes of the body."""
    rest: bytes
    """Everything that goes on to a provider but `model`, as `"k":v,"k":v`."""


def read(body: bytes) -> ChatRequest:
    """Raises BadRequest, naming the field, what is wrong and what would be right."""
    fields = _cut(body)
    messages = _messages(fields)
    # Most requests have few of the fields that decide: what is absent costs one look.
    names = fields.keys()
    stream = "stream" in names and bool(_get(fields, "stream", _flag, "true or false"))
    return ChatRequest(
        fields=fields,
        models=_models(fields),
        stream=stream,
        provider=_get(fields, "provider", _any, "an object") if "provider" in names else None,
        route=_get(fields, "route", _text, "a string") if "route" in names else None,
        max_tokens=_max_tokens(fields),
        features=NONE if names.isdisjoint(_FEATURED) else _features(fields),
        modalities=_modalities(messages),
        user=_get(fields, "user", _text, "a string") or "" if "user" in names else "",
        session=_session(fields) if "session_id" in names else "",
        size=len(body),
        rest=_rest(fields, OURS),
    )


def body_for(
    request: ChatRequest, upstream_model: str, of_route: Fields | None = None, quirks: tuple[str, ...] = ()
) -> bytes:
    """The request as this provider is sent it. `of_route` goes before what the caller said of the same; `quirks`
    are the account's."""
    rest, more = request.rest, b""
    if of_route:
        more = b"," + _encode(of_route)[1:-1]
        if not request.fields.keys().isdisjoint(of_route):
            rest = _rest(request.fields, OURS | of_route.keys())
    usage = _WITH_USAGE if request.stream and NO_STREAM_OPTIONS not in quirks else b""
    return b"".join((b'{"model":', _encode(upstream_model), b",", rest, usage, more, b"}"))


def said_by_route(request: ChatRequest, defaults: Raw, max_output_tokens: int | None) -> Fields:
    """A route's `request.defaults` where the caller is silent, and its cap on the length of answers."""
    said = request.fields
    added = {k: v for k, v in _fields.decode(defaults).items() if k not in said and k not in OURS}
    if request.max_tokens is not None:
        # Said already, and perhaps by its other name.
        added = {k: v for k, v in added.items() if k not in _LENGTHS}
    return added if max_output_tokens is None else added | _capped(said | added, max_output_tokens)


def longest_answer(request: ChatRequest, of_route: Fields | None) -> int | None:
    """The most tokens of one answer that the provider is told, by either name; None: it is told nothing."""
    said = request.fields if of_route is None else request.fields | of_route
    counts = (_count_or_none(said.get(name)) for name in _LENGTHS)
    return max((count for count in counts if count is not None), default=None)


def answers(request: ChatRequest) -> int:
    """How many are asked for. What is no number is taken for one as far as a lenient provider might."""
    raw = request.fields.get("n")
    if raw is None:
        return 1
    try:
        return max(1, int(float(str(_any.decode(raw)))))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError, OverflowError):
        return 1


def with_cap(of_route: Fields | None, most: int) -> Fields:
    """Where neither caller nor route say how long an answer may be."""
    return {**(of_route or {}), "max_tokens": Raw(b"%d" % most)}


def _capped(fields: Fields, most: int) -> Fields:
    """Each length that asks for more, lowered; where none is said, the cap itself."""
    counts = {name: _count_or_none(fields.get(name)) for name in _LENGTHS}
    asked = {name: count for name, count in counts.items() if count is not None} or {"max_tokens": most + 1}
    return {name: Raw(b"%d" % most) for name, count in asked.items() if count > most}


def _count_or_none(raw: Raw | None) -> int | None:
    """A default that is no count is its author's mistake, not the caller's: the provider judges it."""
    try:
        return _count.decode(raw) if raw is not None else None
    except msgspec.DecodeError:
        return None


def _cut(body: bytes) -> Fields:
    try:
        return _fields.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(None, "the body must be a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        # msgspec's message has a position and no text of the body.
        raise BadRequest(None, f"the body is not valid JSON: {error}") from error
    except RecursionError as error:
        raise BadRequest(None, "the body is nested too deeply") from error


def _messages(fields: Fields) -> bytes:
    messages = fields.get("messages")
    if messages is None:
        raise BadRequest("messages", "messages: missing; give an array of at least one message")
    text = bytes(messages)
    if not text.startswith(b"[") or (len(text) < 64 and not text[1:-1].strip()):
        raise BadRequest("messages", "messages: must be an array of at least one message")
    return text


def _get(fields: Fields, name: str, decoder: Any, want: str) -> Any:
    raw = fields.get(name)
    if raw is None:
        return None
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(name, f"{name}: must be {want}") from error


def _models(fields: Fields) -> tuple[str, ...]:
    model = _get(fields, "model", _text, "a string")
    if model and "models" not in fields and not model.isspace() and len(model) <= LONGEST_NAME:
        return (model,)
    if model is not None and not model.strip():
        raise BadRequest("model", "model: must not be empty; GET /v1/models lists what can be called")
    more = _get(fields, "models", _texts, "an array of strings") if "models" in fields else None
    names = ([model] if model else []) + (more or [])
    if len(names) > 16:
        raise BadRequest("models", f"models: {len(names)} names are too many; give at most 15")
    if any(len(name) > LONGEST_NAME for name in names):
        raise BadRequest("model", f"model: no name here is longer than {LONGEST_NAME} letters")
    return tuple(dict.fromkeys(names)) if len(names) > 1 else tuple(names)


def _max_tokens(fields: Fields) -> int | None:
    for name in _LENGTHS:
        if name not in fields:
            continue
        count: int | None = _get(fields, name, _count, "a whole number")
        if count is not None:
            if not 1 <= count <= MOST_TOKENS:
                raise BadRequest(name, f"{name}: must be at least 1 and at most {MOST_TOKENS}")
            return count
    return None


def _features(fields: Fields) -> frozenset[str]:
    found = set()
    if "tools" in fields and bytes(fields["tools"]) not in (b"null", b"[]"):
        found.add("tools")
    if "response_format" in fields:
        wanted = _get(fields, "response_format", _FORMAT, "an object with a type")
        if wanted is not None and wanted.type in ("json_schema", "json_object"):
            found.add("structured_outputs" if wanted.type == "json_schema" else "json_object")
    # These decide only where the caller requires them: else they are the provider's to pass over.
    found.update(n for n in _REQUIRABLE if n in fields and bytes(fields[n]) not in (b"null", b"false"))
    return frozenset(found)


_LENGTHS = ("max_completion_tokens", "max_tokens")
NONE: frozenset[str] = frozenset()
_FEATURED = frozenset({"tools", "response_format", "provider", "logprobs", "reasoning"})
_REQUIRABLE = ("logprobs", "reasoning", "temperature")
_FORMAT = msgspec.json.Decoder(ResponseFormat | None)

# The words that begin a content part which is not text. Inside a string they would be escaped (`\"type\"`).
_PARTS = ((b'"image_url"', "image"), (b'"input_audio"', "audio"), (b'"video_url"', "video"), (b'"file"', "file"))


def _modalities(text: bytes) -> frozenset[str]:
    if b'"type"' not in text:
        return _TEXT
    return frozenset({"text", *(kind for word, kind in _PARTS if word in text)})


_TEXT = frozenset({"text"})


def _session(fields: Fields) -> str:
    return (_get(fields, "session_id", _text, "a string") or "")[:256]


def _rest(fields: Fields, without: Set[str]) -> bytes:
    kept = fields.copy()
    for name in without & fields.keys():
        del kept[name]
    return _encode(kept)[1:-1]
