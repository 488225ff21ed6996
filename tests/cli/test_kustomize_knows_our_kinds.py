"""`kubectl kustomize` with the component that we ship: names follow, a patch of one endpoint leaves the others."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from builders.desk import ROOT
from byway_cli.kustomize import files

KUBECTL = Path(sys.executable).with_name("kubectl")
SHIPPED = ROOT / "crds/kustomize"

KUSTOMIZATION = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namePrefix: eu-
resources: [resources.yaml]
components: [byway]
secretGenerator:
- {name: openai-key, literals: [apiKey=one], options: {labels: {byway.dev/credential: "true"}}}
patches:
- patch: |
    apiVersion: byway.dev/v1alpha1
    kind: ModelRoute
    metadata: {name: smart}
    spec: {endpoints: [{name: second, order: 5}]}
- patch: |
    apiVersion: apps/v1
    kind: Deployment
    metadata: {name: app}
    spec: {template: {spec: {containers: [{name: one, image: newer}]}}}
"""
RESOURCES = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: openai}
spec: {provider: openai, secretRef: {name: openai-key}, allowedModels: ["openai/gpt-5*"]}
---
apiVersion: byway.dev/v1alpha1
kind: AccessKey
metadata: {name: ci}
spec: {keys: [{name: a, secretRef: {name: openai-key}}]}
---
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {name: smart}
spec:
  endpoints:
  - {name: first, providerKeyRef: {name: openai}, model: openai/gpt-5-mini}
  - {name: second, serviceRef: {name: vllm, port: 8000}, model: Qwen/Qwen3-32B, order: 1}
---
apiVersion: v1
kind: Service
metadata: {name: vllm}
spec: {ports: [{port: 8000}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: app}
spec: {template: {spec: {containers: [{name: one, image: old}, {name: two, image: old}]}}}
"""


def built(folder: Path, kustomization: str = KUSTOMIZATION) -> dict[str, dict[str, Any]]:
    """By kind."""
    shutil.copytree(SHIPPED, folder / "byway", dirs_exist_ok=True)
    (folder / "kustomization.yaml").write_text(kustomization)
    (folder / "resources.yaml").write_text(RESOURCES)
    done = subprocess.run([KUBECTL, "kustomize", folder], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return {found["kind"]: found for found in yaml.safe_load_all(done.stdout)}


def test_the_hash_of_a_generated_secret_reaches_whoever_names_it(tmp_path: Path) -> None:
    objects = built(tmp_path)
    name = objects["Secret"]["metadata"]["name"]
    assert name.startswith("eu-openai-key-")
    assert objects["ProviderKey"]["spec"]["secretRef"]["name"] == name
    assert objects["AccessKey"]["spec"]["keys"][0]["secretRef"]["name"] == name


def test_a_prefix_reaches_what_endpoints_name(tmp_path: Path) -> None:
    endpoints = {one["name"]: one for one in built(tmp_path)["ModelRoute"]["spec"]["endpoints"]}
    assert endpoints["first"]["providerKeyRef"]["name"] == "eu-openai"
    assert endpoints["second"]["serviceRef"]["name"] == "eu-vllm"


def test_a_patch_of_one_endpoint_leaves_the_others_and_those_of_other_kinds_work_as_ever(tmp_path: Path) -> None:
    objects = built(tmp_path)
    endpoints = {one["name"]: one for one in objects["ModelRoute"]["spec"]["endpoints"]}
    assert endpoints["second"]["order"] == 5
    assert endpoints["second"]["model"] == "Qwen/Qwen3-32B"
    assert endpoints["first"]["model"] == "openai/gpt-5-mini"
    containers = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert {one["name"]: one["image"] for one in containers} == {"one": "newer", "two": "old"}


def test_without_the_component_neither_would_be_so(tmp_path: Path) -> None:
    """What these files are for; the day Kustomize does it by itself they may go."""
    objects = built(tmp_path, KUSTOMIZATION.replace("components: [byway]\n", ""))
    assert objects["ProviderKey"]["spec"]["secretRef"]["name"] == "openai-key"
    assert [one["name"] for one in objects["ModelRoute"]["spec"]["endpoints"]] == ["second"]


def test_the_files_are_fresh() -> None:
    kept = {path.name: yaml.safe_load(path.read_text()) for path in SHIPPED.iterdir()}
    assert kept == files(), "run: make crds"
