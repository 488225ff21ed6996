"""What the fake provider is told to do with one request: a value, so that a script is a list of them.

A `Reply` is plain JSON too (`msgspec.json.decode(text, type=Reply)`), so that a test of whole processes
scripts the fake from a file and a test of one room scripts it in Python, in the same words.
`FAULTS` names every misbehaviour we know; `BEFORE_COMMIT` are those after which another candidate may still
answer the same request.
"""

from typing import Any, Literal

import msgspec

Kind = Literal[
    "ok",
    "status",  # an error status with OpenAI's error body
    "reset_before_head",
    "close_before_head",
    "hold_before_head",
    "reset_after_head",
    "error_in_200",  # status 200, the body an error
    "empty_200",
    "garbage",  # status 200, the body nothing a parser knows
    "hold",  # after `after` pieces of content, silence until released
    "cut",  # … the connection closes in the middle of the framing
    "reset",  # … or with an RST
    "early_end",  # … or the stream ends cleanly, with neither finish reason nor [DONE]
    "error_event",  # … or an error event, and nothing after it
    "huge_head",
    "short_body",  # the body is shorter than content-length says
    "long_body",  # or longer
]


class ToolCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    arguments: str = "{}"
    id: str = "call_fake"


class Reply(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One answer. A token is a word of `text` or `reasoning`, and one chunk when streamed."""

    kind: Kind = "ok"

    # What is said.
    text: str = "Hello from the fake provider."
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"
    tool_calls: tuple[ToolCall, ...] = ()
    answers_as: str = ""
    """The model named in the answer; empty: the one asked for."""
    finish: str = "stop"
    native_finish: str = ""
    """Sent as `native_finish_reason` beside the finish reason, as some providers do."""

    # What it costs.
    prompt_tokens: int = -1
    """-1: counted from the messages, a token for every four characters."""
    cached_tokens: int = 0
    usage: Literal["asked", "always", "never", "last_chunk", "every_chunk"] = "asked"
    """When usage is sent. An answer that is not streamed has it unless `never`."""

    # How it is written.
    fingerprint: bool = True
    null_finish: bool = True
    """Whether chunks before the last carry `"finish_reason": null`."""
    role_chunk: bool = True
    done: bool = True
    comments: int = 0
    """Comment lines (`: PROCESSING`) before the first event."""
    crlf: bool = False
    framing: Literal["chunked", "close"] = "chunked"
    """Of streams: chunked, or the body ends when the connection does."""
    per_write: int = 1
    """Events that go out in one write."""
    split_bytes: int = 0
    """Write the body in pieces of so many bytes; 0: as it comes."""
    head_after_s: float = 0.0
    gap_s: float = 0.0
    """Between two writes."""
    keep_alive: Literal["keep", "close", "silent_close", "stale"] = "keep"
    """`silent_close` closes after the answer without having said so; `stale` when the next request arrives."""
    headers: dict[str, str] = {}
    extra: dict[str, Any] = {}
    """Further top-level fields of the answer and of every chunk."""

    # What goes wrong.
    after: int = 0
    """Pieces of content before the fault."""
    status: int = 500
    code: str | int | None = None
    type: str = ""
    message: str = "the fake provider was told to fail"
    """In it and in the two before it, `{key}` is the credential that was sent: some providers quote it back."""
    retry_after: str = ""
    hold_s: float = 30.0
    """A held request that nobody releases is reset after so long, so that nothing hangs for ever."""
    head_bytes: int = 300_000


def status(status: int, **more: Any) -> Reply:
    return Reply(kind="status", status=status, **more)


BEFORE_COMMIT: dict[str, Reply] = {
    # The other two, a closed port and TLS, are the listener's: `FakeProvider(tls=…)` and `refuse()`.
    "reset_before_head": Reply(kind="reset_before_head"),
    "reset_after_head": Reply(kind="reset_after_head"),
    "408": status(408),
    "429": status(429, code="rate_limit_exceeded", type="requests"),
    "429_retry_after": status(429, code="rate_limit_exceeded", type="requests", retry_after="7"),
    "500": status(500, type="server_error"),
    "502": status(502),
    "503": status(503, type="server_error"),
    "529": status(529, type="overloaded_error"),
    "error_in_200": Reply(kind="error_in_200"),
    "empty_200": Reply(kind="empty_200"),
    "garbage": Reply(kind="garbage"),
    "hold_before_content": Reply(kind="hold"),
    "cut_before_content": Reply(kind="cut"),
    # Beyond T8's sixteen.
    "close_before_head": Reply(kind="close_before_head"),
    "hold_before_head": Reply(kind="hold_before_head"),
    "reset_before_content": Reply(kind="reset"),
    "error_event_before_content": Reply(kind="error_event", code=502),
    "early_end_before_content": Reply(kind="early_end"),
    "huge_head": Reply(kind="huge_head"),
    "insufficient_quota": status(429, code="insufficient_quota", type="insufficient_quota"),
    "401": status(401, code="invalid_api_key", type="invalid_request_error"),
    "402": status(402, code="insufficient_credits"),
    "403": status(403, code="forbidden"),
    "404": status(404, code="model_not_found", type="invalid_request_error"),
}
AFTER_COMMIT: dict[str, Reply] = {
    "cut_mid_stream": Reply(kind="cut", after=2),
    "reset_mid_stream": Reply(kind="reset", after=2),
    "idle_mid_stream": Reply(kind="hold", after=2),
    "early_end_mid_stream": Reply(kind="early_end", after=2),
    "error_event_mid_stream": Reply(kind="error_event", after=2, code=502),
}
CLIENTS_FAULT: dict[str, Reply] = {
    "400": status(400, code="invalid_value", type="invalid_request_error"),
    "context_length": status(400, code="context_length_exceeded", type="invalid_request_error"),
    "422": status(422, type="invalid_request_error"),
}
ODD_BUT_FINE: dict[str, Reply] = {
    "slow_drip": Reply(split_bytes=53, gap_s=0.0005),
    "one_write": Reply(per_write=1_000),
    "until_close": Reply(framing="close"),
    "crlf": Reply(crlf=True, comments=2),
    "no_done": Reply(done=False),
    "bare": Reply(fingerprint=False, null_finish=False, role_chunk=False, usage="never"),
}
BODY_LENGTH: dict[str, Reply] = {  # of answers that are not streamed
    "short_body": Reply(kind="short_body"),
    "long_body": Reply(kind="long_body"),
}
FAULTS: dict[str, Reply] = BEFORE_COMMIT | AFTER_COMMIT | CLIENTS_FAULT | BODY_LENGTH


class Script(msgspec.Struct, forbid_unknown_fields=True):
    """What comes next: `then` in order, once each; after them the model's own reply, else `always`."""

    then: list[Reply] = []
    models: dict[str, Reply] = {}
    always: Reply = Reply()

    def next(self, model: str) -> Reply:
        if self.then:
            return self.then.pop(0)
        return self.models.get(model, self.always)
