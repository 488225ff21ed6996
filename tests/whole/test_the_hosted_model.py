"""The hosted router's own model on one machine: credits with a fee, a fee on own keys, free models a day."""

import json
import urllib.request
from pathlib import Path
from typing import Any

from byway_contract.access_key import digest_of
from fakes.machine import Machine, machine, until
from fakes.process import provider, served

KEY = "sk-byway-" + "a" * 43
FEES = """
apiVersion: v1
kind: ConfigMap
metadata: {name: byway-fees, labels: {byway.dev/fees: "true"}}
data:
  fees.yaml: |
    byok: {percent: "5", freeRequestsPerMonth: 2}
    credits: {percent: "5.5", minimum: "0.80", required: true}
    free: {requestsPerDay: 2}
"""
TEAM = f"""
apiVersion: byway.dev/v1alpha1
kind: AccessKey
metadata: {{name: app, namespace: team-a}}
spec: {{keys: [{{name: one, sha256: {digest_of(KEY)}}}]}}
---
"""


def account(name: str, namespace: str, url: str, model: str, dollars: str) -> str:
    price = f'{{perMillionTokens: {{input: "{dollars}", output: "{dollars}"}}}}'
    return f"""
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  provider: openai-compatible
  baseURL: {url}
  allowedNamespaces: {{from: {"All" if namespace == "default" else "Same"}}}
  models: [{{name: "{model}", upstreamName: m, price: {price}}}]
---
"""


def asked(made: Machine, model: str) -> tuple[int, dict[str, str], dict[str, Any]]:
    status, headers, body = made.ask(model, KEY, max_tokens=100)
    return status, headers, json.loads(body)


def rows(made: Machine, model: str) -> list[dict[str, Any]]:
    found = json.loads(made.byway("usage", "--by", "namespace,model", "-o", "json"))
    return [row for row in found if row["key"]["model"] == model]


def credits_of(made: Machine) -> dict[str, float]:
    request = urllib.request.Request(made.url + "/v1/credits", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        told: dict[str, float] = json.loads(answer.read())["data"]
        return told


def test_the_hosted_model(tmp_path: Path) -> None:
    with provider(tmp_path, "a") as (url, truth):
        keys = (
            account("shared", "default", url, "acme/paid", "10000")
            + account("gratis", "default", url, "acme/small:free", "0")
            + account("own", "team-a", url, "acme/own", "1000")
        )
        with machine({"keys.yaml": keys, "team.yaml": TEAM, "fees.yaml": FEES}) as made:
            # Nothing is bought yet.
            status, _, body = until(lambda: (got := asked(made, "acme/paid"))[0] not in (401, 503) and got)
            assert (status, body["error"]["metadata"]["limit_source"]) == (402, "openrouter_credits")

            # A purchase is booked once, with the least fee on top.
            bought = "team-a: $10 of credits, fee $0.8, to pay $10.8"
            assert made.byway("credits", "add", "team-a", "10", "--id", "invoice-1").startswith(bought)
            assert "nothing has changed" in made.byway("credits", "add", "team-a", "10", "--id", "invoice-1")
            assert "invoice-1" in made.byway("credits")

            # Free models cost nothing, and answer so often a day.
            assert [asked(made, "acme/small:free")[0] for _ in range(2)] == [200, 200]
            status, headers, body = asked(made, "acme/small:free")
            assert (status, headers["X-RateLimit-Limit"], headers["X-RateLimit-Remaining"]) == (429, "2", "0")
            assert int(headers["Retry-After"]) > 0

            # Two runs on the team's own key are free of the fee, the third pays 5 % of what it costs.
            costs = [asked(made, "acme/own")[2]["usage"] for _ in range(3)]
            upstream = costs[0]["cost_details"]["upstream_inference_cost"]
            assert costs[0]["is_byok"]
            assert [one["cost"] for one in costs[:2]] == [upstream, upstream]
            assert round(costs[2]["cost"] - upstream, 9) == round(upstream * 0.05, 9)

            # Down to where the worst case does not fit any more; what fits is said.
            paid = 0.0
            for _ in range(200):
                status, _, body = asked(made, "acme/paid")
                if status != 200:
                    break
                paid += body["usage"]["cost"]
            assert status == 402, body
            assert "max_tokens" in body["error"]["metadata"]
            fee = upstream * 0.05
            told = until(lambda: (c := credits_of(made))["total_usage"] >= paid and c, 15)
            assert told["total_credits"] == 10
            assert round(told["total_usage"], 9) == round(paid + fee, 9) <= 10
            assert rows(made, "acme/own")[0]["fee_nanodollars"] == round(fee * 1e9)
            assert len(served(truth)) == 5 + round(paid / body_cost(rows(made, "acme/paid")))


def body_cost(found: list[dict[str, Any]]) -> float:
    """Of one run."""
    (row,) = found
    return float(row["billed_nanodollars"]) / 1e9 / float(row["answered"])
