"""Bodies that no honest client sends: too deep, too large, packed too tight, or not what they say they are."""

import asyncio
import gzip
import json
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from builders.gateway import Answer, Gateway, gateway, one_route
from builders.raw import run_as_served, talk
from byway_proxy.api.server import Limits
from fakes.provider import FakeProvider
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

MIB = 1024 * 1024
JSON = {"Content-Type": "application/json"}
FINE = b'"model":"smart","messages":[{"role":"user","content":"hi"}]'
Story = Callable[[Gateway, FakeProvider], Awaitable[None]]


def told(story: Story, folder: Path, **how: Any) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(folder, one_route(a), **how) as proxy:
            await story(proxy, a)

    run_as_served(tell())


async def chat(proxy: Gateway, body: bytes, **headers: str) -> Answer:
    return await proxy.post("/v1/chat/completions", data=pieces(body), headers=JSON | headers)


async def pieces(body: bytes) -> Any:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


def deep(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * levels + closing * levels


# Name: (the body, its status). A provider gets what we do not judge, so 200 says only that we did not stumble.
BODIES: dict[str, tuple[bytes, int]] = {
    "nothing": (b"", 400),
    "null": (b"null", 400),
    "an array": (b"[]", 400),
    "a string": (b'"x"', 400),
    "a number": (b"1e999", 400),
    "half of it": (b"{" + FINE, 400),
    "something behind it": (b"{" + FINE + b"}{}", 400),
    "arrays 100,000 deep": (b"{" + FINE + b',"x":' + deep(100_000) + b"}", 400),
    "arrays 100,000 deep, alone": (deep(100_000), 400),
    "arrays 100,000 deep, not closed": (b"[" * 100_000, 400),
    "objects 100,000 deep": (b"{" + FINE + b',"x":' + deep(100_000, b'{"a":', b"}")[:-100_000] + b"1}", 400),
    "deep messages": (b'{"model":"smart","messages":' + deep(100_000) + b"}", 400),
    "a deep provider": (b"{" + FINE + b',"provider":' + deep(100_000) + b"}", 400),
    "a deep model": (b'{"model":' + deep(100_000) + b',"messages":[{}]}', 400),
    "one key twice": (b'{"model":"nobody",' + FINE + b"}", 200),
    "a lone surrogate in the model": (b'{"model":"\\ud800","messages":[{}]}', 400),
    "a lone surrogate in the user": (b"{" + FINE + b',"user":"\\udfff"}', 400),
    "no UTF-8 in the model": (b'{"model":"\xff\xfe","messages":[{}]}', 400),
    "no UTF-8 in a key": (b"{" + FINE + b',"\xff":1}', 400),
    "an overlong letter": (b'{"model":"\xc0\xaf","messages":[{}]}', 400),
    "UTF-16": (('{"model":"smart","messages":[{}]}').encode("utf-16"), 400),
    "a byte order mark": (b"\xef\xbb\xbf{" + FINE + b"}", 400),
    "NaN": (b"{" + FINE + b',"temperature":NaN}', 400),
    "Infinity": (b"{" + FINE + b',"temperature":-Infinity}', 400),
    "a hexadecimal number": (b"{" + FINE + b',"seed":0x10}', 400),
    "a comment": (b"{/* */" + FINE + b"}", 400),
    "a comma too many": (b"{" + FINE + b",}", 400),
    "a control character": (b'{"model":"\x00","messages":[{}]}', 400),
    "a NUL, escaped": (b'{"model":"\\u0000","messages":[{}]}', 400),
    "max_tokens without end": (b"{" + FINE + b',"max_tokens":' + b"9" * 4000 + b"}", 400),
    "max_tokens of 64 bits": (b"{" + FINE + b',"max_tokens":18446744073709551616}', 400),
    "max_tokens as 1e400": (b"{" + FINE + b',"max_tokens":1e400}', 400),
    "a price without end": (b"{" + FINE + b',"provider":{"max_price":{"prompt":' + b"9" * 5000 + b"}}}", 400),
    "a price of 1e400": (b"{" + FINE + b',"provider":{"max_price":{"prompt":1e400}}}', 400),
    "10 MiB of blanks": (b" " * (10 * MIB), 400),
    "10 MiB of blanks before it": (b" " * (10 * MIB) + b"{" + FINE + b"}", 200),
    "a hundred thousand keys": (b"{" + FINE + b"," + b",".join(b'"k%d":1' % n for n in range(100_000)) + b"}", 200),
    "a hundred thousand models": (b"{" + FINE + b',"models":[' + b",".join([b'"m"'] * 100_000) + b"]}", 400),
    "a megabyte of model": (b'{"model":"' + b"a" * MIB + b'","messages":[{}]}', 400),
    "messages as a string": (b'{"model":"smart","messages":"hi"}', 400),
    "messages of nothing": (b'{"model":"smart","messages":[   ]}', 400),
}  # fmt: skip


def test_no_body_makes_us_stumble(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        found = {}
        for name, (body, _) in BODIES.items():
            answer = await chat(proxy, body)
            found[name] = answer.status
            if answer.status != 200:
                assert answer.json["error"]["code"] == answer.status
                assert len(answer.body) < 2000, name
        assert {n: s for n, s in found.items() if s != BODIES[n][1]} == {}

    told(story, tmp_path)
    assert capfd.readouterr().err == ""


def test_a_packed_body_is_unpacked(tmp_path: Path) -> None:
    async def story(proxy: Gateway, a: FakeProvider) -> None:
        packed = {"gzip": gzip.compress(b"{" + FINE + b"}"), "deflate": zlib.compress(b"{" + FINE + b"}")}
        for encoding, body in packed.items():
            assert (await chat(proxy, body, **{"Content-Encoding": encoding})).status == 200
        assert [one.body["messages"][0]["content"] for one in a.served] == ["hi", "hi"]
        broken = await chat(proxy, packed["gzip"][:-12], **{"Content-Encoding": "gzip"})
        assert broken.status == 400

    told(story, tmp_path)


def test_a_bomb_goes_off_in_a_box(tmp_path: Path) -> None:
    """256 MiB in 256 KiB, then again in a few: refused, with hardly any memory."""

    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        bomb = b"".join(_packed_blanks(256))
        assert len(bomb) < 2 * MIB
        for encoding, body in (("gzip", bomb), ("gzip", gzip.compress(bomb)), ("deflate", _bare(64))):
            forget_peak()
            before = memory("VmRSS")
            answer = await chat(proxy, body, **{"Content-Encoding": encoding})
            assert answer.status in (400, 413)
            assert memory() - before < 24 * MIB
        assert (await proxy.ask()).status == 200

    told(story, tmp_path, limits=Limits(body_bytes=4 * MIB))


def test_a_body_over_the_limit_is_refused_with_and_without_a_length(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        large = b"{" + FINE + b"}" + b" " * 1000
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
        length = head + b"Content-Length: %d\r\n\r\n" % len(large)
        chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(large), large)
        for parts in ([length], [length + large], [chunked]):
            [heard] = (await talk(proxy.url, *parts)).answers()
            assert heard.status == heard.json["error"]["code"] == 413
            assert "limit" in heard.json["error"]["message"]
        assert (await chat(proxy, b"{" + FINE + b"}")).status == 200

    told(story, tmp_path, limits=Limits(body_bytes=1000, head_s=0.3))


def test_all_bodies_together_have_a_bound(tmp_path: Path) -> None:
    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
        half = head + b" " * 250_000
        asked = [asyncio.create_task(talk(proxy.url, half)) for _ in range(3)]
        while len([task for task in asked if not task.done()]) > 2 or proxy.server.inflight > 2:
            await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        [refused] = [task.result().answers()[0] for task in asked if task.done()]
        assert refused.status == refused.json["error"]["code"] == 503
        assert int(refused.headers["retry-after"]) >= 1
        # It was the sum, and the sum is given back.
        late = [(await task).answers()[0].status for task in asked]
        assert sorted(late) == [408, 408, 503]
        assert (await chat(proxy, b"{" + FINE + b"}" + b" " * 400_000)).status == 200

    told(story, tmp_path, limits=Limits(bodies_bytes=600_000, body_s=0.5, head_s=0.3))


def test_no_field_of_a_body_becomes_a_header(tmp_path: Path) -> None:
    """What is ignored is named in a header; its name is a stranger's."""

    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        names = ["quantizations", "a\r\nX-Evil: 1", "b\nX-Evil: 2", "\u0130", "c" * 5000, *map(str, range(1000))]
        wishes = dict.fromkeys(names, 1) | {"max_price": dict.fromkeys(names, 1)}
        answer = await proxy.ask(provider=wishes)
        assert answer.status == 200
        assert "X-Evil" not in answer.headers
        assert len(answer.headers["X-Byway-Ignored"]) < 4000
        assert (await proxy.ask(provider={"quantizations": 1})).headers[
            "X-Byway-Ignored"
        ] == "provider.quantizations"

    told(story, tmp_path)


TEXT = st.text(max_size=20) | st.sampled_from(["smart", "acme/m", "acme/m:floor", "openrouter/auto", ":free", "/"])
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
FIELDS = (
    "model", "models", "messages", "stream", "provider", "route", "max_tokens", "max_completion_tokens", "tools",
    "response_format", "user", "session_id", "stream_options", "temperature", "reasoning", "logprobs", "usage",
)  # fmt: skip
KEYS = st.sampled_from(["a\r\nX-Evil: 1", "\ud800", "", "\0"])
WISHES = (
    "order", "only", "ignore", "allow_fallbacks", "require_parameters", "sort", "max_price", "data_collection",
    "zdr", "quantizations", "preferred_min_throughput",
)  # fmt: skip


def request() -> st.SearchStrategy[bytes]:
    wishes = st.dictionaries(st.sampled_from(WISHES) | KEYS, VALUE, max_size=4)
    fine = {"model": st.just("smart"), "messages": st.just([{"role": "user", "content": "hi"}])}
    more = dict.fromkeys(FIELDS, VALUE) | {"provider": VALUE | wishes}
    others = {name: value for name, value in more.items() if name not in fine}
    some = st.fixed_dictionaries(fine, optional=others) | st.fixed_dictionaries({}, optional=more)
    text = some.map(lambda fields: json.dumps(fields).encode())
    return text | st.binary(max_size=60) | st.tuples(text, st.integers(0, 400)).map(lambda t: t[0][: t[1]])


def test_no_body_at_all_is_our_fault(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever a client sends: our JSON or an answer, and never a 5xx. For a few seconds."""
    end = time.monotonic() + 3

    async def story(proxy: Gateway, _a: FakeProvider) -> None:
        wrong = []
        while time.monotonic() < end and not wrong:
            for body in _examples():
                answer = await chat(proxy, body)
                if answer.status >= 500 or (answer.status >= 400 and answer.json["error"]["code"] != answer.status):
                    wrong.append((body, answer))
        assert wrong == []

    told(story, tmp_path)
    assert capfd.readouterr().err == ""


def _examples() -> list[bytes]:
    """A hundred requests. hypothesis draws them; the loop that asks is not its own."""
    drawn: list[bytes] = []

    @settings(max_examples=100, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(request())
    def draw(body: bytes) -> None:
        drawn.append(body)

    draw()
    return drawn


def _packed_blanks(mib: int) -> Iterator[bytes]:
    packer = zlib.compressobj(9, wbits=31)
    for _ in range(mib):
        yield packer.compress(b" " * MIB)
    yield packer.flush()


def _bare(mib: int) -> bytes:
    """Deflate without zlib's envelope, as some clients send it."""
    packer = zlib.compressobj(9, wbits=-15)
    return packer.compress(b" " * (mib * MIB)) + packer.flush()


def memory(most: str = "VmHWM") -> int:
    """Of this process, in bytes: the most it had since `forget_peak`, or what it has now (`VmRSS`)."""
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{most}:")[1].split()[0]) * 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")
