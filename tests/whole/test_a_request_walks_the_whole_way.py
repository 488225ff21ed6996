"""One machine, real processes: from a saved file to an answer, and back to a status and a sum of money."""

import json
from pathlib import Path
from typing import Any

from builders.manifests import account, route
from fakes.machine import Machine, machine, until
from fakes.process import provider, served


def usage(made: Machine) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(made.byway("usage", "-o", "json"))
    return rows


def test_a_request_walks_the_whole_way(tmp_path: Path) -> None:
    with provider(tmp_path, "a", kind="status", status=503) as (a, _), provider(tmp_path, "b") as (b, truth):
        manifests = {"keys.yaml": account("a", a) + account("b", b), "route.yaml": route("a", "b")}
        with machine(manifests, "--proxies", "2") as made:
            status, headers, body = made.ask("smart")
            answer = json.loads(body)
            assert status == 200
            assert answer["provider"] == "b"
            assert answer["id"] == headers["X-Generation-Id"]

            assert made.ask("smart", stream=True)[2].endswith(b"data: [DONE]\n\n")

            shown = until(lambda: (c := made.condition("mr", "smart", "Programmed"))["status"] == "True" and c)
            assert "2/2" in shown["message"]
            until(lambda: "lastUsed" in made.resource("pk", "b")["status"])
            until(lambda: made.condition("pk", "b", "Valid")["status"] == "True")

            tokens = sum(one["prompt_tokens"] + one["completion_tokens"] for one in served(truth))
            until(lambda: sum(row["billed_nanodollars"] for row in usage(made)) == tokens * 1000)


def test_a_saved_file_is_live_and_a_broken_one_serves_on(tmp_path: Path) -> None:
    with provider(tmp_path, "a") as (a, _), provider(tmp_path, "b") as (b, _):
        manifests = {"keys.yaml": account("a", a) + account("b", b), "route.yaml": route("a")}
        with machine(manifests) as made:
            assert json.loads(made.ask("smart")[2])["provider"] == "a"

            made.write("route.yaml", route("b"))
            until(lambda: json.loads(made.ask("smart")[2])["provider"] == "b", 1.0)

            made.write("route.yaml", route("a").replace("model: acme/m", "modle: acme/m"))
            accepted = until(lambda: (c := made.condition("mr", "smart", "Accepted"))["status"] == "False" and c)
            assert "modle" in accepted["message"]
            assert "did you mean model?" in accepted["message"]
            assert json.loads(made.ask("smart")[2])["provider"] == "b"
            assert "route.yaml:" in made.said()

            made.write("route.yaml", "kind: [")
            made.write("other.yaml", route("a", name="other"))
            until(lambda: made.ask("other")[0] == 200, 2.0)
            assert json.loads(made.ask("smart")[2])["provider"] == "b"

            (made.folder / "route.yaml").unlink()
            until(lambda: made.ask("smart")[0] == 400, 2.0)
