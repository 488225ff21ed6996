"""ConfigMaps that are the platform's: a floor, a price book. Each has one entry, which is YAML of a form of ours.

They are no kinds of ours, so that whoever may write our kinds everywhere may still not write them.
"""

from collections.abc import Mapping
from typing import Any

from byway_operator.resources.yaml_text import NotReadable, documents_of


class NoEntry(ValueError):
    """The ConfigMap has no entry that could be read."""


def unfolded(body: Mapping[str, Any], entry: str, content: str, example: str) -> Mapping[str, Any]:
    """A ConfigMap with what its one entry says under `content`. Raises NoEntry."""
    data = body.get("data")
    text = data.get(entry) if isinstance(data, Mapping) else None
    if not isinstance(data, Mapping) or not isinstance(text, str) or len(data) != 1 or body.get("binaryData"):
        raise NoEntry(f"data: want one entry, {entry}, and no other")
    try:
        documents = documents_of(text.encode(errors="surrogatepass"), json=False)
    except NotReadable as error:
        raise NoEntry(f"data[{entry}], line {error.line}: {error.message}") from error
    if len(documents) != 1:
        raise NoEntry(f"data[{entry}]: want one document: {example}")
    kept = {name: body[name] for name in ("apiVersion", "kind", "metadata") if name in body}
    return {**kept, content: documents[0].value}


def says(body: Mapping[str, Any], label: str) -> bool:
    """Whether its owner says by a label that it is the platform's."""
    metadata = body.get("metadata")
    labels = metadata.get("labels") if isinstance(metadata, Mapping) else None
    return isinstance(labels, Mapping) and labels.get(label) == "true"
