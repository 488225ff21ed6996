"""Providers that repeat what they were sent: our credential goes to them and comes back to nobody."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from builders.gateway import gateway, one_route
from canary import KEY, in_bytes
from fakes.provider import FakeProvider
from fakes.reply import Reply, status

QUOTES = {
    "400": status(400, message="no such thing for {key}"),
    "422": status(422, message="Bearer {key} may not", code="key_{key}", type="{key}"),
    "context": status(400, code="context_length_exceeded", message="{key}" * 3),
    "a long one": status(400, message="x" * 480 + "{key}"),
    "many": status(400, message="{key} " * 60),
    "401": status(401, message="Incorrect API key provided: {key}"),
    "402": status(402, message="{key}"),
    "429": status(429, message="{key} is busy", retry_after="1"),
    "500": status(500, message="{key}"),
    "inside a 200": Reply(kind="error_in_200", code=400, message="{key}"),
    "an event": Reply(kind="error_event", code=400, message="{key}"),
    "a late event": Reply(kind="error_event", code=502, message="{key}", after=2),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("quote", QUOTES)
def test_a_credential_that_a_provider_quotes_reaches_nobody(tmp_path: Path, quote: str, stream: bool) -> None:
    async def tell() -> None:
        async with FakeProvider(always=QUOTES[quote]) as a, gateway(tmp_path, one_route(a)) as proxy:
            answer = await proxy.ask(stream=stream, max_tokens=10)
            assert a.served[0].key == 1, "it was sent the credential"
            assert not in_bytes(answer.body + str(answer.headers).encode())
            # Nor the first half of it, where a message is too long to be repeated whole.
            assert KEY[:12].encode() not in answer.body
            if quote == "400":
                assert "no such thing for ***" in answer.json["error"]["message"]
            proxy.records.sync()

    asyncio.run(tell())
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and in_bytes(path.read_bytes())]


def test_nothing_a_client_says_of_itself_reaches_a_provider(tmp_path: Path) -> None:
    mine: dict[str, str] = {
        "Authorization": "Bearer clients-own", "Cookie": "a=clients-own", "X-Api-Key": "clients-own",
        "Proxy-Authorization": "Basic clients-own", "X-Forwarded-For": "10.0.0.1", "Forwarded": "for=10.0.0.1",
        "HTTP-Referer": "https://clients-own.example", "X-Title": "clients-own", "TE": "trailers",
        "OpenAI-Organization": "clients-own", "Accept-Language": "clients-own",
    }  # fmt: skip

    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, one_route(a)) as proxy:
            seen: list[Any] = []
            a.choose = lambda request: seen.append(request.headers)
            assert (await proxy.ask(headers=mine)).status == 200
            assert seen[0].keys() == {
                "host", "user-agent", "accept", "accept-encoding", "content-type", "content-length",
                "authorization",
            }  # fmt: skip
            assert seen[0]["authorization"] == f"Bearer {KEY}"
            assert "clients-own" not in str(seen)

    asyncio.run(tell())
