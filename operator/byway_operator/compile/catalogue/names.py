"""The public id of a model, `author/model`, the same at every provider that offers it: so they fail over by
themselves.

The vocabulary is OpenRouter's, which is what clients already write. An upstream id becomes one of its words only
where nothing but spelling differs (`claude-haiku-4-5` and `claude-haiku-4.5`; `kimi-k2p5` and `kimi-k2.5`) or
where a person wrote it down in ALIASES. Otherwise it keeps a name of its own: two models taken for one is worse
than one model under two names. Fine-tunes, speed tiers and quantised copies are models of their own.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

AUTHORS = {
    "ai21-labs": "ai21",
    "cohereforai": "cohere",
    "deepseek-ai": "deepseek",
    "meta": "meta-llama",
    "meta-models": "meta",
    "minimaxai": "minimax",
    "mistral-ai": "mistralai",
    "stepfun-ai": "stepfun",
    "xai": "x-ai",
    "xiaomimimo": "xiaomi",
    "zai-org": "z-ai",
    "alibaba": "qwen",
    "moonshot": "moonshotai",
    "bytedance": "bytedance-seed",
}
"""How others spell an author of OpenRouter's vocabulary."""

_LLAMA_33, _LLAMA_31_8B = "meta-llama/llama-3.3-70b-instruct", "meta-llama/llama-3.1-8b-instruct"
_MAVERICK, _SCOUT = "meta-llama/llama-4-maverick", "meta-llama/llama-4-scout"

ALIASES = {
    # The same weights under a host's own name; checked by hand against the hosts' model lists.
    "llama-3.3-70b-versatile": _LLAMA_33,
    "llama-3.3-70b": _LLAMA_33,
    "meta-llama-3_3-70b-instruct": _LLAMA_33,
    "meta-llama-3.3-70b-instruct": _LLAMA_33,
    "meta-llama/llama-3.3-70b-instruct-turbo": _LLAMA_33,
    "accounts/fireworks/models/llama-v3p3-70b-instruct": _LLAMA_33,
    "llama-3.1-8b-instant": _LLAMA_31_8B,
    "llama3.1-8b": _LLAMA_31_8B,
    "meta-llama-3.1-8b-instruct": _LLAMA_31_8B,
    "meta/meta-llama-3.1-8b-instruct": _LLAMA_31_8B,
    "meta-llama/meta-llama-3.1-8b-instruct": _LLAMA_31_8B,
    "accounts/fireworks/models/llama-v3p1-8b-instruct": _LLAMA_31_8B,
    "meta-llama-3.1-70b-instruct": "meta-llama/llama-3.1-70b-instruct",
    "meta/meta-llama-3.1-70b-instruct": "meta-llama/llama-3.1-70b-instruct",
    "meta-llama-3.1-405b-instruct": "meta-llama/llama-3.1-405b-instruct",
    "meta/meta-llama-3.1-405b-instruct": "meta-llama/llama-3.1-405b-instruct",
    "llama-4-maverick-17b-128e-instruct-fp8": _MAVERICK,
    "meta/llama-4-maverick-17b-128e-instruct": _MAVERICK,
    "meta/llama-4-maverick-17b-128e-instruct-fp8": _MAVERICK,
    "meta-llama/llama-4-maverick-17b-128e-instruct": _MAVERICK,
    "meta-llama/llama-4-maverick-17b-128e-instruct-fp8": _MAVERICK,
    "llama-4-scout-17b-16e-instruct": _SCOUT,
    "meta/llama-4-scout-17b-16e-instruct": _SCOUT,
    "meta-llama/llama-4-scout-17b-16e-instruct": _SCOUT,
    "deepseek-ai/deepseek-v3-0324": "deepseek/deepseek-chat-v3-0324",
    "deepseek/deepseek-v3-0324": "deepseek/deepseek-chat-v3-0324",
    "deepseek-v3-0324": "deepseek/deepseek-chat-v3-0324",
    "deepseek-ai/deepseek-v3.1": "deepseek/deepseek-chat-v3.1",
    "deepseek-ai/deepseek-v3-1": "deepseek/deepseek-chat-v3.1",
    "deepseek/deepseek-v3.1": "deepseek/deepseek-chat-v3.1",
    "deepseek-v3.1": "deepseek/deepseek-chat-v3.1",
    "accounts/fireworks/models/deepseek-v3p1": "deepseek/deepseek-chat-v3.1",
    "zai-glm-4.7": "z-ai/glm-4.7",
    "z-ai/glm4.7": "z-ai/glm-4.7",
    "qwen/qwen3-235b-a22b-instruct-2507": "qwen/qwen3-235b-a22b-2507",
    "qwen3-235b-a22b-instruct-2507": "qwen/qwen3-235b-a22b-2507",
    "qwen-3-235b-a22b-instruct-2507": "qwen/qwen3-235b-a22b-2507",
    "qwen/qwen3-coder-480b-a35b-instruct": "qwen/qwen3-coder",
    "qwen/qwen2.5-72b-instruct": "qwen/qwen-2.5-72b-instruct",
    "qwen/qwen2.5-7b-instruct": "qwen/qwen-2.5-7b-instruct",
    "qwen/qwen2.5-coder-32b-instruct": "qwen/qwen-2.5-coder-32b-instruct",
    "qwen3-32b": "qwen/qwen3-32b",
    "moonshotai/kimi-k2-instruct": "moonshotai/kimi-k2",
    "moonshotai/kimi-k2-instruct-0905": "moonshotai/kimi-k2-0905",
    "accounts/fireworks/models/kimi-k2-instruct": "moonshotai/kimi-k2",
    "kimi-k2-0711-preview": "moonshotai/kimi-k2",
    "kimi-k2-0905-preview": "moonshotai/kimi-k2-0905",
    "command-a-03-2025": "cohere/command-a",
    "command-r7b-12-2024": "cohere/command-r7b-12-2024",
    "gemma2-9b-it": "google/gemma-2-9b-it",
    "mistral-nemo-instruct-2407": "mistralai/mistral-nemo",
    "mistral-small-3.2-24b-instruct-2506": "mistralai/mistral-small-3.2-24b-instruct",
    "mistral-small-2506": "mistralai/mistral-small-3.2-24b-instruct",
    "mistral-medium-2508": "mistralai/mistral-medium-3.1",
    "mistral-medium-2505": "mistralai/mistral-medium-3",
    "claude-opus-4-0": "anthropic/claude-opus-4",
    "claude-sonnet-4-0": "anthropic/claude-sonnet-4",
    "claude-3-7-sonnet-20250219": "anthropic/claude-3.7-sonnet",
    "claude-3-5-haiku-20241022": "anthropic/claude-3.5-haiku",
    "claude-3-haiku-20240307": "anthropic/claude-3-haiku",
    "gpt-5-chat-latest": "openai/gpt-5-chat",
    "gpt-5.1-chat-latest": "openai/gpt-5.1-chat",
    "gpt-5.2-chat-latest": "openai/gpt-5.2-chat",
    "gpt-5.3-chat-latest": "openai/gpt-5.3-chat",
}
"""Upstream id, in lower case → public id."""

FIRST_PARTY = {
    # Authors of bare names (`gpt-5`, `kimi-k2.5`) where a host lists many authors' models without saying whose.
    "claude": "anthropic",
    "cohere-command": "cohere",
    "deepseek": "deepseek",
    "gemma": "google",
    "glm": "z-ai",
    "gpt": "openai",
    "grok": "x-ai",
    "kimi": "moonshotai",
    "llama": "meta-llama",
    "minimax": "minimax",
    "mistral": "mistralai",
    "ministral": "mistralai",
    "o1": "openai",
    "o3": "openai",
    "o4": "openai",
    "phi": "microsoft",
    "qwen": "qwen",
}


@dataclass(frozen=True)
class Vocabulary:
    """Known public ids by their spelling without its accidents; an ambiguous spelling is nobody's."""

    by_spelling: Mapping[str, str]

    @classmethod
    def of(cls, known: Iterable[str]) -> "Vocabulary":
        spellings: dict[str, set[str]] = {}
        for name in known:
            spellings.setdefault(_spelling(name), set()).add(name)
        return cls({spelling: min(names) for spelling, names in spellings.items() if len(names) == 1})


def public_id(upstream: str, provider: str, author: str, vocabulary: Vocabulary) -> str | None:
    """The model's public id; None for what cannot be called by one: variants (`:free`), moving aliases (`~…`).

    `author` is the provider's own, for upstream ids that name none.
    """
    name = upstream.lower()
    if ":" in name or name.startswith("~") or "/routers/" in name:
        return None
    if name in ALIASES:
        return ALIASES[name]
    name = name.removeprefix("accounts/fireworks/models/")
    whose, _, slug = name.rpartition("/")
    as_written = vocabulary.by_spelling.get(_spelling(name)) if whose else None
    if as_written is not None:
        return as_written
    whose = AUTHORS.get(whose, whose) or author or _author_of(slug) or provider
    return vocabulary.by_spelling.get(_spelling(f"{whose}/{slug}"), f"{whose}/{slug}")


def _author_of(slug: str) -> str:
    return next((author for stem, author in FIRST_PARTY.items() if slug.startswith(stem)), "")


def _spelling(name: str) -> str:
    """`kimi-k2p5`, `kimi-k2.5` and `kimi-k2-5` are one spelling."""
    return re.sub(r"[._]", "-", re.sub(r"(?<=\d)p(?=\d)", "-", name))
