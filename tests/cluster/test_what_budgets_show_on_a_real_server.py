"""`kubectl get budgets` is the dashboard: what apps spend shows there, by the ledger's word."""

from pathlib import Path
from typing import Any

from builders.control_plane import ControlPlane
from canary import canary
from cluster.test_a_request_walks_from_kubectl_apply import secret
from fakes.fleet import fleet
from fakes.machine import until
from fakes.process import provider

BUDGET = """
apiVersion: byway.dev/v1alpha1
kind: Budget
metadata: {name: daily}
spec: {limits: [{period: Day, requests: 3, tokens: 1000000}, {period: Month, usd: "500"}]}
"""
KEY = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: fake}
spec:
  provider: openai-compatible
  secretRef: {name: fake-key}
  models: [{name: test/model, price: {perMillionTokens: {input: "1", output: "2"}}}]
  baseURL: """
SHOWN_WITHIN_S = 12.0
HEAD = "NAME LIMIT SPENT RESERVED REMAINING RESETS ENFORCING AGE"


def test_what_is_spent_shows_in_kubectl_get_budgets(plane: ControlPlane, tmp_path: Path) -> None:
    key = canary()
    with provider(tmp_path, "a", keys=[key]) as (url, _), fleet(plane) as release:
        namespace = plane.namespace()

        def status() -> dict[str, Any]:
            found: dict[str, Any] = plane.get("budget", namespace, "daily")["status"]
            return found

        for text in (secret(key), KEY + url, BUDGET):
            plane.apply(text, namespace)
        plane.wait("budget", namespace, "daily", "condition=Ready")
        plane.wait("budget", namespace, "daily", "condition=Enforcing")
        assert [(line["period"], line["unit"], line["limit"]) for line in status()["limits"]] == [
            ("Day", "tokens", 1_000_000), ("Day", "requests", 3), ("Month", "usd", "500"),
        ]  # fmt: skip

        token = release.token(namespace)
        for proxy in (0, 1):
            assert release.ask("test/model", token, proxy)[0] == 200
        until(lambda: status()["tightest"]["spent"] == 2, SHOWN_WITHIN_S)
        assert status()["tightest"]["unit"] == "requests"
        head, row = plane.kubectl("get", "budgets", "-n", namespace).splitlines()
        assert head.split() == HEAD.split()
        assert row.split()[:3] == ["daily", "3", "2"]
        wide = plane.kubectl("get", "budgets", "-n", namespace, "-o", "wide", "--no-headers").split()
        assert wide[8:10] == ["Day", "requests"]

        plane.apply(BUDGET.replace("requests: 3", "requests: 1"), namespace)
        plane.wait("budget", namespace, "daily", "condition=Exceeded")
        until(lambda: "BudgetExceeded" in plane.kubectl("get", "events", "-n", namespace), SHOWN_WITHIN_S)
        # Other tests of this server look at all limits there are.
        plane.kubectl("delete", "budget", "daily", "-n", namespace)
