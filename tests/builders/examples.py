"""The folders of examples/ as tests take them: what `kubectl` would apply, and under which names each is called."""

import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
KUBECTL = Path(sys.executable).with_name("kubectl")
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/resources.yaml"))


def manifests(example: Path) -> str:
    """As they are written; where there is a kustomization, as it makes them."""
    if not (example / "kustomization.yaml").exists():
        return (example / "resources.yaml").read_text()
    done = subprocess.run([KUBECTL, "kustomize", example], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout


def namespaces(text: str) -> list[str]:
    """Those that the manifests name themselves."""
    found = (document["metadata"].get("namespace") for document in yaml.safe_load_all(text))
    return sorted({name for name in found if name})
