"""Everything the compiler does, as pairs of small files: `<a sentence>.in.yaml` → `<a sentence>.out.yaml`.

`pytest --accept` rewrites what comes out; then read the diff. An in-file holds resources, and may hold documents of
other kinds for the compiler's other arguments:

    {kind: Settings, …}                                    as `Settings` has them
    {kind: HeldBack, manifests: […]}                       last good forms
    {kind: Broken, objects: {"ModelRoute a/b": why}}       whose file is unreadable just now
    {kind: Namespace, metadata: {name: …, labels: …}}      what a selector chooses from
    {kind: Refused, objects: {"ModelRoute a/b": why}}      by a proxy, in its current form
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from byway_operator.compile.catalogue.catalogue import Catalogue, Written, assemble, load
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Compiled, Condition, Refusal, Verdict
from byway_operator.resources.manifest import Key, Manifest, Surroundings

GOLDENS = Path(__file__).parent / "goldens"
CASES = sorted(path.name.removesuffix(".in.yaml") for path in GOLDENS.glob("*.in.yaml"))


@dataclass
class Case:
    world: dict[Key, Manifest]
    held_back: dict[Key, Manifest]
    refused: Mapping[str, str]
    settings: Settings
    surroundings: Surroundings


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    written = msgspec.convert(yaml.safe_load((GOLDENS / "catalogue.yaml").read_text("utf-8")), Written)
    return assemble(load().providers, written)


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str, catalogue: Catalogue, request: pytest.FixtureRequest) -> None:
    compiled = _compile(_case(GOLDENS / f"{name}.in.yaml"), catalogue)
    text = yaml.safe_dump(_readable(compiled), sort_keys=False, width=110, allow_unicode=True)
    assert not re.search(r"sk-(?!byway-...…)(?!byway- )", text), "a secret in a golden"
    golden = GOLDENS / f"{name}.out.yaml"
    if request.config.getoption("--accept"):
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8"), "if this is meant: pytest --accept, and read the diff"


def test_every_golden_has_its_in_file() -> None:
    outs = {path.name.removesuffix(".out.yaml") for path in GOLDENS.glob("*.out.yaml")}
    assert outs == set(CASES)
    assert len(CASES) >= 25


def _case(path: Path) -> Case:
    documents = [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]
    special: dict[str, Any] = {
        document["kind"]: document
        for document in documents
        if document["kind"] in ("Settings", "HeldBack", "Broken", "Refused")
    }
    world = _manifests(document for document in documents if document["kind"] not in (*special, "Namespace"))
    for said, why in special.get("Broken", {}).get("objects", {}).items():
        key = next(key for key in world if str(key) == said)
        world[key] = replace(world[key], broken=why)
    labels = {
        document["metadata"]["name"]: document["metadata"].get("labels", {})
        for document in documents
        if document["kind"] == "Namespace"
    }
    settings = {name: value for name, value in special.get("Settings", {}).items() if name != "kind"}
    return Case(
        world,
        _manifests(special.get("HeldBack", {}).get("manifests", ())),
        special.get("Refused", {}).get("objects", {}),
        msgspec.convert(settings, Settings),
        Surroundings(labels),
    )


def _manifests(documents: Iterable[dict[str, Any]]) -> dict[Key, Manifest]:
    found = {}
    for document in documents:
        metadata = document["metadata"]
        key = Key(document["kind"], metadata.get("namespace", "default"), metadata["name"])
        document.setdefault("apiVersion", "v1" if key.kind == "Secret" else "byway.dev/v1alpha1")
        created = metadata.pop("creationTimestamp", "")
        found[key] = Manifest(key, document, created=created)
    return found


def _compile(case: Case, catalogue: Catalogue) -> Compiled:
    sent = _compile_once(case, {}, catalogue)
    if not case.refused:
        return sent
    refused = {
        key: Refusal(verdict.fingerprint, case.refused[str(key)])
        for key, verdict in sent.verdicts.items()
        if str(key) in case.refused
    }
    return _compile_once(case, refused, catalogue)


def _compile_once(case: Case, refused: Mapping[Key, Refusal], catalogue: Catalogue) -> Compiled:
    return compile_table(
        case.world,
        held_back=case.held_back,
        refused=refused,
        settings=case.settings,
        catalogue=catalogue,
        surroundings=case.surroundings,
    )


def _readable(compiled: Compiled) -> dict[str, Any]:
    assert not compiled.defects
    limits = [msgspec.to_builtins(limit) for limit in compiled.limits]
    return {
        "verdicts": {str(key): _verdict(verdict) for key, verdict in sorted(compiled.verdicts.items())},
        **({"limits": limits} if limits else {}),
        "table": {
            section: {name: _object(section, raw) for name, raw in sorted(objects.items())}
            for section, objects in sorted(compiled.sections.items())
            if objects
        },
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    said = {
        "accepted": _condition(verdict.accepted),
        "resolved": _condition(verdict.resolved),
        "serves": verdict.serves,
        "modelNames": list(verdict.model_names),
        "models": verdict.models,
        "keys": {fact.name: f"{fact.label} until {fact.expires}" for fact in verdict.keys},
        "endpoints": {
            fact.name: f"{fact.reason or fact.endpoint} {fact.price} {fact.price_origin}".strip()
            for fact in verdict.endpoints
        },
    }
    return {name: value for name, value in said.items() if value}


def _condition(condition: Condition) -> str | dict[str, str]:
    short = f"{condition.status} {condition.reason}"
    if not condition.message:
        return short
    said = {"is": short, "message": condition.message, "field": condition.field}
    return {name: value for name, value in said.items() if value}


def _object(section: str, raw: msgspec.Raw) -> Any:
    return "***" if section == "credentials" else msgspec.json.decode(raw)
