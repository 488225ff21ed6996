"""The guide's manifest asks for what the proxies verify, and its reasons are those that callers read."""

import inspect
import re
from typing import Any

import kubernetes_validate
import yaml
from builders.cluster_tokens import AUDIENCE
from builders.desk import ROOT
from builders.documents import blocks
from byway_process import tokens
from byway_proxy.admit import access_keys, admit

GUIDE = ROOT / "docs/guides/callers.md"


def pod() -> dict[str, Any]:
    (block,) = [block for block in blocks(GUIDE) if block.language == "yml"]
    found: dict[str, Any] = yaml.safe_load(block.text)
    return found


def test_the_guides_pod_is_one_and_asks_for_our_audience() -> None:
    kubernetes_validate.validate(pod(), kubernetes_validate.latest_version(), strict=True)
    (volume,) = pod()["spec"]["volumes"]
    (source,) = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == AUDIENCE
    assert source["serviceAccountToken"]["expirationSeconds"] >= 600


def test_the_guides_program_is_one() -> None:
    for block in blocks(GUIDE):
        if block.language == "py":
            compile(block.text, GUIDE.name, "exec")


def test_every_reason_that_the_guide_names_is_one_that_callers_read() -> None:
    source = "".join(inspect.getsource(module) for module in (tokens, admit, access_keys))
    rows = re.findall(r"^\| (it[ s].*?|no .*?|this .*?) \|", GUIDE.read_text(), re.MULTILINE)
    assert len(rows) == 10
    for row in rows:
        assert row.split(";")[0].replace(AUDIENCE, "{self._audience}").replace("ci", "{access_key.name}") in source
