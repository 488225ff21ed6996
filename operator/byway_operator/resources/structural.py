"""A model's JSON schema as an API server takes it: structural, without references, everything in its place.

pydantic writes JSON Schema of 2020, Kubernetes reads a part of OpenAPI 3.0. What differs:

    $ref, $defs                  put in where it is used; a model within itself is refused
    anyOf [X, null]              X, which is simply not required; any other choice is refused: say it with a Rule
    const                        an enum of one
    exclusiveMinimum: n          minimum: n, exclusiveMinimum: true
    default                      dropped: a server would write it into users' objects, and GitOps see drift
    additionalProperties: false  dropped: a server's field validation says it better
    additionalProperties: true   x-kubernetes-preserve-unknown-fields, as for a value of any type
    title, examples              dropped: noise in `kubectl explain`

A keyword that is in no list is refused rather than passed on or lost.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

OPEN: Mapping[str, Any] = {"x-kubernetes-preserve-unknown-fields": True}
RULES = "x-kubernetes-validations"

_KEPT = frozenset(
    {
        *("type", "format", "enum", "required", "minimum", "maximum", "minLength", "maxLength"),
        *("minItems", "maxItems", "minProperties", "maxProperties", RULES, *OPEN),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-int-or-string"),
    }
)
_DROPPED = frozenset({"$defs", "default", "title", "examples"})


class Unstructural(ValueError):
    """A model that says what no API server takes. Names the place, the keyword and the way out."""


def structural(model: type[BaseModel]) -> Schema:
    """The schema of a model, by its aliases. Raises Unstructural."""
    whole = model.model_json_schema(by_alias=True)
    return _Inlining(whole.get("$defs", {})).node(whole, model.__name__, ())


class _Inlining:
    def __init__(self, definitions: Mapping[str, Schema]) -> None:
        self._definitions = definitions

    def node(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        """`within` names the definitions around this place."""
        if "$ref" in schema:
            return self._inlined(schema, path, within)
        if "anyOf" in schema:
            return self._one_of(schema, path, within)
        made = dict(pair for name in schema for pair in self._keyword(name, schema[name], path, within))
        return _in_order(made if made.keys() - {"description"} else {**made, **OPEN})

    def _inlined(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        name = schema["$ref"].rpartition("/")[2]
        if name in within:
            raise Unstructural(f"{path}: {name} holds itself, which no CRD can say; end it at some depth")
        return _over(self.node(self._definitions[name], path, (*within, name)), self._beside("$ref", schema, path))

    def _one_of(self, schema: Schema, path: str, within: tuple[str, ...]) -> Schema:
        choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
        if len(choices) != 1:
            raise Unstructural(f"{path}: a choice of types; want optional fields side by side and a Rule")
        return _over(self.node(choices[0], path, within), self._beside("anyOf", schema, path))

    def _beside(self, keyword: str, schema: Schema, path: str) -> Schema:
        """What the place itself says, beside what it refers to."""
        others = [name for name in schema if name != keyword]
        return dict(pair for name in others for pair in self._keyword(name, schema[name], path, ()))

    def _keyword(self, name: str, value: Any, path: str, within: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        match name, value:
            case ("description", _):
                yield name, _paragraphs(value)
            case ("properties", _):
                yield name, {field: self.node(inner, f"{path}.{field}", within) for field, inner in value.items()}
            case ("items", _):
                yield name, self.node(value, f"{path}[]", within)
            case ("additionalProperties", True):
                yield from OPEN.items()
            case ("additionalProperties", dict()):
                yield name, self.node(value, f"{path}.*", within)
            case ("const", _):
                yield "enum", [value]
            case ("exclusiveMinimum" | "exclusiveMaximum", _):
                yield from ((name.removeprefix("exclusive").lower(), value), (name, True))
            case ("uniqueItems", True):
                yield "x-kubernetes-list-type", "set"
            case _ if name in _KEPT:
                yield name, _copied(value)
            case _ if name not in _DROPPED and (name, value) != ("additionalProperties", False):
                raise Unstructural(f"{path}: {name} has no place in a CRD; want bounds, an enum, Matches or a Rule")


def _over(inner: Schema, outer: Schema) -> Schema:
    """Both; the outer description wins. Two lists of rules have not met yet: one would be lost."""
    assert not (RULES in inner and RULES in outer), (inner[RULES], outer[RULES])
    return _in_order({**inner, **outer})


def _in_order(schema: Schema) -> Schema:
    """What it is, then all else."""
    return {name: schema[name] for name in ("description", "type") if name in schema} | schema


def _copied(value: Any) -> Any:
    # A list or rule used at two places would become an anchor and an alias in YAML.
    if isinstance(value, list):
        return [_copied(item) for item in value]
    return dict(value) if isinstance(value, dict) else value


def _paragraphs(text: str) -> str:
    """Without the line breaks that only the width of our source asked for."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.split("\n\n"))
