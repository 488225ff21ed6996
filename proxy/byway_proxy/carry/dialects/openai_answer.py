"""An answer in OpenAI's dialect: what the provider said, made into what our API promises, byte by byte.

Promised, and so rewritten: `id`, `created`, `model`, `provider`, `system_fingerprint` (present), every choice's
`finish_reason` (present, normalised) with `native_finish_reason`, and `usage` with its cost. Everything else is
passed on as it came.
"""

import msgspec
from byway_contract.money import NANO, Cost, Usage
from msgspec import Raw

Fields = dict[str, Raw]

FINISH = {
    "stop": "stop", "eos": "stop", "eos_token": "stop", "end_turn": "stop", "stop_sequence": "stop",
    "length": "length", "max_tokens": "length", "model_length": "length",
    "tool_calls": "tool_calls", "function_call": "tool_calls", "tool_use": "tool_calls",
    "content_filter": "content_filter", "safety": "content_filter", "recitation": "content_filter",
    "error": "error",
}  # fmt: skip

_fields = msgspec.json.Decoder(Fields)
_choices = msgspec.json.Decoder(list[Fields])
_text = msgspec.json.Decoder(str | None)
_encode = msgspec.json.Encoder().encode
NULL = Raw(b"null")
# What a decoder raises: msgspec finds a string that is no UTF-8 only when it makes the string.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class BadAnswer(ValueError):
    """The provider said 200 and something that is no answer. The text never quotes it."""


class Identity(msgspec.Struct, frozen=True, gc=False):
    """What an answer of ours is called."""

    generation: str
    created: int
    model: str
    provider: str

    def head(self, kind: bytes) -> bytes:
        return (
            b'{"id":' + _encode(self.generation) + b',"object":"' + kind + b'","created":%d' % self.created
            + b',"model":' + _encode(self.model) + b',"provider":' + _encode(self.provider)
        )  # fmt: skip


class _Details(msgspec.Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class _Usage(msgspec.Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None
    completion_tokens_details: _Details | None = None
    prompt_cache_hit_tokens: int | None = None


_usage = msgspec.json.Decoder(_Usage | None)
_NO_DETAILS = _Details()


class ProviderError(msgspec.Struct, frozen=True):
    """An error object inside an answer, whatever its shape; all of what it says, until `fit_to_repeat`."""

    code: str = ""
    type: str = ""
    message: str = ""
    status: int = 0

    def fit_to_repeat(self, credential: str) -> "ProviderError":
        """Short, and without the credential: some providers quote what they were sent.

        Hidden first and shortened then, or half of it could be left at the end.
        """

        def fit(text: str, most: int) -> str:
            return (text.replace(credential, "***") if credential else text)[:most]

        return ProviderError(fit(self.code, 100), fit(self.type, 100), fit(self.message, 500), self.status)


class Whole(msgspec.Struct, frozen=True):
    """A whole answer, read. `bytes_with` writes it."""

    fields: Fields
    choices: list[Fields]
    usage: Usage | None
    finish: str
    native_finish: str
    upstream_id: str
    error: ProviderError | None

    @property
    def blank(self) -> bool:
        """Nothing was said and nothing was ended: no answer at all, whatever the status."""
        return not self.choices or (not self.finish and not any(_says_something(c) for c in self.choices))

    def bytes_with(self, identity: Identity, usage: bytes) -> bytes:
        return _encode({
            **_FIRST,
            **self.fields,
            "id": identity.generation,
            "object": "chat.completion",
            "created": identity.created,
            "model": identity.model,
            "provider": identity.provider,
            "choices": [promised(choice) for choice in self.choices],
            "usage": Raw(usage),
        })  # fmt: skip


# What a person looks for first stands first; what a provider leaves out is null.
_FIRST = dict.fromkeys(("id", "object", "created", "model", "provider", "system_fingerprint"), NULL)


def read_whole(body: bytes) -> Whole:
    """Raises BadAnswer."""
    fields = cut(body)
    error = read_error(fields["error"]) if "error" in fields else None
    choices = read_choices(fields.get("choices"))
    ending = ending_of(choices[0]) if choices else NO_ENDING
    usage = read_usage(fields["usage"]) if "usage" in fields else None
    return Whole(
        fields, choices, usage, ending.finish, ending.native, text_of(fields.get("id"))[:256], error
    )  # fmt: skip


def cut(body: bytes) -> Fields:
    """Raises BadAnswer."""
    try:
        return _fields.decode(body)
    except UNREADABLE as error:
        raise BadAnswer("the provider's answer is not a JSON object") from error


def read_choices(raw: Raw | None) -> list[Fields]:
    """Raises BadAnswer."""
    if raw is None:
        return []
    try:
        return _choices.decode(raw)
    except UNREADABLE as error:
        raise BadAnswer("the provider's choices are not an array of objects") from error


def read_usage(raw: Raw) -> Usage | None:
    """None if the provider gave none, or none that adds up (it is then counted here)."""
    try:
        said = _usage.decode(raw)
    except UNREADABLE:
        return None
    if said is None:
        return None
    prompt, completion = said.prompt_tokens, said.completion_tokens
    if prompt is None or completion is None or not (0 <= prompt <= 2**40 and 0 <= completion <= 2**40):
        return None
    sent, made = said.prompt_tokens_details or _NO_DETAILS, said.completion_tokens_details or _NO_DETAILS
    cached = sent.cached_tokens or said.prompt_cache_hit_tokens
    written, reasoning = sent.cache_write_tokens, made.reasoning_tokens
    media = sent.audio_tokens or sent.image_tokens or made.audio_tokens or made.image_tokens
    if not (cached or written or reasoning or media):
        return Usage(prompt, completion)
    cached = _within(cached or 0, prompt)
    if reasoning and reasoning > 0 and said.total_tokens == prompt + completion + reasoning:
        # xAI's way: the tokens of the answer alone. Ours are all that were made.
        completion += reasoning
    plain = Usage(
        prompt, completion, cached, _within(written or 0, prompt - cached), _within(reasoning or 0, completion)
    )
    return _with_media(plain, sent, made) if media else plain


def _with_media(plain: Usage, sent: _Details, made: _Details) -> Usage:
    heard, spoken = _within(sent.audio_tokens or 0, plain.prompt), _within(made.audio_tokens or 0, plain.completion)
    return msgspec.structs.replace(
        plain,
        audio_prompt=heard,
        audio_completion=spoken,
        image_prompt=_within(sent.image_tokens or 0, plain.prompt - heard),
        image_completion=_within(made.image_tokens or 0, plain.completion - spoken),
    )


def read_error(raw: Raw) -> ProviderError | None:
    """The error object, or None where it is null. Codes and types only decide; the message is for classifying."""
    try:
        said = msgspec.json.decode(raw)
    except UNREADABLE:
        return ProviderError(message="unreadable")
    if said is None:
        return None
    if not isinstance(said, dict):
        return ProviderError(message=str(said))
    code = said.get("code")
    return ProviderError(
        code=str(code or ""),
        type=str(said.get("type") or ""),
        message=str(said.get("message") or ""),
        status=code if isinstance(code, int) and 400 <= code < 600 else 0,
    )


def promised(choice: Fields) -> Fields:
    """A choice as we promise it: `finish_reason` present and normalised, the provider's own word beside it."""
    ending = ending_of(choice)
    return {**choice, "finish_reason": ending.finish_raw, "native_finish_reason": ending.native_raw}


class Ending(msgspec.Struct, frozen=True, gc=False):
    """How a choice ended, in our word and in the provider's; empty and null while it has not."""

    finish: str
    native: str
    finish_raw: Raw
    native_raw: Raw


def _ending(native: str) -> Ending:
    finish = FINISH.get(native.lower(), "stop")
    return Ending(finish, native, Raw(_encode(finish)), Raw(_encode(native)))


NO_ENDING = Ending("", "", NULL, NULL)
# The words that providers use, as they stand in an answer: no need to decode them.
_ENDINGS = {b"null": NO_ENDING} | {_encode(native): _ending(native) for native in FINISH}


def ending_of(choice: Fields) -> Ending:
    raw = choice.get("finish_reason")
    if raw is None:
        return NO_ENDING
    known = _ENDINGS.get(bytes(raw))
    if known is not None:
        return known
    native = text_of(raw)
    return _ending(native) if native else NO_ENDING


def usage_bytes(usage: Usage, cost: Cost | None, paid_for: int, byok: bool) -> bytes:
    """The `usage` object. `paid_for` is what is billed, and the fee. `cost` None is an endpoint without a price."""
    parts = cost or _NOTHING
    paid = _dollars(paid_for)
    return (
        b'{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d'
        b',"cost":%s,"is_byok":%s'
        b',"prompt_tokens_details":{"cached_tokens":%d,"cache_write_tokens":%d,"audio_tokens":%d%s}'
        b',"completion_tokens_details":{"reasoning_tokens":%d%s}'
        b',"cost_details":{"upstream_inference_cost":%s,"upstream_inference_prompt_cost":%s'
        b',"upstream_inference_completions_cost":%s}}'
    ) % (
        usage.prompt, usage.completion, usage.prompt + usage.completion,
        paid, b"true" if byok else b"false",
        usage.cached, usage.cache_write, usage.audio_prompt, _if_any(b"image", usage.image_prompt),
        usage.reasoning,
        _if_any(b"audio", usage.audio_completion) + _if_any(b"image", usage.image_completion),
        (paid if parts.total == paid_for else _dollars(parts.total)) if cost else b"null",
        _dollars(parts.prompt), _dollars(parts.completion),
    )  # fmt: skip


_NOTHING = Cost(0, 0, 0)


def _if_any(medium: bytes, tokens: int) -> bytes:
    return b',"%s_tokens":%d' % (medium, tokens) if tokens else b""


def _dollars(amount: int) -> bytes:
    """As a JSON number, exact: all nine decimals are written, which is cheaper than to see which are needed."""
    return b"%d.%09d" % divmod(amount, NANO) if amount else b"0"


def text_of(raw: Raw | None) -> str:
    """A JSON string; anything else counts as empty."""
    if raw is None:
        return ""
    try:
        return _text.decode(raw) or ""
    except UNREADABLE:
        return ""


_EMPTY = (b"null", b'""', b"[]", b"{}")
_message = msgspec.json.Decoder(Fields | None)


def _says_something(choice: Fields) -> bool:
    return says_something(choice.get("message"))


def says_something(message: Raw | None) -> bool:
    """Whether a message or a delta holds anything but its role: text, reasoning, a tool call, a refusal, audio."""
    if message is None:
        return False
    try:
        fields = _message.decode(message) or {}
    except UNREADABLE:
        return False
    return any(bytes(v) not in _EMPTY for k, v in fields.items() if k != "role")


def _within(count: int, most: int) -> int:
    return min(max(count, 0), most)
