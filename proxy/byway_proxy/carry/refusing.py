"""From what an attempt met to the fact that failover decides by."""

from byway_proxy.carry import refusal
from byway_proxy.carry.dialects.openai_answer import BadAnswer, ProviderError, cut, read_error
from byway_proxy.carry.failover import Refused
from byway_proxy.carry.upstream.failures import Failure
from byway_proxy.carry.upstream.failures import Kind as FailureKind
from byway_proxy.choose.trouble import Kind

Headers = list[tuple[bytes, bytes]]

# What our client met, as health and failover call it.
_KINDS: dict[FailureKind, Kind] = {
    "dns": "connect",
    "refused": "connect",
    "tls": "connect",
    "connect_timeout": "connect",
    "forbidden": "off_limits",
    "proxy": "connect",
    "reset": "reset",
    "eof": "reset",
    "cut": "cut",
    "malformed": "bad_answer",
    "too_large": "bad_answer",
}


_UNREACHED: tuple[Kind, ...] = ("connect", "off_limits")


def by_failure(failure: Failure) -> Refused:
    kind = _KINDS[failure.kind]
    return Refused(kind, sent=failure.sent, why=str(failure) if kind in _UNREACHED else "")


def by_error(status: int, error: ProviderError | None, headers: Headers, wall: float) -> Refused:
    """A provider's error, by its status or inside a 200. `wall`: now, in seconds since 1970."""
    named = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    error = error or ProviderError()
    trouble = refusal.classify(
        error.status if status == 200 and error.status else status,
        error.code,
        error.type,
        error.message,
        named,
        wall,
    )
    return Refused(trouble.kind, trouble.status, trouble.retry_after_s)


def error_in(body: bytes) -> ProviderError | None:
    """The error object of a body, if it is JSON and has one; FastAPI's servers say `detail` or `message`."""
    try:
        fields = cut(body)
    except BadAnswer:
        return None
    for name in ("error", "detail", "message"):
        if name in fields:
            return read_error(fields[name])
    return None
