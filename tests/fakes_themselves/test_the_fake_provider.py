"""The fake provider is what every other test believes, so it is held to account first."""

import asyncio
import json
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest
import uvloop
from fakes.provider import TLS, FakeProvider
from fakes.reply import AFTER_COMMIT, FAULTS, ODD_BUT_FINE, Reply, Script, ToolCall

MESSAGES: Any = [{"role": "user", "content": "hello there"}]
Story = Callable[[FakeProvider], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def loop(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop


def tell(story: Story, loop: Callable[[], asyncio.AbstractEventLoop], **given: Any) -> None:
    async def told() -> None:
        async with FakeProvider(**given) as provider:
            await story(provider)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(told())


async def raw(provider: FakeProvider, *, stream: bool, key: str = "sk-fake") -> tuple[bytes, Exception | None]:
    """Every byte of one answer, and what ended the connection when that was no clean close."""
    body = json.dumps({"model": "m", "messages": MESSAGES, "stream": stream}).encode()
    asked = b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b"
    # A plain socket in a thread: loops differ in what they tell of a reset.
    return await asyncio.to_thread(_exchange, provider.port, asked % (key.encode(), len(body), body))


def _exchange(port: int, asked: bytes) -> tuple[bytes, Exception | None]:
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=3) as sock:
        sock.sendall(asked)
        try:
            while not whole(got) and (part := sock.recv(65536)):
                got += part
        except ConnectionError as error:
            return got, error
    return got, None


def whole(got: bytes) -> bool:
    head, _, body = got.partition(b"\r\n\r\n")
    name, _, length = head.rpartition(b"content-length: ")
    return got.endswith(b"\r\n0\r\n\r\n") or (bool(name) and len(body) >= int(length.split(b"\r\n")[0]))


def events(got: bytes) -> list[Any]:
    lines = [
        line[6:]
        for line in got.replace(b"\r\n", b"\n").split(b"\n")
        if line[:7] == b"data: {" and line.endswith(b"}")
    ]
    return [json.loads(line) for line in lines]


def said(got: bytes) -> str:
    return "".join(e["choices"][0]["delta"].get("content") or "" for e in events(got) if e.get("choices"))


def test_the_official_client_reads_an_answer(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        provider.script.always = Reply(text="one two three", cached_tokens=2, prompt_tokens=9, reasoning="hm hm")
        async with openai.AsyncOpenAI(base_url=provider.url, api_key="sk-fake", max_retries=0) as client:
            answer = await client.chat.completions.create(model="m", messages=MESSAGES)
        assert answer.choices[0].message.content == "one two three"
        assert answer.choices[0].finish_reason == "stop"
        assert answer.usage is not None
        assert answer.usage.prompt_tokens_details is not None
        assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (9, 5)
        assert answer.usage.prompt_tokens_details.cached_tokens == 2
        (served,) = provider.served
        assert (served.prompt_tokens, served.cached_tokens, served.completion_tokens) == (9, 2, 5)
        assert (served.ended, served.usage_sent, served.key, served.reasoning_tokens) == ("complete", True, 0, 2)
        assert "authorization" in served.headers
        assert served.body["messages"] == MESSAGES

    tell(story, loop)


def test_the_official_client_reads_a_stream(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        provider.script.always = Reply(text="one two three", tool_calls=(ToolCall("look", '{"at":1}'),))
        async with openai.AsyncOpenAI(base_url=provider.url, api_key="sk-fake", max_retries=0) as client:
            stream = await client.chat.completions.create(
                model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            chunks = [chunk async for chunk in stream]
        deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
        assert "".join(delta.content or "" for delta in deltas) == "one two three"
        calls = [call for delta in deltas for call in delta.tool_calls or [] if call.function]
        assert "".join(call.function.arguments or "" for call in calls if call.function) == '{"at":1}'
        assert chunks[-2].choices[0].finish_reason == "tool_calls"
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.completion_tokens == 3
        assert provider.served[0].usage_sent

    tell(story, loop)


def test_a_wrong_key_is_refused(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        got, _ = await raw(provider, stream=False, key="sk-other")
        assert got.startswith(b"HTTP/1.1 401 ")
        assert (provider.served[0].key, provider.served[0].status) == (-1, 401)

    tell(story, loop)


@pytest.mark.parametrize("name", [n for n, r in FAULTS.items() if r.kind == "status"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_status_is_answered_with_an_error_body(name: str, stream: bool) -> None:
    async def story(provider: FakeProvider) -> None:
        got, _ = await raw(provider, stream=stream)
        head, _, body = got.partition(b"\r\n\r\n")
        assert int(head.split(b" ")[1]) == FAULTS[name].status == provider.served[0].status
        assert json.loads(body)["error"]["code"] == FAULTS[name].code
        assert (b"retry-after: 7" in head) == (name == "429_retry_after")
        assert provider.served[0].prompt_tokens == 0

    tell(story, asyncio.new_event_loop, always=FAULTS[name])


@pytest.mark.parametrize(
    ("name", "stream", "starts", "ends", "reset"),
    [
        ("reset_before_head", True, b"", b"", True),
        ("close_before_head", True, b"", b"", False),
        ("reset_after_head", True, b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", True),
        ("reset_after_head", False, b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n", True),
        ("error_in_200", True, b"HTTP/1.1 200 OK\r\n", b"}}", False),
        ("empty_200", True, b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n0\r\n\r\n", False),
        ("empty_200", False, b"HTTP/1.1 200 OK\r\n", b"content-length: 0\r\n\r\n", False),
        ("garbage", True, b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", False),
        ("cut_before_content", True, b"HTTP/1.1 200 OK\r\n", b'fff\r\ndata: {"id":', False),
        ("reset_before_content", True, b"HTTP/1.1 200 OK\r\n", b"\n\n\r\n", True),
        ("cut_mid_stream", True, b"HTTP/1.1 200 OK\r\n", b'fff\r\ndata: {"id":', False),
        ("reset_mid_stream", True, b"HTTP/1.1 200 OK\r\n", b"\n\n\r\n", True),
        ("early_end_mid_stream", True, b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", False),
        ("error_event_mid_stream", True, b"HTTP/1.1 200 OK\r\n", b"0\r\n\r\n", False),
        ("huge_head", False, b"HTTP/1.1 200 OK\r\n", b"}", False),
        ("short_body", False, b"HTTP/1.1 200 OK\r\n", b"", False),
    ],
)
def test_a_fault_is_what_it_is_called(
    loop: Any, name: str, stream: bool, starts: bytes, ends: bytes, reset: bool
) -> None:
    async def story(provider: FakeProvider) -> None:
        got, ended = await raw(provider, stream=stream)
        assert got.startswith(starts)
        assert got.endswith(ends)
        assert (ended is not None) == reset
        assert said(got) == ("Hello from" if name in AFTER_COMMIT else "")
        assert b"[DONE]" not in got
        await provider.until(lambda: provider.served[0].ended != "")
        assert provider.served[0].ended == "fault"
        assert provider.served[0].completion_tokens == (
            2 if name in AFTER_COMMIT else 5 * (not stream and name != "empty_200")
        )

    tell(story, loop, always=FAULTS[name])


def test_an_error_event_is_the_last_thing_in_a_stream() -> None:
    async def story(provider: FakeProvider) -> None:
        got, _ = await raw(provider, stream=True)
        assert events(got)[-1]["error"]["code"] == 502

    tell(story, asyncio.new_event_loop, always=FAULTS["error_event_mid_stream"])


def test_content_length_can_lie_both_ways() -> None:
    async def story(provider: FakeProvider) -> None:
        for name, sign in (("short_body", -1), ("long_body", 1)):
            provider.script.always = FAULTS[name]
            reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer sk-fake\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            assert (len(body) - int(head.split(b"content-length: ")[1].split(b"\r\n")[0])) * sign > 0
            writer.close()

    tell(story, asyncio.new_event_loop)


@pytest.mark.parametrize("name", ["hold_before_head", "hold_before_content", "idle_mid_stream"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_held_request_goes_on_when_released(loop: Any, name: str, stream: bool) -> None:
    async def story(provider: FakeProvider) -> None:
        answering = asyncio.create_task(raw(provider, stream=stream))
        await provider.until(lambda: provider.holding == 1)
        assert not answering.done()
        provider.release()
        got, ended = await answering
        assert ended is None
        assert b"Hello from the" in got or said(got) == "Hello from the fake provider."
        await provider.until(lambda: provider.served[0].ended == "complete")

    tell(story, loop, always=FAULTS[name])


def test_a_held_request_that_nobody_releases_is_reset() -> None:
    async def story(provider: FakeProvider) -> None:
        _, ended = await raw(provider, stream=True)
        assert ended is not None

    tell(story, asyncio.new_event_loop, always=Reply(kind="hold", hold_s=0.02))


def test_a_client_that_leaves_is_seen_with_what_it_had_cost(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with (
            aiohttp.ClientSession(timeout=timeout, headers={"authorization": "Bearer sk-fake"}) as session,
            session.post(f"{provider.url}/chat/completions", json={"stream": True}),
        ):
            await provider.until(lambda: provider.holding == 1)
        await provider.until(lambda: provider.served[0].ended == "client_gone")
        assert provider.served[0].completion_tokens == 2

    tell(story, loop, always=FAULTS["idle_mid_stream"])


@pytest.mark.parametrize("name", ODD_BUT_FINE)
def test_an_odd_stream_is_still_a_whole_one(loop: Any, name: str) -> None:
    async def story(provider: FakeProvider) -> None:
        timeout = aiohttp.ClientTimeout(total=5)
        async with aiohttp.ClientSession(timeout=timeout, headers={"authorization": "Bearer sk-fake"}) as session:
            for _ in range(2):
                body = {"model": "m", "messages": MESSAGES, "stream": True}
                async with session.post(f"{provider.url}/chat/completions", json=body) as answer:
                    got = await answer.read()
                assert said(got) == "Hello from the fake provider."
                assert (b"[DONE]" in got) == (name != "no_done")
        await provider.until(lambda: [served.ended for served in provider.served] == ["complete", "complete"])

    tell(story, loop, always=ODD_BUT_FINE[name])


def test_a_pooled_connection_can_turn_out_to_be_stale(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", provider.port)
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer sk-fake\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close" not in head
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        assert provider.connections == 1
        assert not writer.is_closing()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer sk-fake\r\n\r\n")
        assert await reader.read() == b""
        assert len(provider.served) == 1
        writer.close()

    tell(story, loop, always=Reply(keep_alive="stale"))


def test_a_closed_port_refuses_and_opens_again(loop: Any) -> None:
    async def story(provider: FakeProvider) -> None:
        await provider.refuse()
        with pytest.raises(ConnectionRefusedError):
            await raw(provider, stream=False)
        await provider.accept()
        got, _ = await raw(provider, stream=False)
        assert got.startswith(b"HTTP/1.1 200 ")

    tell(story, loop)


@pytest.mark.parametrize(
    ("tls", "trusting", "raises"),
    [
        ("good", True, None),
        ("untrusted", False, ssl.SSLCertVerificationError),
        ("wrong_host", True, ssl.SSLCertVerificationError),
        ("plain_on_https", True, ssl.SSLError),
    ],
)
def test_tls_fails_as_it_is_told_to(tls: TLS, trusting: bool, raises: type[Exception] | None) -> None:
    async def story(provider: FakeProvider) -> None:
        context = provider.client_tls() if trusting else ssl.create_default_context()
        connecting = asyncio.open_connection("127.0.0.1", provider.port, ssl=context)
        if raises:
            with pytest.raises(raises):
                await connecting
            return
        _, writer = await connecting
        writer.close()
        await writer.wait_closed()

    tell(story, asyncio.new_event_loop, tls=tls)


def test_a_script_runs_in_order_then_by_model_then_for_ever() -> None:
    script = Script(then=[Reply(text="first")], models={"m": Reply(text="for m")}, always=Reply(text="else"))
    assert [script.next(name).text for name in ("x", "m", "x")] == ["first", "for m", "else"]
