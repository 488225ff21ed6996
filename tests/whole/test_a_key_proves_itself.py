"""What a ProviderKey's status says of its credential before anybody has used it, and soon after somebody did."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from builders.manifests import account, route
from byway_cli import asking
from byway_cli.up.layout import lay_out
from canary import canary
from fakes.machine import Machine, machine, until
from fakes.process import asked, provider

SOON_S = 2.0


def a_key(url: str, value: str) -> str:
    secret = f"""
apiVersion: v1
kind: Secret
metadata: {{name: acme-key, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {value}}}
---
"""
    return account("acme", url).replace("  models:", "  secretRef: {name: acme-key}\n  models:") + secret


def status_of(made: Machine, name: str = "acme") -> dict[str, Any]:
    socket = lay_out(made.folder, made.state, os.environ).socket("operator")
    items = asking.ask(socket, "/v1/resources", kind="ProviderKey")["items"]
    found: dict[str, Any] = next((i["status"] for i in items if i["metadata"]["name"] == name), {})
    return found


def valid(made: Machine, name: str = "acme") -> dict[str, Any]:
    conditions = status_of(made, name).get("conditions", ())
    return next((c for c in conditions if c["type"] == "Valid"), {})


def within(made: Machine, apply: Callable[[], object], reason: str, name: str = "acme") -> dict[str, Any]:
    """Its Valid condition, soon after `apply`."""
    began = time.monotonic()
    apply()
    until(lambda: valid(made, name).get("reason") == reason, 10)
    took_s = time.monotonic() - began
    assert took_s < SOON_S, f"{reason} after {took_s:.1f} s"
    return valid(made, name)


def test_a_wrong_key_is_told_before_it_is_used_and_a_mended_one_too(tmp_path: Path) -> None:
    right, wrong = canary(), canary()
    with provider(tmp_path, "a", keys=[right]) as (url, truth), machine({}) as made:
        told = within(made, lambda: made.write("key.yaml", a_key(url, wrong)), "Unauthorized")
        assert told["status"] == "False"
        assert "check the Secret" in told["message"]

        told = within(made, lambda: made.write("key.yaml", a_key(url, right)), "Verified")
        assert told["status"] == "True"
        status = status_of(made)
        assert "verifiedAt" in status["credential"]
        assert "lastUsed" not in status
        assert "errorRate" not in status
        assert {request["path"] for request in asked(truth)} == {"/v1/models"}

        made.ask("acme/m")
        until(lambda: "lastUsed" in status_of(made))
        within(made, lambda: made.write("key.yaml", a_key(url, wrong)), "Unauthorized")
        assert "verifiedAt" in status_of(made)["credential"]


def test_requests_that_are_refused_are_told_soon_and_so_is_who_is_not_there(tmp_path: Path) -> None:
    with (
        provider(tmp_path, "poor", kind="status", status=402) as (poor, _),
        provider(tmp_path, "strict", kind="status", status=401) as (strict, _),
        machine({"keys.yaml": account("poor", poor) + account("strict", strict)}) as made,
    ):
        closed = account("closed", "http://127.0.0.1:9/v1")
        told = within(made, lambda: made.write("closed.yaml", closed), "Unreachable", "closed")
        assert "127.0.0.1 port 9: Connection refused" in told["message"]

        for name, reason in (("strict", "Unauthorized"), ("poor", "PaymentRequired")):
            until(partial(has, made, name, "Verified"))
            made.write("route.yaml", route(name))
            until(partial(programmed, made, name))
            assert within(made, lambda: made.ask("smart"), reason, name)["status"] == "False"


def has(made: Machine, name: str, reason: str) -> bool:
    return bool(valid(made, name).get("reason") == reason)


def programmed(made: Machine, name: str) -> bool:
    spec = made.resource("mr", "smart")["spec"]
    return made.condition("mr", "smart", "Ready").get("status") == "True" and spec["endpoints"][0]["name"] == name
