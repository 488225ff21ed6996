import contextlib
import json
from itertools import pairwise
from typing import Any

import pytest
from byway_contract.money import Cost, Usage
from byway_operator.compile.catalogue.catalogue import load
from byway_proxy.carry.dialects import openai_answer, openai_request
from byway_proxy.carry.dialects.openai_answer import BadAnswer, Identity, read_whole, usage_bytes
from byway_proxy.carry.dialects.openai_request import BadRequest
from byway_proxy.carry.dialects.openai_stream import Stream
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

ME = Identity("gen-1", 1795477693, "acme/llama-70b", "Acme")


def ask(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def test_the_upstream_gets_its_own_name_of_the_model_and_nothing_that_is_ours() -> None:
    asked = openai_request.read(ask(provider={"order": ["a"]}, models=["n"], temperature=0.5, x_unknown=[1]))
    sent = json.loads(openai_request.body_for(asked, "prod-m"))
    assert sent == {"model": "prod-m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0.5,
                    "x_unknown": [1]}  # fmt: skip
    assert asked.models == ("m", "n")


def test_usage_is_asked_for_whatever_the_client_says() -> None:
    asked = openai_request.read(ask(stream=True, stream_options={"include_usage": False}))
    assert json.loads(openai_request.body_for(asked, "m"))["stream_options"] == {"include_usage": True}


def test_a_provider_that_refuses_stream_options_is_not_sent_them() -> None:
    asked = openai_request.read(ask(stream=True, stream_options={"include_usage": True}))
    sent = json.loads(openai_request.body_for(asked, "m", quirks=("no_stream_options",)))
    assert sent == {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_every_quirk_of_the_catalogue_is_obeyed() -> None:
    quirks = {quirk for provider in load().providers.values() for quirk in provider.quirks}
    assert quirks == {openai_request.NO_STREAM_OPTIONS}


@pytest.mark.parametrize(
    ("fields", "defaults", "cap", "sent_lengths"),
    [
        ({}, b'{"max_tokens":50}', 100, {"max_tokens": 50}),
        ({}, b'{"max_completion_tokens":500}', 100, {"max_completion_tokens": 100}),
        ({"max_tokens": None}, b"{}", 100, {"max_tokens": 100}),
        ({"max_tokens": 700}, b"{}", 100, {"max_tokens": 100}),
        ({"max_completion_tokens": 700}, b'{"max_tokens":50}', 100, {"max_completion_tokens": 100}),
        ({"max_tokens": 7}, b'{"max_completion_tokens":50}', 100, {"max_tokens": 7}),
        ({"max_tokens": None}, b"{}", None, {"max_tokens": None}),
        ({}, b'{"max_tokens":"many"}', 100, {"max_tokens": 100}),
    ],
)
def test_the_length_of_an_answer_is_said_once(
    fields: dict[str, Any], defaults: bytes, cap: int | None, sent_lengths: dict[str, int | None]
) -> None:
    asked = openai_request.read(ask(**fields))
    body = openai_request.body_for(asked, "m", openai_request.said_by_route(asked, Raw(defaults), cap))
    sent = json.loads(body)
    assert {name: value for name, value in sent.items() if "tokens" in name} == sent_lengths
    assert body.count(b"tokens") == len(sent_lengths)


def test_a_routes_defaults_never_tell_a_provider_what_is_meant_for_us() -> None:
    asked = openai_request.read(ask(stream=True))
    added = openai_request.said_by_route(asked, Raw(b'{"provider":{"zdr":true},"stream_options":{}}'), None)
    assert added == {}


def test_a_routes_defaults_stand_where_the_caller_is_silent() -> None:
    asked = openai_request.read(ask(temperature=0.9))
    added = openai_request.said_by_route(asked, Raw(b'{"temperature":0.2,"top_p":0.5}'), 100)
    sent = json.loads(openai_request.body_for(asked, "m", added))
    assert (sent["temperature"], sent["top_p"], sent["max_tokens"]) == (0.9, 0.5, 100)


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        (b"", None, "not valid JSON"),
        (b"[1]", None, "JSON object"),
        (b'{"model":"m"}', "messages", "missing"),
        (b'{"model":"m","messages":[]}', "messages", "at least one"),
        (b'{"model":"m","messages":{}}', "messages", "array"),
        (ask(model=7), "model", "a string"),
        (ask(model=" "), "model", "empty"),
        (ask(models="m"), "models", "array of strings"),
        (ask(stream="yes"), "stream", "true or false"),
        (ask(max_tokens=0), "max_tokens", "at least 1"),
        (ask(max_tokens="9"), "max_tokens", "whole number"),
        (ask(response_format=3), "response_format", "object"),
    ],
)
def test_bad_input_names_the_field_and_the_way_out(body: bytes, param: str | None, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as caught:
        openai_request.read(body)
    assert caught.value.param == param


def test_what_a_request_needs_is_read_from_it() -> None:
    parts = [{"type": "text", "text": '"input_audio"'}, {"type": "image_url", "image_url": {"url": "data:"}}]
    asked = openai_request.read(
        ask(
            messages=[{"role": "user", "content": parts}],
            tools=[{"type": "function"}],
            response_format={"type": "json_schema"},
            max_completion_tokens=7,
        )
    )
    assert asked.modalities == {"text", "image"}
    assert asked.features == {"tools", "structured_outputs"}
    assert asked.max_tokens == 7


def test_a_whole_answer_keeps_what_it_had_and_gets_what_we_promise() -> None:
    body = {"id": "cmpl-7", "object": "chat.completion", "created": 1.5, "model": "x", "extra": {"a": [1]},
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"},
                         "finish_reason": "eos_token"}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 4, "total_tokens": 15,
                      "prompt_tokens_details": {"cached_tokens": 5}}}  # fmt: skip
    whole = read_whole(json.dumps(body).encode())
    assert (whole.usage, whole.finish, whole.upstream_id) == (Usage(11, 4, 5), "stop", "cmpl-7")
    answer = json.loads(whole.bytes_with(ME, usage_bytes(Usage(11, 4, 5), Cost(7450, 3850, 3600), 7450, False)))
    assert (answer["id"], answer["created"], answer["model"], answer["provider"]) == (
        "gen-1", 1795477693, "acme/llama-70b", "Acme")  # fmt: skip
    assert answer["system_fingerprint"] is None
    assert answer["extra"] == {"a": [1]}
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["choices"][0]["native_finish_reason"] == "eos_token"
    assert answer["usage"]["cost"] == 0.00000745
    assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 5


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b'{"choices":7}', b'{"choices":[1]}', b"\xff"])
def test_what_is_no_answer_is_a_clear_failure(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        read_whole(body)


@pytest.mark.parametrize(
    "usage", [None, 3, {}, {"prompt_tokens": -1, "completion_tokens": 2}, {"prompt_tokens": 3}]
)
def test_usage_that_does_not_add_up_counts_as_none(usage: object) -> None:
    assert openai_answer.read_usage(Raw(json.dumps(usage).encode())) is None


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"prompt_tokens_details": {"audio_tokens": 6, "image_tokens": 2}}, Usage(10, 8, 0, 0, 0, 6, 0, 2, 0)),
        ({"completion_tokens_details": {"audio_tokens": 3, "image_tokens": 99}}, Usage(10, 8, 0, 0, 0, 0, 3, 0, 5)),
        ({"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 18}, Usage(10, 8, reasoning=5)),
        # xAI counts what was thought beside the completion; the total tells.
        ({"completion_tokens_details": {"reasoning_tokens": 5}, "total_tokens": 23}, Usage(10, 13, reasoning=5)),
        ({"prompt_tokens_details": {"cached_tokens": 99, "audio_tokens": -1}}, Usage(10, 8, 10)),
    ],
)
def test_every_kind_of_token_is_read_and_none_is_more_than_the_whole(said: dict[str, Any], usage: Usage) -> None:
    raw = json.dumps({"prompt_tokens": 10, "completion_tokens": 8, **said}).encode()
    read = openai_answer.read_usage(Raw(raw))
    assert read == usage
    assert read.adds_up


def test_audio_and_images_are_told_where_there_are_any() -> None:
    told = json.loads(usage_bytes(Usage(10, 8, 0, 0, 2, 6, 3, 2, 1), None, 0, False))
    assert told["prompt_tokens_details"] == {
        "cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 6, "image_tokens": 2}  # fmt: skip
    assert told["completion_tokens_details"] == {"reasoning_tokens": 2, "audio_tokens": 3, "image_tokens": 1}
    plain = json.loads(usage_bytes(Usage(1, 1), None, 0, False))
    assert plain["prompt_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0}
    assert plain["completion_tokens_details"] == {"reasoning_tokens": 0}


def chunk(delta: dict[str, Any], finish: str | None = None, first: bool = False, **more: Any) -> bytes:
    """llama.cpp puts `choices` first, OpenAI last; either way the rest of a stream's chunks is alike."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    rest = {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "x"}
    whole = {"choices": [choice], **rest, **more} if first else {**rest, "choices": [choice], **more}
    return b"data: " + json.dumps(whole, separators=(",", ":")).encode() + b"\n\n"


def events(out: list[bytes]) -> list[dict[str, Any]]:
    return [json.loads(e.removeprefix(b"data: ")) for e in out]


@given(
    st.lists(st.text(max_size=20), min_size=1, max_size=12),
    st.booleans(),
    st.lists(st.integers(0, 4000), max_size=10),
)
def test_a_streams_text_arrives_whole_however_it_is_cut(words: list[str], first: bool, cuts: list[int]) -> None:
    sent = chunk({"role": "assistant", "content": ""}, first=first)
    sent += b"".join(chunk({"content": w}, first=first) for w in words)
    sent += chunk({}, "stop", first=first) + chunk({}, usage={"prompt_tokens": 3, "completion_tokens": 2})
    sent += b"data: [DONE]\n\n"
    stream, out = Stream(ME), []
    places = [0, *sorted(min(c, len(sent)) for c in cuts), len(sent)]
    for a, b in pairwise(places):
        out += stream.feed(sent[a:b])
    got = events(out)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in got) == "".join(words)
    assert {(c["id"], c["created"], c["model"], c["provider"]) for c in got} == {
        ("gen-1", 1795477693, "acme/llama-70b", "Acme")}  # fmt: skip
    assert all("finish_reason" in c["choices"][0] for c in got)
    assert (stream.done, stream.finish, stream.usage) == (True, "stop", Usage(3, 2))
    assert stream.content == any(words)


def test_a_missing_finish_reason_is_put_in_every_chunk() -> None:
    bare = b'data: {"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    out = events(Stream(ME).feed(bare * 3))
    assert [c["choices"][0]["finish_reason"] for c in out] == [None, None, None]


def test_the_usage_chunk_is_the_only_one_with_usage() -> None:
    stream = Stream(ME)
    out = stream.feed(
        chunk({"content": "a"}) + chunk({}, "length", usage={"prompt_tokens": 1, "completion_tokens": 1})
    )
    assert all("usage" not in c for c in events(out))
    last = events([stream.usage_event(usage_bytes(Usage(1, 1), None, 0, True))])[0]
    assert last["choices"] == []
    assert last["usage"]["is_byok"] is True


def test_an_error_inside_a_stream_is_an_error() -> None:
    stream = Stream(ME)
    stream.feed(b'data: {"error":{"code":529,"type":"overloaded_error","message":"busy"}}\n\n')
    assert stream.error is not None
    assert (stream.error.status, stream.error.type, stream.content) == (529, "overloaded_error", False)


def test_garbage_in_a_stream_is_a_clear_failure() -> None:
    with pytest.raises(BadAnswer):
        Stream(ME).feed(b"data: {oh no\n\n")


def test_text_that_looks_like_a_field_does_not_end_a_stream() -> None:
    stream = Stream(ME)
    words = ['"finish_reason":"stop"', '"usage":{"prompt_tokens":9}', "}]}", '"}}],"x":[{']
    out = stream.feed(b"".join(chunk({"content": w}) for w in ["a", *words]))
    assert [c["choices"][0]["delta"]["content"] for c in events(out)] == ["a", *words]
    assert (stream.finish, stream.usage) == ("", None)


@pytest.mark.parametrize("field", ["id", "error", "choices", "usage", "finish", "delta"])
def test_an_answer_that_is_no_utf_8_is_the_providers_fault(field: str) -> None:
    """A decoder that stumbles over it must not stumble as a bug of ours."""
    bad = b'"\xff\xfe"'
    choice = {"finish": b'{"finish_reason":%s}', "delta": b'{"delta":{"content":%s},"message":{"a":%s}}'}
    one = choice.get(field, b'{"message":{"content":"hi"},"finish_reason":"stop"}').replace(b"%s", bad)
    fields = {b"id": b'"x"', b"choices": b"[" + one + b"]"} | ({field.encode(): bad} if field not in choice else {})
    body = b"{" + b",".join(b'"%s":%s' % item for item in fields.items()) + b"}"
    with contextlib.suppress(BadAnswer):
        _ = read_whole(body).blank
    with contextlib.suppress(BadAnswer):
        Stream(ME).feed(b"data: " + body + b"\n\n")
