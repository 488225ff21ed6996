"""The text of one file: what is taken from it, and what is said when it cannot be."""

import json
import time
from typing import Any

import pytest
import yaml
from byway_operator.resources.yaml_text import MOST_VALUES, documents_of
from byway_operator.watch.documents import Reading, read_documents
from byway_operator.watch.inventory import Inventory
from hypothesis import given, settings
from hypothesis import strategies as st

ROUTE = "apiVersion: byway.dev/v1alpha1\nkind: ModelRoute\nmetadata: {name: a}\n"


def reading(text: str | bytes, file: str = "a.yaml") -> Reading:
    return read_documents(file, text if isinstance(text, bytes) else text.encode())


def told(text: str | bytes, file: str = "a.yaml") -> str:
    (problem,) = reading(text, file).problems
    return f"{problem.place}: {problem.message}"


def value(text: str, *, is_json: bool = False) -> Any:
    (document,) = documents_of(text.encode(), json=is_json)
    return document.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n\tb: 1\n", "a.yaml:2: a tab; YAML is indented by spaces"),
        ("a: [1\n", "a.yaml:1: a bracket that is not closed, or a comma that is missing"),
        ("a: 'x\n", "a.yaml:1: a quote that is opened and never closed"),
        ('a: "\\q"', "a.yaml:1: a backslash that means nothing within double quotes; use single quotes"),
        ("a: b: c", "a.yaml:1: a second colon in one line; put the value in quotes, or indent it"),
        ("a: b\n  c: d\n", "a.yaml:2: a second colon in one line; put the value in quotes, or indent it"),
        ("a:\n  b: 1\n c: 2\n", "a.yaml:3: the indentation does not fit the lines above"),
        ("a: @b", "a.yaml:1: a value that starts with a sign YAML keeps for itself; put it in quotes"),
        (
            "a: *b",
            "a.yaml:1: an alias (`*…`) without its anchor (`&…`) above; put the value in quotes if it is none",
        ),
        ("a: 1\nb: 2\na: 3", 'a.yaml:3: "a" is here twice (first on line 1); take one out'),
        ("a: !b c", "a.yaml:1: a YAML tag (`!…`) has no meaning here; take it out"),
        ("a: !!binary aGk=", "a.yaml:1: a YAML tag (`!…`) has no meaning here; take it out"),
        ("{{ .Values.a }}: b", "a.yaml:1: a key must be a word; put quotes around it (is this a template?)"),
        ("a: .inf", "a.yaml:1: infinity and not-a-number cannot be sent; put it in quotes if it is a name"),
        ("a: 1e999", "a.yaml:1: a number too large; put it in quotes if it is a name"),
        (b"a: 1\nb: \xff", "a.yaml:2: not UTF-8; save it as UTF-8"),
        ("a: 1\nb: \x01", "a.yaml:2: a character that YAML does not allow; take it out"),
        ("[" * 70 + "]" * 70, "a.yaml:1: nested deeper than 64 levels; flatten it"),
        ("a: &a [*a]", "a.yaml:1: nested deeper than 64 levels; flatten it"),
        ("- a", "a.yaml:1: no object: want apiVersion, kind, metadata and spec"),
        ("a: 1", "a.yaml:1: apiVersion: required, as in `apiVersion: byway.dev/v1alpha1`, `kind: ModelRoute`"),
        (
            ROUTE.replace("ModelRoute", "ModelRuote"),
            'a.yaml:2: kind: no kind "ModelRuote"; did you mean ModelRoute?',
        ),
        (
            ROUTE.replace("v1alpha1", "v1"),
            'a.yaml:1: apiVersion: "byway.dev/v1" is not read by this version; want byway.dev/v1alpha1',
        ),
        (ROUTE.replace("byway.dev/v1alpha1", "v1"), "a.yaml:1: apiVersion: ModelRoute is of byway.dev/v1alpha1"),
        (
            ROUTE.replace("byway", "bywy").replace("Route", "Rout"),
            "a.yaml:1: apiVersion: did you mean byway.dev/v1alpha1?",
        ),
        ("apiVersion: v1\nkind: Secrt", 'a.yaml:2: kind: no kind "Secrt" in v1; did you mean Secret?'),
        (
            ROUTE.replace("{name: a}", "{}"),
            "a.yaml:3: metadata.name: required; a generated name has no meaning in a folder",
        ),
        (
            ROUTE.replace("name: a", "name: A_b"),
            "a.yaml:3: metadata.name: want lower-case letters, digits, dashes and dots, at most 253 "
            "(a number goes in quotes)",
        ),
        (
            ROUTE.replace("name: a", "name: a, namespace: a.b"),
            "a.yaml:3: metadata.namespace: want lower-case letters, digits and dashes, at most 63; "
            "leave it out for default",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_the_way_out(text: str | bytes, said: str) -> None:
    assert told(text) == said


@pytest.mark.parametrize(
    "text",
    [
        "a: *sk-hidden",
        "a: 'sk-hidden",
        "a: &sk-hidden 1\nb: &sk-hidden 2",
        "a: !sk-hidden b",
        "a: sk-hidden: b: c",
        "a: [sk-hidden",
        "a: %sk-hidden\n @",
        "sk-hidden\n  - a:",
        "a: sk-hidden\n\tb",
    ],
)
def test_no_message_repeats_a_value_of_the_file(text: str) -> None:
    assert "sk-hidden" not in told(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("yes", True),
        ("off", False),
        ("~", None),
        ("010", 8),
        ("0o10", 8),
        ("08", 8),
        ("0x1f", 31),
        ("-0b11", -3),
        ("1_000", 1000),
        ("+3", 3),
        ("1e3", 1000),
        ("1.0", 1),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("'5'", "5"),
        ("!!str 5", "5"),
        ("!!int '7'", 7),
        ("9" * 65, "9" * 65),
    ],
)
def test_a_word_means_what_it_means_behind_kubectl_apply(text: str, meant: object) -> None:
    found = value(f"a: {text}")["a"]
    assert (type(found), found) == (type(meant), meant)


def test_anchors_and_merges_work() -> None:
    assert value("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: *a") == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 3},
        "c": {"x": 1, "y": 2},
    }


def test_a_billion_laughs_end_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    started = time.process_time()
    assert told("\n".join(lines)).endswith(
        f"aliases unfold to more than {MOST_VALUES} values; write it out or split it"
    )
    assert time.process_time() - started < 5


def test_documents_lists_and_strangers_are_told_apart() -> None:
    text = (
        "---\n# nothing\n---\napiVersion: v1\nkind: List\nitems:\n"
        "- apiVersion: byway.dev/v1alpha1\n  kind: ModelRoute\n"
        "  metadata: {name: a}\n  spec: {x: 1}\n- apiVersion: v1\n  kind: Secret\n"
        "  metadata: {name: b, namespace: team-b}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n---\n"
        "apiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: key}\n"
    )
    found = reading(text)
    assert found.problems == ()
    assert [(str(m.key), str(m.place)) for m in found.manifests] == [
        ("ModelRoute default/a", "a.yaml:7"),
        ("Secret team-b/b", "a.yaml:11"),
    ]
    place = found.manifests[0].place
    assert place is not None
    assert place.of("spec.x").line == 10
    assert place.of("spec.missing[3].x").line == 10
    assert found.passed_over == ("Deployment web", "ExternalSecret key")


def test_json_may_be_indented_by_tabs_and_hold_any_character() -> None:
    text = '{\n\t"apiVersion":\t"byway.dev/v1alpha1",\n\t"kind": "ModelRoute",\n\t"metadata": {"name": "a"},\n'
    found = reading(text + '\t"spec": {"displayName": "\\ud83d\\ude00 \\\\ud83d"}}', "a.json")
    (manifest,) = found.manifests
    assert manifest.body["spec"] == {"displayName": "😀 \\ud83d"}
    assert manifest.place is not None
    assert manifest.place.of("spec.displayName").line == 5


plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False, width=32).filter(lambda number: not number.is_integer())
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(plain)
def test_json_is_read_as_it_was_written(thing: Any) -> None:
    if thing is not None:
        assert value(json.dumps(thing), is_json=True) == thing
        assert value(json.dumps(thing, indent=1, ensure_ascii=False), is_json=True) == thing


def plainly_text(thing: Any) -> bool:
    """Whether no string in it is one that PyYAML leaves bare and kubectl takes for a number or a boolean."""
    if isinstance(thing, str):
        return not thing[:1].isdigit() and thing[:1] not in "+-." and thing.lower() not in ("y", "n")
    if isinstance(thing, dict):
        return all(plainly_text(inner) for inner in thing.values())
    return not isinstance(thing, list) or all(map(plainly_text, thing))


@settings(max_examples=150, deadline=None)
@given(plain.filter(plainly_text))
def test_yaml_is_read_as_it_was_written(thing: Any) -> None:
    assert value(yaml.safe_dump({"a": thing}, allow_unicode=True)) == {"a": thing}


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80) | st.text("ab:-[]{}&*!|>'\"%@` \n\t#?,<0~", max_size=60).map(str.encode))
def test_no_bytes_whatever_are_more_than_a_problem(payload: bytes) -> None:
    for file in ("a.yaml", "a.json"):
        found = read_documents(file, payload)
        last = max(len(payload.decode("utf-8", "replace").splitlines()), 1)
        assert all(1 <= problem.place.line <= last for problem in found.problems)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), st.integers(0, 3))
def test_every_field_has_its_own_line(names: list[str], blanks: int) -> None:
    gap = "\n" * blanks
    text = ROUTE + "spec:\n  endpoints:\n" + "".join(f"{gap}  - name: {name}\n    model: m\n" for name in names)
    (manifest,) = reading(text).manifests
    lines = text.splitlines()
    assert manifest.place is not None
    for index, name in enumerate(names):
        path = f"spec.endpoints[{index}]"
        assert lines[manifest.place.of(path).line - 1] == f"  - name: {name}"
        assert lines[manifest.place.of(f"{path}.model").line - 1] == "    model: m"


def test_a_folder_says_namespaces_labels_the_floor_and_the_price_book() -> None:
    text = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: team-a, labels: {data: patients}}\n---\n"
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: byway-floor, labels: {byway.dev/floor: "true"}}\n'
        "data: {floor.yaml: 'floors: []'}\n---\n"
        'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: byway-prices, labels: {byway.dev/price-book: "true"}}\n'
        "data: {prices.yaml: 'prices: []'}\n---\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}\n"
    )
    reading = read_documents("a.yaml", text.encode())
    assert [str(manifest.key) for manifest in reading.manifests] == [
        "Namespace /team-a",
        "ConfigMap default/byway-floor",
        "ConfigMap default/byway-prices",
    ]
    assert reading.passed_over == ("ConfigMap other",)
    inventory = Inventory()
    inventory.read("a.yaml", reading)
    world = inventory.world()
    assert world.surroundings.namespaces == {
        "team-a": {"data": "patients", "kubernetes.io/metadata.name": "team-a"}
    }
    assert [key.kind for key in world.manifests] == ["ConfigMap", "ConfigMap"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: byway-floor}\n",
            'metadata.labels: want byway.dev/floor: "true"; a cluster takes it for no floor without',
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: byway-prices}\n",
            'metadata.labels: want byway.dev/price-book: "true"; a cluster takes it for no price book without',
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: byway-fees}\n",
            'metadata.labels: want byway.dev/fees: "true"; a cluster takes it for no fees without',
        ),
        (
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: a, labels: {x: true}}\n",
            "metadata.labels: want words; numbers and true go in quotes",
        ),
    ],
)
def test_a_floor_or_a_label_that_would_not_count_is_told(text: str, said: str) -> None:
    assert told(text) == f"a.yaml:3: {said}"
