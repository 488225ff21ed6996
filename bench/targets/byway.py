"""Ourselves, all features on, as `byway up` starts us with one proxy."""

import sys
from pathlib import Path

from bench.native import MODEL
from bench.targets.target import Place, Target

RESOURCES = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: mock}}
spec:
  provider: openai-compatible
  baseURL: http://127.0.0.1:{mock_port}/v1
  models:
  - name: {model}/model
    upstreamName: gpt-4o-mini
    price: {{perMillionTokens: {{input: "0.15", output: "0.60"}}}}
    capabilities: {{contextLength: 128000, maxOutputTokens: 16384}}
---
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {model}}}
spec:
  endpoints:
  - name: mock
    providerKeyRef: {{name: mock}}
    model: {model}/model
"""
PROGRAM = Path(sys.executable).with_name("byway")


def command(place: Place, proxies: int = 1) -> list[str]:
    """`byway up` on a folder `resources` of the place, to which more may be saved later."""
    resources = place.folder / "resources"
    resources.mkdir()
    (resources / "bench.yaml").write_text(RESOURCES.format(model=MODEL, mock_port=place.mock_port))
    words = ["--port", str(place.port), "--proxies", str(proxies), "--state", str(place.folder / "state")]
    return [str(PROGRAM), "up", str(resources), *words, "--log", "json"]


def _missing() -> str | None:
    return None if PROGRAM.exists() else f"no {PROGRAM.name} beside {sys.executable}; run: make bench"


BYWAY = Target("byway", command, _missing, proxy="byway_proxy")
