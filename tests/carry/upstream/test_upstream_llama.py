"""Five hundred streams from llama.cpp, one after the other, without an error."""

from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from byway_proxy.carry.upstream.client import Client, origin_of
from fakes.llama import llama_serving, write_model

Run = Callable[[Callable[[], Coroutine[Any, Any, None]]], None]
WHOLE = b'{"messages":[{"role":"user","content":"hi"}],"max_tokens":1}'
STREAMED = WHOLE[:-1] + b',"stream":true}'
STREAMS = 250  # on each of the two loops


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    model = tmp_path_factory.mktemp("model") / "tiny.gguf"
    write_model(model)
    with llama_serving(model) as url:
        yield url


async def ask(client: Client, url: str, body: bytes) -> bytes:
    origin, prefix = origin_of(url)
    head = (
        f"POST {prefix}/v1/chat/completions HTTP/1.1\r\nHost: {origin.authority}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    exchange = client.exchange(origin, head, body, connect_s=5)
    await exchange.begin()
    assert exchange.status == 200
    return await exchange.read_all(1 << 20)


def test_hundreds_of_streams_from_a_real_server_all_end_well(run: Run, llama: str) -> None:
    """It announces keep-alive and closes after every stream all the same: each pooled connection is a race."""

    async def main() -> None:
        client = Client()
        try:
            for _ in range(STREAMS):
                answer = await ask(client, llama, STREAMED)
                assert answer.endswith(b"data: [DONE]\n\n")
        finally:
            await client.close()

    run(main)


def test_whole_answers_from_a_real_server_come_over_one_connection(run: Run, llama: str) -> None:
    async def main() -> None:
        client = Client()
        try:
            for _ in range(20):
                assert (await ask(client, llama, WHOLE)).startswith(b'{"choices"')
            assert client.opened == 1
        finally:
            await client.close()

    run(main)
