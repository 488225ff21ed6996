"""A streamed answer in OpenAI's dialect, event by event.

Most chunks of a stream differ in their choices alone. After the first one with content is read in full, what stands
before and behind the choices is known, and a chunk that has the same around them gets ours put in its place
without being parsed; any other is read in full again.
"""

import msgspec
from byway_contract.money import Usage
from msgspec import Raw

from byway_proxy.carry.dialects.openai_answer import (
    NO_ENDING,
    BadAnswer,
    Fields,
    Identity,
    ProviderError,
    cut,
    ending_of,
    promised,
    read_choices,
    read_error,
    read_usage,
    says_something,
    text_of,
)
from byway_proxy.carry.sse import EventTooLarge, Splitter, data_of

_encode = msgspec.json.Encoder().encode
_NO_FINISH = b'"finish_reason":null'
_FINISH = b'"finish_reason":"'
_CHUNK = b"chat.completion.chunk"
_DROPPED = frozenset({"id", "object", "created", "model", "provider", "choices", "usage", "error"})


class Stream:
    """What a stream has said so far, and its events made ours.

    `feed` may be called until `done`; whoever calls it looks at `content` (has anything been said?), `finish`,
    `usage` and `error` in between.
    """

    __slots__ = (
        "_around", "_foot", "_head", "_identity", "_print", "_splitter", "chunks", "content", "done", "error",
        "finish", "native_finish", "upstream_id", "usage",
    )  # fmt: skip

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._splitter = Splitter()
        self._head = b"data: " + identity.head(_CHUNK)
        self._foot = b""
        self._around = (b"", b"", 0, 0)
        """What stands before and behind the choices, and where they are; nothing, while it is not known."""
        self._print = b""
        self.content = False
        self.chunks = 0
        """Chunks that said something: about as many as tokens, for when the provider does not count."""
        self.finish = ""
        self.native_finish = ""
        self.upstream_id = ""
        self.usage: Usage | None = None
        self.error: ProviderError | None = None
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        """The events in `data` as ours, each with its blank line. Raises BadAnswer."""
        try:
            events = self._splitter.feed(data)
        except EventTooLarge as error:
            raise BadAnswer("the provider sent an event without an end") from error
        out: list[bytes] = []
        before, behind, start, stop = self._around
        for event in events:
            if start and event.startswith(before) and event.endswith(behind):
                choices = event[start:stop]
                if choices.endswith(b"}]") and _NO_FINISH in choices and _FINISH not in choices:
                    self.chunks += 1
                    out.append(self._head + choices + self._foot)
                    continue
            self._read(event, out)
            before, behind, start, stop = self._around
        return out

    def end(self) -> list[bytes]:
        """The provider has closed the stream: what is left of it. Raises BadAnswer."""
        out: list[bytes] = []
        rest = self._splitter.end()
        if rest:
            self._read(rest, out)
        return out

    def usage_event(self, usage: bytes) -> bytes:
        """The one chunk with `usage`, and no choices."""
        return self._opening() + b',"choices":[],"usage":' + usage + b"}\n\n"

    def error_event(self, code: int, error_type: str, message: str) -> bytes:
        """The last chunk of an answer that broke: whole, since clients raise on a bare error."""
        error = _encode({"code": code, "message": message, "metadata": {"error_type": error_type}})
        choice = b'{"index":0,"delta":{"content":""},"finish_reason":"error","native_finish_reason":null}'
        return self._opening() + b',"error":' + error + b',"choices":[' + choice + b"]}\n\n"

    def shortened(self, native: str) -> bytes:
        """The last chunk of an answer that we end before its provider does."""
        self.finish, self.native_finish = "length", native
        choice = b'{"index":0,"delta":{},"finish_reason":"length","native_finish_reason":%s}' % _encode(native)
        return self._opening() + b',"choices":[' + choice + b"]}\n\n"

    def extra_event(self, field: bytes) -> bytes:
        """A chunk without choices, for what our API adds beside the answer."""
        return self._opening() + b',"choices":[],' + field + b"}\n\n"

    def _read(self, event: bytes, out: list[bytes]) -> None:
        data = data_of(event)
        if data is None or self.done:
            return  # a comment keeps the provider's connection alive, not our client's
        if data == b"[DONE]":
            self.done = True
            return
        fields = cut(data)
        if "error" in fields:
            self.error = read_error(fields["error"])
            if self.error is not None:
                self.done = True
                return
        if "usage" in fields:
            self.usage = read_usage(fields["usage"]) or self.usage
        choices = read_choices(fields.get("choices"))
        if choices:
            out.append(self._chunk(event, fields, choices))

    def _chunk(self, event: bytes, fields: Fields, choices: list[Fields]) -> bytes:
        if not self.upstream_id:
            self.upstream_id = text_of(fields.get("id"))[:256]
            self._print = b"" if "system_fingerprint" in fields else b',"system_fingerprint":null'
        says = any(says_something(c.get("delta")) for c in choices)
        self.chunks += says
        self.content = self.content or says
        ending = next((e for e in map(ending_of, choices) if e.native), NO_ENDING)
        if ending.native:
            self.native_finish, self.finish = ending.native, ending.finish
        others = {name: value for name, value in fields.items() if name not in _DROPPED}
        rest = b"," + _encode(others)[1:-1] if others else b""
        if says and not ending.native:
            self._learn(event, fields["choices"], rest)
        return self._opening() + b',"choices":' + _encode([promised(c) for c in choices]) + rest + b"}\n\n"

    def _opening(self) -> bytes:
        return b"data: " + self._identity.head(_CHUNK) + self._print

    def _learn(self, event: bytes, choices: Raw, rest: bytes) -> None:
        if b"\n" in event:
            return
        raw = bytes(choices)
        before, found, behind = event.partition(raw)
        if found and behind and _NO_FINISH in raw:
            self._around = (before, behind, len(before), -len(behind))
            self._head = self._opening() + b',"choices":'
            self._foot = rest + b"}\n\n"
