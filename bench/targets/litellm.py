"""LiteLLM's proxy with one worker, in a venv of its own. On request: it has many dependencies."""

from bench.native import MODEL
from bench.targets.target import Place, Target, make_venv, venv

# Releases that must not be installed are left out by name.
REQUIREMENT = "litellm[proxy]!=1.82.7,!=1.82.8,!=1.107.0"
KEY = "sk-bench"  # it does not start without one
CONFIGURATION = """
model_list:
- model_name: {model}
  litellm_params: {{model: openai/gpt-4o-mini, api_base: "http://127.0.0.1:{mock_port}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
"""


def _command(place: Place) -> list[str]:
    file = place.folder / "litellm.yaml"
    file.write_text(CONFIGURATION.format(key=KEY, model=MODEL, mock_port=place.mock_port))
    words = ["--config", str(file), "--host", "127.0.0.1", "--port", str(place.port), "--num_workers", "1"]
    return [str(venv("litellm") / "bin/litellm"), *words]


def _missing() -> str | None:
    return None if (venv("litellm") / "bin/litellm").exists() else "no LiteLLM in our cache; run with --install"


LITELLM = Target(
    "litellm",
    _command,
    _missing,
    lambda: make_venv("litellm", [REQUIREMENT]),
    # Its price list comes with the package; without this it asks the network for a newer one at start.
    headers=(f"Authorization: Bearer {KEY}",),
    environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"},
)
