"""A real model server: llama.cpp itself (by `xllamacpp`) with a tiny model of random weights. Not fake, only small.

The model is written here, without a download: a byte and word vocabulary, two layers, half a megabyte.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WIDTH, LAYERS, HEADS, FORWARD, CONTEXT = 64, 2, 4, 128, 4096
WORDS = """ the of and to in is that for it was on are with as be at this have from or by not but what all were we
when your can said there use an each which she do how their if will up other about out many then them these so some
her would make like him into time has look two more write go see number no way could people my than first"""
TEMPLATE = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def write_model(path: Path) -> None:
    import gguf
    import numpy as np

    dice = np.random.default_rng(0)
    kind = gguf.TokenType
    tokens: list[tuple[bytes, int, float]] = [
        (b"<unk>", kind.UNKNOWN, 0.0),
        (b"<s>", kind.CONTROL, 0.0),
        (b"</s>", kind.CONTROL, 0.0),
    ]
    tokens += [(f"<0x{byte:02X}>".encode(), kind.BYTE, 0.0) for byte in range(256)]
    tokens += [(("▁" + word).encode(), kind.NORMAL, -float(n)) for n, word in enumerate(WORDS.split())]
    tokens += [(x.encode(), kind.NORMAL, -200.0 - n) for n, x in enumerate("▁.,etaoinsrhldu")]

    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_name("tiny-random-llama")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(FORWARD)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in tokens])
    writer.add_token_types([int(kind) for _, kind, _ in tokens])
    writer.add_token_scores([score for _, _, score in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(TEMPLATE)

    def weights(name: str, *shape: int) -> None:
        writer.add_tensor(name, (dice.standard_normal(shape) * 0.3).astype(np.float32))

    def ones(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    weights("token_embd.weight", len(tokens), WIDTH)
    output = (dice.standard_normal((len(tokens), WIDTH)) * 0.3).astype(np.float32)
    output[2:259] *= 0.05  # words rather than raw bytes, and rarely the end
    writer.add_tensor("output.weight", output)
    ones("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        ones(block + "attn_norm.weight")
        ones(block + "ffn_norm.weight")
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights(f"{block}{part}.weight", WIDTH, WIDTH)
        weights(block + "ffn_gate.weight", FORWARD, WIDTH)
        weights(block + "ffn_up.weight", FORWARD, WIDTH)
        weights(block + "ffn_down.weight", WIDTH, FORWARD)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@contextmanager
def llama_serving(model: Path) -> Iterator[str]:
    """Its base URL. The process ends with the block, and with us if we are killed: it reads our end of a pipe."""
    with subprocess.Popen(
        [sys.executable, __file__, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if line.startswith("listening "):
                    yield line.split()[1]
                    return
            raise RuntimeError("the llama.cpp server did not start")
        finally:
            process.kill()


def _serve(model: str) -> None:
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = model
    settings.n_ctx = CONTEXT
    settings.n_parallel = 2
    settings.n_predict = 64
    settings.hostnames = ["127.0.0.1"]
    settings.port = 0
    settings.cpuparams.n_threads = 1  # two spin against each other on a busy machine
    server = xllamacpp.Server(settings)
    print("listening", server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    _serve(sys.argv[1])
