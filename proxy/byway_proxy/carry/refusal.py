"""What a provider's error answer means, by its status, its code and type, a little of its message, its headers.

Providers disagree about statuses (a key without credit is a 402, a 429 or a 400; a wrong key a 401 or a 400), so
words go before numbers where they are certain. The message is looked at for a few fixed phrases and never kept.

A caller must not be able to take an endpoint away from others by what it sends: where a status could be the
request's fault or the account's (403 and 404 are both), the request's signs are looked for first.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from byway_proxy.choose.trouble import Kind, Trouble

CONTEXT_CODES = ("context_length_exceeded", "context_window_exceeded", "max_context_length", "request_too_long")
CONTEXT_PHRASES = (
    "maximum context length",
    "context length",
    "context window",
    "context size",
    "prompt is too long",
    "input is too long",
    "input length and `max_tokens` exceed",
    "input token count",
    "too many tokens",
)
CONTENT_CODES = (
    "content_filter",
    "content_policy_violation",
    "responsibleaipolicyviolation",
    "moderation_blocked",
    "content_blocked",
    "prompt_blocked",
    "safety",
)
CONTENT_PHRASES = ("content management policy", "content policy", "flagged as", "was flagged", "usage policies")
EMPTY_CODES = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance")
EMPTY_PHRASES = ("your credit balance is too low", "insufficient balance")
KEY_CODES = ("invalid_api_key", "api_key_invalid", "authentication_error", "incorrect_api_key")
KEY_PHRASES = ("api key not valid", "incorrect api key", "invalid api key")
THROTTLE_CODES = (
    "rate_limit_exceeded",
    "rate_limit_error",
    "too_many_requests",
    "resource_exhausted",
    "throttling",
)
OVERLOAD_CODES = ("overloaded_error", "engine_overloaded", "overloaded", "server_overloaded", "unavailable")
# A 404 for something the request itself names.
REQUESTS_OWN = ("previous_response", "file", "image", "item", "conversation", "url", "video", "audio")

TIMEOUTS, OVERLOADS = (408, 504, 524), (503, 529)

# A header that names seconds may hold a moment instead: anything above is taken as seconds since 1970.
A_MOMENT = 1_000_000_000
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?")
# The one form that HTTP allows to be sent; the parser of mail dates would take stranger ones.
_DATE = re.compile(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2} GMT")
_SPAN = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)")
_UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def classify(
    status: int,
    code: object = None,
    error_type: object = None,
    message_hint: str = "",
    headers: Mapping[str, str] | None = None,
    wall: float = 0.0,
) -> Trouble:
    """`headers` by lower-case name; `wall` is now, in seconds since 1970. Status 200: an error inside a 200."""
    words = {str(word).lower() for word in (code, error_type) if word is not None}
    kind = _kind(status, words, message_hint[:2000].lower())
    return Trouble(kind, status, retry_after_s(headers, wall) if headers else None)


def retry_after_s(headers: Mapping[str, str], wall: float) -> float | None:
    """How long the provider asks to wait, seconds from now; None where it does not say. Nonsense is not said."""
    exact = _number(headers.get("retry-after-ms"))
    if exact is not None:
        return max(0.0, exact / 1000)
    told = headers.get("retry-after")
    wait = _wait(told, wall) if told is not None else None
    return wait if wait is not None else _reset(headers, wall)


def _kind(status: int, words: set[str], hint: str) -> Kind:
    if status < 500:
        kind = _of_request(status, words, hint) or _of_credential(status, words, hint)
        if kind is not None:
            return kind
    if status == 429 or (status < 400 and words.intersection(THROTTLE_CODES)):
        return "rate_limited"
    if status in OVERLOADS or words.intersection(OVERLOAD_CODES):
        return "overloaded"
    return _by_status(status, words, hint)


def _of_request(status: int, words: set[str], hint: str) -> Kind | None:
    if words.intersection(CONTEXT_CODES) or (status in (400, 413, 422) and _has(hint, CONTEXT_PHRASES)):
        return "context_length"
    if words.intersection(CONTENT_CODES) or (status in (400, 403) and _has(hint, CONTENT_PHRASES)):
        return "content_filter"
    return None


def _of_credential(status: int, words: set[str], hint: str) -> Kind | None:
    """Phrases count only where the message begins with them: further on it may quote the request."""
    if status == 402 or words.intersection(EMPTY_CODES) or hint.startswith(EMPTY_PHRASES):
        return "payment_required"
    if status == 401 or words.intersection(KEY_CODES) or hint.startswith(KEY_PHRASES):
        return "unauthorized"
    return None


def _by_status(status: int, words: set[str], hint: str) -> Kind:
    if status < 400:
        return "bad_answer"  # An error inside a 200; and redirects are not followed.
    if status in TIMEOUTS:
        return "timeout"
    if status >= 500 or status in (409, 425):
        return "server_error"
    if status == 403:
        return "forbidden"
    if status in (404, 410):
        own = _has(" ".join(sorted(words)) + " " + hint, REQUESTS_OWN)
        return "bad_request" if own and "model" not in hint else "model_missing"
    return "too_large" if status == 413 else "unprocessable" if status == 422 else "bad_request"


def _has(hint: str, phrases: tuple[str, ...]) -> bool:
    return bool(hint) and any(phrase in hint for phrase in phrases)


def _wait(told: str, wall: float) -> float | None:
    number = _number(told)
    if number is not None:
        return max(0.0, number - wall if number > A_MOMENT else number)
    return _until(told, wall) if _DATE.fullmatch(told) else _span(told)


def _until(date: str, wall: float) -> float | None:
    try:
        return max(0.0, parsedate_to_datetime(date).timestamp() - wall)
    except (ValueError, OverflowError):
        return None  # It looks like a date and is none, as the 31st of June.


def _reset(headers: Mapping[str, str], wall: float) -> float | None:
    """`x-ratelimit-reset…`: of the limits used up, the one that opens last; else the one that opens first."""
    used_up: list[float] = []
    others: list[float] = []
    for what in ("", "-requests", "-tokens"):
        told = headers.get(f"x-ratelimit-reset{what}")
        wait = _wait(told, wall) if told is not None else None
        if wait is not None:
            empty = _number(headers.get(f"x-ratelimit-remaining{what}")) == 0
            (used_up if empty else others).append(wait)
    return max(used_up) if used_up else min(others, default=None)


def _span(told: str) -> float | None:
    """`6m0s`, `20ms`."""
    parts = _SPAN.findall(told)
    if not parts or "".join(n + u for n, u in parts) != told.strip():
        return None
    return sum(float(number) * _UNIT_S[unit] for number, unit in parts)


def _number(told: str | None) -> float | None:
    return float(told) if told is not None and _NUMBER.fullmatch(told.strip(" ")) else None
