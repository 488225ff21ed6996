"""The lists in our guides are those of the code; `--accept` writes them anew."""

import types
from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

import pytest
from builders.desk import ROOT
from builders.guides import keep_fresh
from byway_operator.compile.catalogue.catalogue import Catalogue, Provider, load
from byway_operator.resources.access_key import AccessKeySpec
from byway_operator.resources.budget import BudgetSpec
from byway_operator.resources.common import Part
from byway_operator.resources.model_route import ModelRouteSpec
from byway_operator.resources.provider_key import ProviderKeySpec

GUIDES = ROOT / "docs/guides"


@pytest.fixture
def accept(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--accept"))


def test_every_provider_is_listed(accept: bool) -> None:
    catalogue = load()
    rows = [_provider(catalogue, provider) for _, provider in sorted(catalogue.providers.items())]
    lines = ["| provider | is | API | models |", "|---|---|---|---|", *rows]
    keep_fresh(GUIDES / "providers.md", "providers", lines, accept)


@pytest.mark.parametrize(
    "spec", [ProviderKeySpec, ModelRouteSpec, BudgetSpec, AccessKeySpec], ids=lambda spec: spec.__name__
)
def test_every_field_of_a_kind_is_listed(spec: type[Part], accept: bool) -> None:
    lines = ["| field of `spec` | |", "|---|---|", *_fields(spec, "")]
    keep_fresh(GUIDES / "resources.md", f"fields of {spec.__name__.removesuffix('Spec')}", lines, accept)


def _provider(catalogue: Catalogue, provider: Provider) -> str:
    models = len({offer.model for offer in catalogue.models(provider.slug).values()})
    known = "not done yet" if provider.planned else str(models or "by models[]")
    where = f"`{provider.base_url}`" if provider.base_url else "-" if provider.planned else "yours"
    return f"| `{provider.slug}` | {provider.display_name} | {where} | {known} |"


def _fields(part: type[Part], above: str) -> Iterator[str]:
    for name, field in part.model_fields.items():
        inner, many = _inside(field.annotation)
        path = f"{above}{field.alias or name}{'[]' if many and inner else ''}"
        said = " ".join((field.description or "").split())
        needed = "**Required.** " if field.is_required() else ""
        yield f"| `{path}` | {needed}{said} |"
        if inner is not None:
            yield from _fields(inner, f"{path}.")


def _inside(annotation: Any) -> tuple[type[Part] | None, bool]:
    """The part that a field holds, if it holds any, and whether it holds many."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        return annotation, False
    if get_origin(annotation) in (tuple, Union, types.UnionType, Annotated):
        for inside in get_args(annotation):
            found, _ = _inside(inside)
            if found is not None:
                return found, get_origin(annotation) is tuple
    return None, False
