"""The ground truth of one request to the fake provider."""

from typing import Any

import msgspec


class Served(msgspec.Struct):
    number: int
    connection: int
    method: str
    path: str
    headers: list[str]
    """Names only, lower case."""
    key: int
    """Which of the accepted keys it came with; -1: none of them."""
    body: dict[str, Any]
    model: str
    stream: bool
    kind: str = ""
    """What it was answered with (`Reply.kind`)."""
    status: int = 0
    """0: no head was sent."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """What a provider would bill: the prompt once a head with 200 was sent, and the tokens handed to the socket."""
    usage_sent: bool = False
    """Whether the client was told those figures, whole."""
    ended: str = ""
    """complete, fault, or client_gone; empty or held while it runs."""
