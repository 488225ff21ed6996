"""The public listener against requests that no honest client sends: each has one meaning, and it is ours.

What is refused is refused in our JSON, with a code that is the status; nothing a stranger sent comes back or is
logged. Each vector runs against both of aiohttp's parsers, since a machine without its C extension has the other.
"""

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import http_parser, web_protocol
from builders.gateway import gateway, one_route
from builders.raw import Heard, Talk, run_as_served, talk
from byway_proxy.api.server import Limits
from fakes.provider import FakeProvider

EVIL = b"zq7evil"
BODY = json.dumps({"model": "smart", "messages": [{"role": "user", "content": "A prompt, zq7evil"}]}).encode()
SIZE = len(BODY)
LENGTH = b"Content-Length: %d" % SIZE
CHUNKED = b"Transfer-Encoding: chunked"
CHAT = b"POST /v1/chat/completions HTTP/1.1"
SMUGGLED = b"GET /v1/zq7evil HTTP/1.1\r\nHost: x\r\n\r\n"
FLOOD = b"X-A: zq7evil\r\n" * 20_000


def ask(*lines: bytes, start: bytes = CHAT, body: bytes = BODY, host: bytes = b"Host: x") -> bytes:
    head = (start, *((host,) if host else ()), *lines)
    return b"".join(line + b"\r\n" for line in head) + b"\r\n" + body


def get(start: bytes, *lines: bytes) -> bytes:
    return ask(*lines, start=start, body=b"")


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def in_chunks(body: bytes) -> bytes:
    return ask(CHUNKED, body=body)


ONE = chunks(BODY)

# Name: (bytes, statuses of the answers on that connection; `a|b` where the parsers may differ).
VECTORS: dict[str, tuple[bytes, str]] = {
    # Where does the body end?
    "length and chunked": (ask(LENGTH, CHUNKED, body=ONE), "400"),
    "chunked and length": (ask(CHUNKED, b"Content-Length: 4", body=ONE + SMUGGLED), "400"),
    "two equal lengths": (ask(LENGTH, LENGTH), "400"),
    "two lengths": (ask(LENGTH, b"Content-Length: 3", body=BODY + SMUGGLED), "400"),
    "a list of lengths": (ask(b"Content-Length: %d, %d" % (SIZE, SIZE)), "400"),
    "a length with a plus": (ask(b"Content-Length: +%d" % SIZE), "400"),
    "a negative length": (ask(b"Content-Length: -1"), "400"),
    "a hexadecimal length": (ask(b"Content-Length: 0x10"), "400"),
    "a length with an underscore": (ask(b"Content-Length: 1_0"), "400"),
    "a length beyond 64 bits": (ask(b"Content-Length: " + b"9" * 40), "400|413"),
    "an empty length": (ask(b"Content-Length: "), "400"),
    "a length in other digits": (ask("Content-Length: ١".encode()), "400"),
    "a length with a blank": (ask(b"Content-Length: 1 0"), "400"),
    "a blank before the colon": (ask(b"Content-Length : %d" % SIZE), "400"),
    "a blank before the other colon": (ask(b"Transfer-Encoding : chunked", body=ONE), "400"),
    "an unknown coding": (ask(b"Transfer-Encoding: xchunked", body=ONE), "400"),
    "identity": (ask(b"Transfer-Encoding: identity", LENGTH), "400"),
    "chunked twice": (ask(CHUNKED, CHUNKED, body=ONE), "400"),
    "chunked, chunked": (ask(b"Transfer-Encoding: chunked, chunked", body=ONE), "400"),
    "gzip, chunked": (ask(b"Transfer-Encoding: gzip, chunked", body=ONE), "400"),
    "chunked, gzip": (ask(b"Transfer-Encoding: chunked, gzip", body=ONE), "400"),
    "chunked after a vertical tab": (ask(b"Transfer-Encoding: \x0bchunked", body=ONE), "400"),
    "chunked before a NUL": (ask(b"Transfer-Encoding: chunked\0", body=ONE), "400"),
    "chunked in capitals": (ask(b"TRANSFER-ENCODING: CHUNKED", body=ONE), "200"),
    "chunked of HTTP/1.0": (ask(CHUNKED, start=CHAT[:-1] + b"0", body=ONE), "200"),
    "no length at all": (ask(), "400"),
    "more than the length": (ask(LENGTH, body=BODY + b"zq7evil\r\n\r\n"), "400"),
    "less than the length": (ask(b"Content-Length: %d" % (SIZE + 5)), "408"),
    # Chunks.
    "two chunks": (in_chunks(chunks(BODY[:5], BODY[5:])), "200"),
    "an extension": (in_chunks(b"%x;zq7evil=1\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)), "200"),
    "an extension with a bare LF": (in_chunks(b"%x;a\nb\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)), "400"),
    "an endless extension": (in_chunks(b"%x;%s\r\n%s\r\n0\r\n\r\n" % (SIZE, b"a" * 99_999, BODY)), "200|400"),
    "a size that is no number": (in_chunks(b"zz\r\n" + BODY), "400"),
    "a negative size": (in_chunks(b"-5\r\n" + BODY), "400"),
    "a size with 0x": (in_chunks(b"0x%x\r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)), "400"),
    "a size with an underscore": (in_chunks(b"1_0\r\n" + BODY), "400"),
    "a size beyond 64 bits": (in_chunks(b"F" * 17 + b"\r\n" + BODY), "400|408"),
    "a size and a blank": (in_chunks(b"%x \r\n%s\r\n0\r\n\r\n" % (SIZE, BODY)), "400"),
    "chunks with bare LF": (in_chunks(b"%x\n%s\n0\n\n" % (SIZE, BODY)), "400"),
    "a chunk longer than its size": (in_chunks(b"%x\r\n%szq7evil0\r\n\r\n" % (SIZE, BODY)), "400"),
    "a trailer": (in_chunks(b"%x\r\n%s\r\n0\r\nX-A: zq7evil\r\n\r\n" % (SIZE, BODY)), "200"),
    "a length as trailer": (in_chunks(b"%x\r\n%s\r\n0\r\nContent-Length: 3\r\n\r\n" % (SIZE, BODY)), "400|200"),
    "a flood of trailers": (in_chunks(b"%x\r\n%s\r\n0\r\n%s\r\n" % (SIZE, BODY, FLOOD)), "400"),
    # The head.
    "a folded line": (ask(b"X-A: b\r\n zq7evil", LENGTH), "400"),
    "a folded coding": (ask(b"Transfer-Encoding:\r\n chunked", body=ONE), "400"),
    "a folded first line": (ask(LENGTH, host=b" Host: x"), "400"),
    "bare LF everywhere": (ask(LENGTH).replace(b"\r\n", b"\n"), "400"),
    "a bare LF": (ask(b"X-A: b\nX-B: zq7evil", LENGTH), "400"),
    "a bare CR": (ask(b"X-A: b\rX-B: zq7evil", LENGTH), "400"),
    "a CR in a name": (ask(b"X\r-A: b", LENGTH), "400"),
    "a NUL in a value": (ask(b"X-A: zq7evil\0", LENGTH), "400"),
    "a NUL in a name": (ask(b"X\0A: zq7evil", LENGTH), "400"),
    "no colon": (ask(b"zq7evil", LENGTH), "400"),
    "no name": (ask(b": zq7evil", LENGTH), "400"),
    "a blank in a name": (ask(b"X A: zq7evil", LENGTH), "400"),
    "a name beyond ASCII": (ask(b"X\xff: zq7evil", LENGTH), "400"),
    "values that are no UTF-8": (ask(b"User-Agent: \xff\xfe", b"X-Title: \xc3(", LENGTH), "200"),
    "no host": (ask(LENGTH, host=b""), "400"),
    "two hosts": (ask(b"Host: zq7evil", LENGTH), "400"),
    "a long value": (ask(b"X-A: " + b"a" * 20_000, LENGTH), "400"),
    "a long name": (ask(b"X" * 20_000 + b": a", LENGTH), "400"),
    "two hundred lines": (ask(*(b"X-%d: a" % n for n in range(200)), LENGTH), "400"),
    "a flood of lines": (CHAT + b"\r\n" + FLOOD, "400"),
    "a flood without a line": (b"A" * 200_000, "400"),
    "empty lines first": (b"\r\n\r\n" + ask(LENGTH), "200"),
    # The request line.
    "a NUL in the path": (ask(LENGTH, start=b"POST /zq7evil\0 HTTP/1.1"), "400"),
    "a path beyond ASCII": (ask(LENGTH, start=b"POST /\xff\xfe HTTP/1.1"), "400|404"),
    "a path of escapes": (get(b"GET /v1/%00%0d%0a%ff%3Cscript%3E HTTP/1.1"), "404"),
    "a blank in the path": (ask(LENGTH, start=b"POST /v1/chat completions HTTP/1.1"), "400"),
    "a detour": (ask(LENGTH, start=b"POST /v1/../v1/chat/completions HTTP/1.1"), "404"),
    "two slashes": (ask(LENGTH, start=b"POST //v1/chat/completions HTTP/1.1"), "404"),
    "a long path": (get(b"GET /" + b"a" * 20_000 + b" HTTP/1.1"), "400"),
    "a whole URL": (ask(LENGTH, start=b"POST http://zq7evil.example/v1/chat/completions HTTP/1.1"), "404"),
    "half a URL": (ask(LENGTH, start=b"POST http://[::1/v1 HTTP/1.1"), "400"),
    "a tunnel": (get(b"CONNECT zq7evil.example:443 HTTP/1.1"), "404"),
    "a tunnel to a path": (get(b"CONNECT /v1/chat/completions HTTP/1.1"), "405"),
    "OPTIONS *": (get(b"OPTIONS * HTTP/1.1"), "404"),
    "GET *": (get(b"GET * HTTP/1.1"), "400"),
    "OPTIONS": (get(b"OPTIONS /v1/chat/completions HTTP/1.1"), "405"),
    "TRACE": (get(b"TRACE /v1/chat/completions HTTP/1.1", b"X-A: zq7evil"), "405"),
    "a method nobody has": (get(b"ZQ7EVIL /v1/chat/completions HTTP/1.1"), "400|405"),
    "a method that is no word": (get(b"PO<ST /v1/chat/completions HTTP/1.1"), "400"),
    "a long method": (get(b"A" * 300 + b" /v1/chat/completions HTTP/1.1"), "400|405"),
    "GET where POST is": (get(b"GET /v1/chat/completions HTTP/1.1"), "405"),
    "a script for a path": (get(b"GET /zq7evil<script> HTTP/1.1"), "404"),
    "GET with a body": (ask(LENGTH, start=b"GET /v1/models HTTP/1.1"), "200"),
    "HTTP/0.9": (b"GET /v1/models\r\n\r\n", "400"),
    "HTTP/1.0": (ask(LENGTH, start=CHAT[:-1] + b"0"), "200"),
    "HTTP/1.2": (ask(LENGTH, start=CHAT[:-1] + b"2"), "400"),
    "HTTP/2.0": (ask(LENGTH, start=CHAT[:-3] + b"2.0"), "400"),
    "HTTP/2's preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400"),
    "HTTP/11": (ask(LENGTH, start=CHAT[:-3] + b"11"), "400"),
    "another protocol's name": (ask(LENGTH, start=CHAT.replace(b"HTTP/", b"HTTX/")), "400"),
    "mail": (b"EHLO zq7evil\r\nMAIL FROM:<a@b>\r\n\r\n", "400"),
    # Two requests.
    "one after the other": (ask(LENGTH) + ask(LENGTH) + get(b"GET /v1/nowhere HTTP/1.1"), "200 200 404"),
    "one behind a broken one": (ask(b"Content-Length: x") + SMUGGLED, "400"),
    "one behind the last": (ask(LENGTH, b"Connection: close") + SMUGGLED, "400|200"),
    "an upgrade": (ask(LENGTH, b"Upgrade: h2c", b"Connection: Upgrade"), "200"),
    # Courtesies.
    "an expectation met": (ask(LENGTH, b"Expect: 100-continue"), "200"),
    "an expectation of nothing": (get(b"GET /v1/models HTTP/1.1", b"Expect: 100-continue"), "200"),
    "an expectation of HTTP/1.0": (ask(LENGTH, b"Expect: 100-continue", start=CHAT[:-1] + b"0"), "200"),
    "another expectation": (ask(LENGTH, b"Expect: zq7evil"), "200"),
    "an encoding that is not there": (ask(LENGTH, b"Content-Encoding: gzip"), "400"),
}  # fmt: skip
PARSERS = {"c": http_parser.HttpRequestParser, "python": http_parser.HttpRequestParserPy}


async def all_of(folder: Path) -> tuple[dict[str, Talk], list[object]]:
    limits = Limits(head_s=0.5, body_s=0.5)
    async with FakeProvider() as a, gateway(folder, one_route(a), limits=limits) as proxy:
        talks = await asyncio.gather(*(talk(proxy.url, data) for data, _ in VECTORS.values()))
        return dict(zip(VECTORS, talks, strict=True)), [served.body for served in a.served]


def said_by_us(heard: Heard) -> bool:
    if heard.status == 200:
        return True
    error = heard.json["error"]
    return heard.headers["content-type"] == "application/json" and error["code"] == heard.status


@pytest.mark.parametrize("parser", PARSERS)
def test_every_stranger_gets_one_meaning_in_our_words(
    tmp_path: Path, parser: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(web_protocol, "HttpRequestParser", PARSERS[parser])
    talks, served = run_as_served(all_of(tmp_path))
    found = {name: " ".join(str(heard.status) for heard in talk.answers()) for name, talk in talks.items()}
    assert {n: s for n, s in found.items() if s not in VECTORS[n][1].split("|")} == {}
    assert [n for n, talk in talks.items() if not all(said_by_us(heard) for heard in talk.answers())] == []
    assert [n for n, talk in talks.items() if EVIL.lower() in talk.data.lower() or b"aiohttp" in talk.data] == []
    # Whoever heard 200 of a POST was carried, with exactly the body that was meant; nobody else was.
    chats = [n for n, s in found.items() for status in s.split() if status == "200" and b"POST" in VECTORS[n][0]]
    assert len(served) == len(chats)
    assert all(body["messages"] == json.loads(BODY)["messages"] for body in served)  # type: ignore[index]
    output = "".join(capfd.readouterr())
    assert EVIL.decode() not in output.lower()
    assert output == ""


def test_head_has_no_body_and_its_error_neither(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, one_route(a), limits=Limits(head_s=0.3)) as proxy:
            for path, status in ((b"/v1/models", 200), (b"/nowhere", 404), (b"/v1/chat/completions", 405)):
                [heard] = (await talk(proxy.url, get(b"HEAD " + path + b" HTTP/1.1"))).answers("HEAD")
                assert heard.status == status
                assert int(heard.headers["content-length"]) > 0

    run_as_served(tell())


def test_a_client_may_ask_before_it_sends(tmp_path: Path) -> None:
    async def tell() -> None:
        limits = Limits(head_s=0.3, body_bytes=1000)
        async with FakeProvider() as a, gateway(tmp_path, one_route(a), limits=limits) as proxy:
            head = ask(LENGTH, b"Expect: 100-continue", body=b"")
            invited = await talk(proxy.url, head, BODY)
            assert invited.data.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")

            large = ask(b"Content-Length: 1001", b"Expect: 100-continue", body=b"")
            refused = await talk(proxy.url, large)
            assert refused.data.startswith(b"HTTP/1.1 413 ")

    run_as_served(tell())


def test_a_client_that_closes_its_half_is_not_kept(tmp_path: Path) -> None:
    async def tell() -> None:
        async with FakeProvider() as a, gateway(tmp_path, one_route(a), limits=Limits(head_s=0.3)) as proxy:
            for cut in (0, 5, len(ask(LENGTH)) - 3, len(ask(LENGTH))):
                heard = (await talk(proxy.url, ask(LENGTH)[:cut], half_close=True)).answers()
                assert [each.status for each in heard] in ([], [200])
            async with asyncio.timeout(5):
                while proxy.server.connections:  # noqa: ASYNC110 # a transport tells only its protocol that it is gone
                    await asyncio.sleep(0.01)

    run_as_served(tell())
