"""A kind's CustomResourceDefinition, made of its model, of what its status holds and of its columns."""

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

from byway_operator.resources.access_key import AccessKey
from byway_operator.resources.budget import Budget
from byway_operator.resources.model_route import ModelRoute
from byway_operator.resources.provider_key import ProviderKey
from byway_operator.resources.structural import structural
from byway_operator.tell.columns import Column, columns
from byway_operator.tell.statuses import status_model

Model = type[ModelRoute] | type[ProviderKey] | type[Budget] | type[AccessKey]

GROUP, VERSION = "byway.dev", "v1alpha1"
MODELS: Mapping[str, Model] = {
    "ModelRoute": ModelRoute,
    "ProviderKey": ProviderKey,
    "Budget": Budget,
    "AccessKey": AccessKey,
}
# kstatus, and so Flux and `kubectl wait`, take an object for done as long as nobody has looked at it; with a
# generation that never was it is in progress. The one default there is: users do not write a status.
NOBODY_LOOKED = {"observedGeneration": -1}


def crd(kind: str) -> dict[str, Any]:
    """`kind` is one of MODELS. In the order in which people read it, and fresh at each call."""
    plural = plural_of(kind)
    names = {
        "kind": kind,
        "listKind": f"{kind}List",
        "plural": plural,
        "singular": kind.lower(),
        "shortNames": [MODELS[kind].short_name],
        "categories": ["byway"],
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [_version(kind)]},
    }


def plural_of(kind: str) -> str:
    return f"{kind.lower()}s"


def file_of(kind: str) -> str:
    """The file it is kept in, as controller-gen names them."""
    return f"{GROUP}_{plural_of(kind)}.yaml"


def _version(kind: str) -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_printed(column) for column in columns(kind)],
        "schema": {"openAPIV3Schema": _object(kind)},
    }


def _printed(column: Column) -> dict[str, Any]:
    said: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**said, "priority": 1} if column.wide else said


def _object(kind: str) -> dict[str, Any]:
    model = MODELS[kind]
    said = cleandoc(model.__doc__ or "")
    spec = model.model_fields["spec"].annotation
    assert isinstance(spec, type), kind
    return {
        "type": "object",
        "description": said,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string", "description": f"{GROUP}/{VERSION}"},
            "kind": {"type": "string", "description": kind},
            "metadata": {"type": "object"},
            "spec": structural(spec),
            "status": {**structural(status_model(kind)), "default": dict(NOBODY_LOOKED)},
        },
    }
