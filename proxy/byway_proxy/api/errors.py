"""Errors as our callers read them: OpenRouter's JSON, with the fields that OpenAI's clients look for.

`code` is the HTTP status, as an integer: a string there makes OpenRouter's own client raise something else.
Deterministic failures are 4xx, because clients try a 5xx again for up to an hour; a 429 or 503 of ours always says
when to come back.
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode

# OpenAI's `type` by status; what is not listed is the caller's (4xx) or ours (5xx).
_TYPES = {
    401: "authentication_error",
    402: "insufficient_quota",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
# OpenRouter's `error_type` by status.
_ERROR_TYPES = {
    400: "invalid_request", 401: "authentication", 402: "payment_required", 403: "permission_denied",
    404: "not_found", 408: "timeout", 413: "payload_too_large", 422: "unprocessable", 429: "rate_limit_exceeded",
    500: "server", 502: "provider_unavailable", 503: "provider_overloaded", 504: "timeout",
}  # fmt: skip


@dataclass(eq=False)
class ApiError(Exception):
    """What a caller is told instead of an answer. The message names the thing, what is wrong, and the way out."""

    status: int
    message: str
    error_type: str = ""
    param: str | None = None
    retry_after_s: float | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    availability: dict[str, Any] | None = None
    should_retry: bool | None = None
    """False tells OpenAI's clients not to try again by themselves."""
    more_headers: bytes = b""

    def body(self) -> bytes:
        return _encode({"error": self.as_object()})

    def as_object(self) -> dict[str, Any]:
        error_type = self.error_type or _ERROR_TYPES.get(self.status, "unmapped")
        error: dict[str, Any] = {
            "code": self.status,
            "message": self.message,
            "type": _TYPES.get(self.status, "invalid_request_error" if self.status < 500 else "api_error"),
            "param": self.param,
            "metadata": {"error_type": error_type, **self.metadata},
        }
        if self.availability is not None:
            error["availability"] = self.availability
        return error

    def headers(self) -> bytes:
        """Header lines beside those that every answer has."""
        lines = self.more_headers
        if self.retry_after_s is not None:
            lines += b"Retry-After: %d\r\n" % max(1, round(self.retry_after_s + 0.499))
        if self.should_retry is not None:
            lines += b"x-should-retry: %s\r\n" % (b"true" if self.should_retry else b"false")
        return lines
