"""Five hundred streams from llama.cpp, one after the other over one connection, without an error."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from byway_proxy.carry.upstream.client import Client, origin_of
from fakes.llama import llama_serving, write_model

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
BODY = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":1,"stream":true}'
STREAMS = 250  # on each of the two loops


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(model)
    with llama_serving(model) as url:
        yield url


def test_hundreds_of_streams_from_a_real_server_all_end_well(run: Run, llama: str) -> None:
    async def main() -> None:
        origin, prefix = origin_of(llama)
        head = (
            f"POST {prefix}/v1/chat/completions HTTP/1.1\r\nHost: {origin.authority}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n\r\n"
        ).encode()
        client = Client()
        for _ in range(STREAMS):
            exchange = client.exchange(origin, head, BODY, connect_s=5)
            await exchange.begin()
            assert exchange.status == 200
            answer = await exchange.read_all(1 << 20)
            assert answer.endswith(b"data: [DONE]\n\n")
        assert client.idle == 1
        await client.close()

    run(main)
