"""Hold an object against the schema that a cluster publishes of its kind. Pure.

For who has no right to let the server judge. A cluster's definitions may be older or newer than this program: what
they lack and what they do not take is found here. Their CEL rules are not run; ours say the same in this version.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}


def schema_of(document: Mapping[str, Any], kind: str) -> Schema | None:
    """Of a kind's `spec`, in the OpenAPI document of its group."""
    schemas = (document.get("components") or {}).get("schemas") or {}
    for schema in schemas.values():
        named = schema.get("x-kubernetes-group-version-kind") or ()
        if any(one.get("kind") == kind for one in named):
            spec: Schema | None = (schema.get("properties") or {}).get("spec")
            return spec
    return None


def faults(value: object, schema: Schema, path: str = "spec") -> Iterator[str]:
    type_ = str(schema.get("type"))
    if type_ in _TYPES and (not isinstance(value, _TYPES[type_]) or (type_ != "boolean" and value is True)):
        yield f"{path}: want {type_}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r} is not known to the cluster; it takes {', '.join(map(str, schema['enum']))}"
    match value:
        case dict():
            yield from _members(value, schema, path)
        case list():
            yield from _within(len(value), "Items", schema, path)
            for index, item in enumerate(value):
                yield from faults(item, schema.get("items") or {}, f"{path}[{index}]")
        case str():
            yield from _within(len(value), "Length", schema, path)
        case int() | float():
            yield from _within(value, "imum", schema, path)


def _members(value: Mapping[str, object], schema: Schema, path: str) -> Iterator[str]:
    known = schema.get("properties")
    for name in schema.get("required") or ():
        if name not in value:
            yield f"{path}.{name}: required"
    for name, inner in value.items():
        if known is not None and name in known:
            yield from faults(inner, known[name], f"{path}.{name}")
        elif isinstance(schema.get("additionalProperties"), Mapping):
            yield from faults(inner, schema["additionalProperties"], f"{path}.{name}")
        elif known is not None and not schema.get("x-kubernetes-preserve-unknown-fields"):
            yield f"{path}.{name}: the cluster's definition has no such field and would drop it; upgrade it first"


def _within(size: float, what: str, schema: Schema, path: str) -> Iterator[str]:
    least, most = schema.get(f"min{what}"), schema.get(f"max{what}")
    if least is not None and size < least:
        yield f"{path}: want at least {least}"
    if most is not None and size > most:
        yield f"{path}: want at most {most}"
