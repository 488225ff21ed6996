"""The CustomResourceDefinitions keep the rules an API server has for them, and say what a person asks.

These are the rules as we know them, checked on the documents. No API server has been asked here: whether one takes
them, and what its CEL cost estimate says, is for a test against a real one.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
import yaml
from builders.desk import ROOT
from byway_operator.resources.common import Part
from byway_operator.resources.structural import Unstructural, structural
from byway_operator.tell.columns import columns
from byway_operator.tell.crds import MODELS, crd, file_of
from pydantic import Field

Schema = dict[str, Any]
CHILDREN = ("items", "additionalProperties")
every_kind = pytest.mark.parametrize("kind", MODELS)


def version(kind: str) -> Schema:
    (only,) = crd(kind)["spec"]["versions"]
    assert isinstance(only, dict)
    return only


def root(kind: str) -> Schema:
    found = version(kind)["schema"]["openAPIV3Schema"]
    assert isinstance(found, dict)
    return found


def nodes(schema: Schema, path: str) -> Iterator[tuple[str, Schema]]:
    """Every schema within, with its path. Field names are no keywords: `items` may be one."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from nodes(inner, f"{path}.{name}")
    for keyword in CHILDREN:
        if keyword in schema:
            yield from nodes(schema[keyword], f"{path}.{keyword}")


def spec_nodes(kind: str) -> list[tuple[str, Schema]]:
    return list(nodes(root(kind)["properties"]["spec"], "spec"))


@every_kind
def test_a_kind_is_found_by_its_names(kind: str) -> None:
    made = crd(kind)
    plural = {"ModelRoute": "modelroutes", "ProviderKey": "providerkeys", "Budget": "budgets",
              "AccessKey": "accesskeys"}[kind]  # fmt: skip
    short = {"ModelRoute": "mr", "ProviderKey": "pk", "Budget": "bdg", "AccessKey": "ak"}[kind]
    assert (made["apiVersion"], made["kind"]) == ("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    assert made["metadata"]["name"] == f"{plural}.byway.dev"
    assert (made["spec"]["group"], made["spec"]["scope"]) == ("byway.dev", "Namespaced")
    assert made["spec"]["names"] == {
        "kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower(),
        "shortNames": [short], "categories": ["byway"],
    }  # fmt: skip
    assert (version(kind)["name"], version(kind)["served"], version(kind)["storage"]) == ("v1alpha1", True, True)
    assert version(kind)["subresources"] == {"status": {}}


@every_kind
def test_the_schema_is_structural(kind: str) -> None:
    allowed = {
        *("description", "type", "format", "enum", "required", "properties", *CHILDREN, "default"),
        *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties"),
        *("x-kubernetes-validations", "x-kubernetes-preserve-unknown-fields"),
        *("x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    }
    for path, schema in nodes(root(kind), kind):
        if schema.get("x-kubernetes-int-or-string"):
            # Which an API server wants to have no type, and which is for nobody to write.
            assert (schema.keys() - {"description"}, "status" in path) == ({"x-kubernetes-int-or-string"}, True), (
                path
            )
            continue
        assert schema.keys() <= allowed, path
        assert schema["type"] in ("object", "array", "string", "integer", "boolean"), path
        assert ("items" in schema) == (schema["type"] == "array"), path
        assert not ("properties" in schema and "additionalProperties" in schema), path
        assert isinstance(schema.get("additionalProperties", {}), dict), path
        assert set(schema.get("required", ())) <= schema.get("properties", {}).keys(), path


@every_kind
def test_the_only_default_is_that_nobody_has_looked_yet(kind: str) -> None:
    defaults = {path: schema["default"] for path, schema in nodes(root(kind), kind) if "default" in schema}
    assert defaults == {f"{kind}.status": {"observedGeneration": -1}}


@every_kind
def test_every_value_has_a_bound(kind: str) -> None:
    status = nodes(root(kind)["properties"]["status"], "status")
    for path, schema in [*spec_nodes(kind), *status]:
        match schema.get("type"):
            case "string":
                assert "maxLength" in schema or "enum" in schema, path
            case "array":
                assert "maxItems" in schema, path
            case "integer":
                assert {"minimum", "maximum"} <= schema.keys() or not path.startswith("spec"), path
            case "object":
                assert "maxProperties" in schema or "properties" in schema, path


@every_kind
def test_kubectl_explain_has_one_flowing_sentence_or_more_for_every_field(kind: str) -> None:
    for path, schema in nodes(root(kind), kind):
        for name, field in schema.get("properties", {}).items():
            if (path, name) != (kind, "metadata"):
                assert re.fullmatch(r"[^\n]+(\n\n[^\n]+)*", field["description"]), f"{path}.{name}"


@every_kind
def test_two_field_managers_lists_become_one_or_one_of_them_wins_by_intent(kind: str) -> None:
    for path, schema in nodes(root(kind), kind):
        if schema.get("type") != "array":
            continue
        items = schema["items"]
        match schema["x-kubernetes-list-type"]:
            case "map":
                (key,) = schema["x-kubernetes-list-map-keys"]
                assert key in items["required"], path
                assert items["properties"][key]["type"] == "string", path
            case "set":
                assert items["type"] == "string", path
            case other:
                assert other == "atomic", path


@every_kind
def test_a_rule_speaks_of_fields_that_are_there_and_says_the_way_out(kind: str) -> None:
    # What CEL cannot have as a field's name without escaping it.
    reserved = {"namespace", "in", "for", "if", "else", "import", "package", "return", "var", "const", "as"}
    for path, schema in spec_nodes(kind):
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule.keys() <= {"rule", "message", "fieldPath"}, path
            assert 0 < len(rule["message"]) <= 2048, path
            assert "\n" not in rule["message"], path
            named = set(re.findall(r"\bself\.(\w+)(?![\w(])", rule["rule"]))
            assert named <= schema.get("properties", {}).keys() - reserved, f"{path}: {rule['rule']}"
            assert rule.get("fieldPath", "").removeprefix(".") in {"", *schema.get("properties", ())}, path


@every_kind
def test_a_pattern_is_one_that_re2_knows(kind: str) -> None:
    for path, schema in spec_nodes(kind):
        for rule in schema.get("x-kubernetes-validations", ()):
            for pattern in re.findall(r"matches\(r(?:'(.*)'|\"(.*)\")\)", rule["rule"]):
                assert not re.search(r"\(\?|\\[1-9Zz]", "".join(pattern)), f"{path}: {pattern}"


def test_the_rules_that_need_several_fields_are_the_servers_too() -> None:
    endpoint = root("ModelRoute")["properties"]["spec"]["properties"]["endpoints"]["items"]
    assert endpoint["x-kubernetes-validations"][0] == {
        "rule": "!(has(self.providerKeyRef) && has(self.serviceRef))",
        "message": "set providerKeyRef or serviceRef, or neither",
        "fieldPath": ".serviceRef",
    }
    usd = root("Budget")["properties"]["spec"]["properties"]["limits"]["items"]["properties"]["usd"]
    assert [rule["message"] for rule in usd["x-kubernetes-validations"]] == [
        'want US dollars as a quoted decimal: "500"'
    ]


@every_kind
def test_kubectl_get_and_byway_get_have_the_same_columns(kind: str) -> None:
    printed = version(kind)["additionalPrinterColumns"]
    assert [(p["name"], p["jsonPath"], p["type"], p.get("priority", 0)) for p in printed] == [
        (column.name, column.path, column.type, int(column.wide)) for column in columns(kind)
    ]
    known = {f".{path}" for path, _ in nodes(root(kind), "")}
    for column in printed:
        field = column["jsonPath"].partition("[")[0]
        assert f".{field}" in known or field == ".metadata.creationTimestamp"


@every_kind
def test_a_status_of_another_version_loses_no_field(kind: str) -> None:
    status = root(kind)["properties"]["status"]
    assert all(schema.get("x-kubernetes-preserve-unknown-fields") for _, schema in nodes(status, "status")
               if schema.get("type") == "object")  # fmt: skip
    conditions = status["properties"]["conditions"]
    assert (conditions["x-kubernetes-list-type"], conditions["x-kubernetes-list-map-keys"]) == ("map", ["type"])


def test_kustomize_is_told_every_file() -> None:
    listed = yaml.safe_load((ROOT / "crds/kustomization.yaml").read_text())["resources"]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "crds").glob("byway.dev_*.yaml"))
    assert sorted(listed) == sorted(map(file_of, MODELS))


def unknown(value: Any, schema: Schema, path: str) -> Iterator[str]:
    """Fields a server would drop, and fields it would miss."""
    if isinstance(value, dict) and "properties" in schema:
        yield from (f"{path}.{name} is missing" for name in set(schema.get("required", ())) - value.keys())
        for name, inner in value.items():
            if name in schema["properties"]:
                yield from unknown(inner, schema["properties"][name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown"
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown(item, schema["items"], f"{path}[{index}]")
    elif "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value}"


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*/resources.yaml")), ids=lambda path: path.parent.name)
def test_an_example_loses_no_field_on_its_way_through_a_server(file: Path) -> None:
    documents = [one for one in yaml.safe_load_all(file.read_text()) if one["kind"] in MODELS]
    assert documents
    for document in documents:
        spec = root(document["kind"])["properties"]["spec"]
        assert list(unknown(document["spec"], spec, "spec")) == []


class Nested(Part):
    """Holds itself."""

    within: Optional["Nested"] = None


class Choice(Part):
    """One of two types."""

    value: int | str


class Patterned(Part):
    """A pattern that nobody wants to read."""

    value: Annotated[str, Field(pattern="^a$")]


class Positive(Part):
    """More than nothing."""

    value: Annotated[int, Field(gt=0)]


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (Nested, "Nested.within: Nested holds itself"),
        (Choice, "Choice.value: a choice of types"),
        (Patterned, "Patterned.value: pattern has no place in a CRD"),
    ],
)
def test_a_model_that_no_server_takes_is_refused_by_name(model: type[Part], said: str) -> None:
    with pytest.raises(Unstructural) as refused:
        structural(model)
    assert said in str(refused.value)


def test_an_open_bound_is_said_as_openapi_3_0_has_it() -> None:
    assert structural(Positive)["properties"]["value"] == {
        "type": "integer",
        "minimum": 0,
        "exclusiveMinimum": True,
    }
