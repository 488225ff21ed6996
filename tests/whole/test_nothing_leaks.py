"""A machine on its worst day: no credential, prompt or answer is in anything that anybody can look at."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import urllib.request
from pathlib import Path
from typing import Any

import canary
from builders.manifests import account, route
from byway_cli.up.layout import lay_out
from fakes.machine import Machine, machine, until
from fakes.process import provider
from prometheus_client.parser import text_string_to_metric_families

PROMPT, ANSWER = "prompt7f3a9c", "answer7f3a9c"
QUOTING = {"message": "Incorrect API key provided: {key}", "code": "{key}"}
WORST: list[dict[str, Any]] = [
    *({"kind": "status", "status": code, **QUOTING} for code in (400, 401, 402, 403, 404, 422, 429, 500, 503)),
    {"kind": "error_in_200", **QUOTING},
    {"kind": "error_event", "after": 2, "text": ANSWER, **QUOTING},
    {"kind": "garbage"},
    {"kind": "cut", "after": 1, "text": ANSWER},
    {"kind": "ok", "text": ANSWER, "answers_as": ANSWER},
]


def secret(name: str, value: str, namespace: str = "default") -> str:
    return f"""
apiVersion: v1
kind: Secret
metadata: {{name: {name}, namespace: {namespace}, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {json.dumps(value)}}}
---
"""


def broken(key: str) -> dict[str, str]:
    """Everything that a person in a hurry does to a credential."""
    head = "apiVersion: byway.dev/v1alpha1\nkind: ProviderKey\nmetadata: {name: x}\nspec:\n"
    return {
        "inline.yaml": f"{head}  provider: openai\n  apiKey: {key}\n",
        "as-reference.yaml": f"{head}  provider: openai\n  secretRef: {key}\n",
        "as-name.yaml": f"{head}  provider: openai\n  secretRef: {{name: openai, {key}: 1}}\n",
        "no-yaml.yaml": f"apiVersion: v1\nkind: Secret\nstringData: {{apiKey: {key}\n",
        "tab.yaml": f"apiVersion: v1\nkind: Secret\nstringData:\n\tapiKey: {key}\n",
        "bare.yaml": f"{key}\n",
        "data.yaml": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: d}}\ndata: {{apiKey: '{key}!'}}\n",
        "list.yaml": f"apiVersion: v1\nkind: Secret\nmetadata: {{name: l}}\nstringData: [{key}]\n",
        "kind.yaml": f"apiVersion: v1\nkind: Sceret\nmetadata: {{name: k}}\nstringData: {{apiKey: {key}}}\n",
        "no-text.yaml": secret("n", f"{key}\r\nX-Evil: 1")
        + account("n", "http://127.0.0.1:9/v1").replace("spec:\n", "spec:\n  secretRef: {name: n}\n"),
    }


def keyed(name: str, url: str) -> str:
    return account(name, url).replace("spec:\n", f"spec:\n  secretRef: {{name: {name}}}\n")


def asked(made: Machine) -> str:
    """Everything that a person can have printed about it."""
    kinds = ("modelroutes", "providerkeys")
    told = [made.byway("get", kind) for kind in kinds]
    told += [without_spec(made.byway("get", kind, "-o", "json")) for kind in kinds]
    told += [made.byway("usage", "-o", "json"), made.byway("usage"), made.byway("explain", "smart")]
    told += [made.byway("explain", "nobody", ok=False)]
    told += scraped(made).values()
    told += [unix(made, "operator", path) for path in ("/v1/resources?kind=Secret", "/v1/problems")]
    return "\n".join(told)


def without_spec(items: str) -> str:
    """A spec is printed as its author wrote it, also where the author put a credential into it."""
    return json.dumps([{**item, "spec": None} for item in json.loads(items)["items"]])


def scraped(made: Machine) -> dict[str, str]:
    proxies = {p["name"]: made.get("/metrics", p["admin"])[2].decode() for p in made.running()["proxies"]}
    return proxies | {name: unix(made, name, "/metrics") for name in ("operator", "ledger")}


def unix(made: Machine, process: str, path: str) -> str:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(made.state / "run" / f"{process}.sock"))
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().read().decode()


def script(url: str, always: dict[str, Any]) -> None:
    body = json.dumps({"always": always}).encode()
    with urllib.request.urlopen(url.replace("/v1", "/__fake/script"), body, timeout=5) as answer:
        assert answer.status == 200


def killed(made: Machine, name: str) -> None:
    pid = made.pids()[name]
    os.kill(pid, signal.SIGKILL)
    until(lambda: made.pids().get(name, pid) != pid, 10)


def test_no_credential_prompt_or_answer_is_left_anywhere(tmp_path: Path) -> None:
    key, other = canary.canary(), canary.canary()
    with provider(tmp_path, "a", keys=(key,), text=ANSWER) as (url, _):
        manifests = {"keys.yaml": secret("a", key) + keyed("a", url), "route.yaml": route("a")}
        heard: list[object] = []
        with machine(manifests, "--proxies", "2", "--log", "json") as made:
            ask = {"messages": [{"role": "user", "content": PROMPT}], "user": "somebody"}
            assert made.ask("smart", **ask)[0] == 200
            for worst in WORST:
                script(url, worst)
                heard += [made.ask("smart", stream=stream, **ask)[1:] for stream in (False, True)]
            for name, text in broken(other).items():
                made.write(name, text)
            until(lambda: "no-text.yaml" in made.said() or "character" in made.said(), 10)
            for name in ("proxy-0", "operator", "proxy-1"):
                killed(made, name)
            script(url, {"text": ANSWER})
            until(lambda: up_again(made, ask), 20)
            until(lambda: len(json.loads(made.byway("usage", "-o", "json"))) >= 1)

            assert not canary.in_bytes(asked(made).encode())
            shown = made.byway("get", "providerkeys", "-o", "yaml") + unix(made, "operator", "/v1/resources")
            assert key not in shown
            assert not canary.in_bytes(repr(heard).encode())
            kept = lay_out(made.folder, made.state, os.environ).memory
            assert any(key in path.read_text() for path in kept.rglob("credentials.json")), "else what is proved?"
            canary.nowhere([*made.seen(), *canary.in_folder(made.state)])
            assert [w for w in (PROMPT, ANSWER) if w in made.said() + asked(made)] == []
            state = [p for p in (*made.state.rglob("*"), *kept.rglob("*")) if p.is_file()]
            assert [p for p in state for w in (PROMPT, ANSWER) if w.encode() in p.read_bytes()] == []
            assert_one_shape(made.said())


def up_again(made: Machine, ask: dict[str, Any]) -> bool:
    with contextlib.suppress(OSError):  # refused, or cut
        return made.ask("smart", **ask)[0] == 200
    return False


def assert_one_shape(said: str) -> None:
    """Every line that any process wrote."""
    lines = [json.loads(line) for line in said.splitlines()]
    stamp = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
    assert len(lines) > 20
    assert {line["process"] for line in lines} >= {"up", "operator", "ledger", "proxy-0", "proxy-1"}
    assert [line for line in lines if not line.keys() >= {"at", "level", "process", "what"}] == []
    assert [line for line in lines if not stamp.fullmatch(line["at"])] == []


def series(text: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_are_well_formed_and_no_stranger_adds_to_them(tmp_path: Path) -> None:
    with provider(tmp_path, "a") as (url, _), machine({"a.yaml": account("a", url) + route("a")}) as made:
        assert made.ask("smart")[0] == 200
        assert made.ask("nobody-0")[0] == 400
        before = {name: series(text) for name, text in scraped(made).items()}
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=20)
        with contextlib.closing(connection):
            for number in range(1, 1001):
                body = {"model": f"nobody-{number}", "user": f"user-{number}", "messages": [{"role": "user"}]}
                headers = {"Authorization": f"Bearer sk-{number}", "X-Title": f"title-{number}"}
                connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
                assert connection.getresponse().read()
        texts = scraped(made)
        assert {name: series(text) - before[name] for name, text in texts.items()} == {n: set() for n in texts}
        assert not re.search(r"nobody|user-\d|title-\d|sk-\d", "".join(texts.values()))
        assert "".join(texts.values()).count("nobody") == 0
        for name, text in texts.items():
            assert wrong_in(text) == [], name


def wrong_in(text: str) -> list[str]:
    """As `promtool check metrics` has it: help for each, counters end in _total, nothing else does, base units."""
    wrong = []
    for family in text_string_to_metric_families(text):
        names = {sample.name for sample in family.samples}
        if not family.documentation:
            wrong.append(f"{family.name}: no help")
        if family.type == "counter" and any(not n.endswith(("_total", "_created")) for n in names):
            wrong.append(f"{family.name}: a counter without _total")
        if family.type != "counter" and family.name.endswith(("_total", "_count", "_sum", "_bucket")):
            wrong.append(f"{family.name}: a suffix that is not its own")
        if not re.fullmatch(r"[a-z][a-z0-9_]*", family.name) or not family.name.startswith("byway_"):
            wrong.append(f"{family.name}: not a name of ours")
        if re.search(r"_(ms|millis|milliseconds|kib|mib|minutes|hours|percent)(_|$)", family.name):
            wrong.append(f"{family.name}: not in base units")
        wrong += [f"{family.name}: label {n}" for s in family.samples for n in s.labels if n.startswith("__")]
    return wrong
