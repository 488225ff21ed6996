"""The bytes a provider of OpenAI's kind would send for a `Reply`. Pure: sending and misbehaving is `provider`'s."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from fakes.reply import Reply

PHRASES = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 429: "Too Many Requests"}


@dataclass(frozen=True)
class Asked:
    """What of a chat request decides the answer."""

    model: str
    stream: bool
    include_usage: bool
    max_tokens: int | None
    prompt_tokens: int

    @classmethod
    def read(cls, body: dict[str, Any]) -> "Asked":
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        said = json.dumps(body.get("messages", []))
        return cls(
            model=str(body.get("model", "")),
            stream=body.get("stream") is True,
            include_usage=bool((body.get("stream_options") or {}).get("include_usage")),
            max_tokens=limit if isinstance(limit, int) else None,
            prompt_tokens=max(1, len(said) // 4),
        )


@dataclass(frozen=True)
class Event:
    data: str
    tokens: int = 0
    """Output tokens in it; a piece of content has one."""
    reasoning: bool = False
    usage: bool = False


def words(text: str) -> list[str]:
    """The pieces a text is streamed in; joined they are the text again."""
    parts = text.split(" ") if text else []
    return [part if number == 0 else f" {part}" for number, part in enumerate(parts)]


@dataclass(frozen=True)
class Said:
    """The answer after `max_tokens` has had its say."""

    reasoning: list[str]
    content: list[str]
    finish: str

    @property
    def tokens(self) -> int:
        return len(self.reasoning) + len(self.content)


def said(reply: Reply, asked: Asked) -> Said:
    reasoning, content = words(reply.reasoning), words(reply.text)
    limit = asked.max_tokens
    if limit is not None and len(reasoning) + len(content) > limit:
        reasoning = reasoning[:limit]
        return Said(reasoning, content[: limit - len(reasoning)], "length")
    if reply.tool_calls and reply.finish == "stop":
        return Said(reasoning, content, "tool_calls")
    return Said(reasoning, content, reply.finish)


def prompt_tokens(reply: Reply, asked: Asked) -> int:
    return asked.prompt_tokens if reply.prompt_tokens < 0 else reply.prompt_tokens


def usage(reply: Reply, asked: Asked, output: int, reasoning: int) -> dict[str, Any]:
    prompt = prompt_tokens(reply, asked)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": output,
        "total_tokens": prompt + output,
        "prompt_tokens_details": {"cached_tokens": reply.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": 0},
    }


def completion(reply: Reply, asked: Asked, number: int) -> bytes:
    """The body of an answer that is not streamed."""
    answer = said(reply, asked)
    message: dict[str, Any] = {"role": "assistant", "content": "".join(answer.content) or None, "refusal": None}
    if answer.reasoning:
        message[reply.reasoning_field] = "".join(answer.reasoning)
    if reply.tool_calls:
        message["tool_calls"] = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": c.arguments}}
            for c in reply.tool_calls
        ]
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": None, "finish_reason": answer.finish}
    if reply.native_finish:
        choice["native_finish_reason"] = reply.native_finish
    body = _envelope(reply, asked, number, "chat.completion") | {"choices": [choice]}
    if reply.usage != "never":
        body["usage"] = usage(reply, asked, answer.tokens, len(answer.reasoning))
    return json.dumps(body).encode()


def events(reply: Reply, asked: Asked, number: int) -> Iterator[Event]:
    """The events of a stream, [DONE] apart."""
    answer = said(reply, asked)
    sent = thought = 0

    def chunk(delta: dict[str, Any], finish: str | None = None, tokens: int = 0, reasoning: bool = False) -> Event:
        nonlocal sent, thought
        sent += tokens
        thought += reasoning
        choice: dict[str, Any] = {"index": 0, "delta": delta, "logprobs": None}
        if finish is not None or reply.null_finish:
            choice["finish_reason"] = finish
        if finish is not None and reply.native_finish:
            choice["native_finish_reason"] = reply.native_finish
        body = _envelope(reply, asked, number, "chat.completion.chunk") | {"choices": [choice]}
        counted = reply.usage == "every_chunk" or (finish is not None and reply.usage == "last_chunk")
        if counted:
            body["usage"] = usage(reply, asked, sent, thought)
        elif asked.include_usage and reply.usage == "asked":
            body["usage"] = None
        return Event(json.dumps(body), tokens, reasoning, counted)

    if reply.role_chunk:
        yield chunk({"role": "assistant", "content": "", "refusal": None})
    for piece in answer.reasoning:
        yield chunk({reply.reasoning_field: piece}, tokens=1, reasoning=True)
    for piece in answer.content:
        yield chunk({"content": piece}, tokens=1)
    for index, call in enumerate(reply.tool_calls):
        head = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield chunk({"tool_calls": [head]})
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": call.arguments}}]})
    yield chunk({}, finish=answer.finish)
    if reply.usage == "always" or (reply.usage == "asked" and asked.include_usage):
        body = _envelope(reply, asked, number, "chat.completion.chunk") | {"choices": []}
        yield Event(json.dumps(body | {"usage": usage(reply, asked, sent, thought)}), usage=True)


def error(reply: Reply) -> dict[str, Any]:
    return {"error": {"message": reply.message, "type": reply.type or None, "param": None, "code": reply.code}}


def head(code: int, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {code} {PHRASES.get(code, 'Told To')}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def sse(data: str, crlf: bool = False) -> bytes:
    return f"data: {data}\r\n\r\n".encode() if crlf else f"data: {data}\n\n".encode()


def http_chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _envelope(reply: Reply, asked: Asked, number: int, kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": f"chatcmpl-fake{number}",
        "object": kind,
        "created": 1_780_000_000,
        "model": reply.answers_as or asked.model,
        "service_tier": "default",
    }
    if reply.fingerprint:
        body["system_fingerprint"] = "fp_fake"
    return body | reply.extra
