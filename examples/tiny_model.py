"""Write a very small language model of random weights, for real servers to serve where no download is wanted.

It is a llama of two layers that knows single bytes and a few dozen English words, so its answers are words without
sense. The same seed gives the same file. Half a megabyte, written in a moment.

    python examples/tiny_model.py tiny.gguf
"""

import sys
from pathlib import Path

import gguf
import numpy as np

WIDTH, LAYERS, HEADS, INNER, CONTEXT = 64, 2, 4, 128, 8192
_SPECIAL = ("<unk>", "<s>", "</s>")
_TALK = """
a about all an and any are around as at back be because before big both but by came can day do down each early
end even every far few find first for from gave get give go good great had half has have he her here high him
his home how I if in into is it its just keep kind know land last late left less life light like line little
long look made make many may me men might more most much must my name near never new next night no not now
number of off often old on once one only open or other our out over own part people place point put read right
road run said same saw say sea see seem set she should show side sky small so some soon still stop such sun take
tell than that the their them then there these they thing think this those though three through time to told too
took town tree turn two under until up us use very walk want was water way we well went were what when where
which while white who why wide will wind with word work world would year yes yet you young your
"""
_TEMPLATE = (
    "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def write(path: Path, seed: int = 2026) -> Path:
    """Write the model, whole or not at all."""
    new = path.with_suffix(".new")
    writer = gguf.GGUFWriter(str(new), "llama")
    _describe(writer)
    tokens = _vocabulary(writer)
    _weights(writer, tokens, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return new.replace(path)


def _describe(writer: gguf.GGUFWriter) -> None:
    writer.add_name("tiny")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)


def _vocabulary(writer: gguf.GGUFWriter) -> int:
    """The tokens, and how many: three special ones, every byte, words, and letters to build other words from."""
    kind = gguf.TokenType
    # U+2581 is how SentencePiece writes the space before a word.
    words = [f"\u2581{word}" for word in _TALK.split()]
    letters = ["\u2581", *"etaoinsrhldcumfpgwybvkxjqz.,"]
    texts = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *words, *letters]
    kinds = [kind.UNKNOWN, kind.CONTROL, kind.CONTROL, *[kind.BYTE] * 256]
    kinds += [kind.NORMAL] * (len(words) + len(letters))
    # A higher score is merged first; bytes are what is left when nothing else fits.
    scores = [0.0] * 259 + [-1.0 - place for place in range(len(words) + len(letters))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text.encode() for text in texts])
    writer.add_token_types(kinds)
    writer.add_token_scores(scores)
    writer.add_vocab_size(len(texts))
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template(_TEMPLATE)
    return len(texts)


def _weights(writer: gguf.GGUFWriter, tokens: int, dice: np.random.Generator) -> None:
    def random(name: str, *shape: int) -> None:
        writer.add_tensor(name, _normal(dice, *shape))

    random("token_embd.weight", tokens, WIDTH)
    output = _normal(dice, tokens, WIDTH)
    # Near zero, so that neither raw bytes nor the end of the answer are likely beside any word.
    output[:259] *= 0.02
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{norm}.weight", np.ones(WIDTH, np.float32))
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            random(f"blk.{layer}.{part}.weight", WIDTH, WIDTH)
        random(f"blk.{layer}.ffn_gate.weight", INNER, WIDTH)
        random(f"blk.{layer}.ffn_up.weight", INNER, WIDTH)
        random(f"blk.{layer}.ffn_down.weight", WIDTH, INNER)


def _normal(dice: np.random.Generator, *shape: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    return (dice.standard_normal(shape) * 0.3).astype(np.float32)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
