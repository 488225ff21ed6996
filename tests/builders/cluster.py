"""A cluster that somebody gave us: `kubectl`, `helm` and pods of ours on it.

KUBECONFIG            which one; without it nothing here runs
E2E                   anything: it may be installed on (a person's own KUBECONFIG may name one that may not)
E2E_VALUES            a values file that each `helm install` and `helm upgrade` is given too, e.g. where images are
E2E_PROVIDER_IMAGE    the fake provider (Dockerfile's target test-provider) ⟨byway.test/provider⟩
E2E_CALLER_IMAGE      anything with `python` on its PATH ⟨the chart's image of a proxy⟩
E2E_WITHIN            words before each command, where the cluster is reached from elsewhere only
E2E_KILL              words before NAMESPACE/POD, for a `kill -9` of its process ⟨delete the pod with no grace⟩
"""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from builders.helm import HELM, ROOT, Object

T = TypeVar("T")
BIN = Path(sys.executable).parent
CALLER = (ROOT / "tests/e2e/caller.py").read_text()
URL = "http://byway-proxy.byway/v1"
# Words that the fake provider says, one each tenth of a second: a stream takes five seconds.
WORDS, GAP_S = 50, 0.1
TOKEN = {
    "name": "byway",
    "projected": {
        "sources": [{"serviceAccountToken": {"path": "token", "audience": "byway", "expirationSeconds": 600}}]
    },
}
RESTRICTED = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}


class Failed(Exception):
    """What a command printed."""


@dataclass(frozen=True)
class Cluster:
    within: tuple[str, ...] = ()
    kill: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def shell(self, typed: str, within_s: float = 180.0) -> str:
        """As a person types it at the root of the repository. Raises Failed."""
        if values := os.environ.get("E2E_VALUES"):
            for verb in ("helm install ", "helm upgrade "):
                typed = typed.replace(verb, f"{verb}--values {values} ")
        path = f"{HELM.parent}:{BIN}:{os.environ['PATH']}"
        return self.run("env", f"PATH={path}", "bash", "-euo", "pipefail", "-c", typed, within_s=within_s)

    def kubectl(self, *arguments: str, typed: str = "", within_s: float = 120.0) -> str:
        return self.run(str(BIN / "kubectl"), *arguments, typed=typed, within_s=within_s)

    def run(self, *command: str, typed: str = "", within_s: float) -> str:
        done = subprocess.run(
            [*self.within, *command], cwd=ROOT, input=typed, capture_output=True, text=True, timeout=within_s,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise Failed(f"$ {shlex.join(command)}\nexit {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def apply(self, *objects: Object, namespace: str | None = None) -> None:
        """Where no namespace is given, each object says its own."""
        listed = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        where = ("-n", namespace) if namespace else ()
        self.kubectl(*where, "apply", "--server-side", "-f", "-", typed=json.dumps(listed))

    def get(self, *what: str, namespace: str = "byway") -> Any:
        return json.loads(self.kubectl("-n", namespace, "get", *what, "-o", "json"))

    def pods(self, component: str) -> list[Object]:
        """Those that are not on their way out."""
        found = self.get("pods", "-l", f"app.kubernetes.io/component={component}")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def end_without_grace(self, pod: str) -> None:
        """`kill -9` where the cluster allows that; else the pod is deleted with no grace."""
        if self.kill:
            subprocess.run([*self.kill, f"byway/{pod}"], check=True, capture_output=True, timeout=30)
        else:
            self.kubectl("-n", "byway", "delete", "pod", pod, "--grace-period=0", "--force")

    def call(self, *arguments: str, namespace: str = "team-a") -> Any:
        """Our app in that namespace; see caller.py."""
        return json.loads(self.kubectl(*self._app(namespace), *arguments))

    def add_app(self, namespace: str) -> None:
        image = os.environ.get("E2E_CALLER_IMAGE")
        if not image:
            image = self.get("deployment", "byway-proxy")["spec"]["template"]["spec"]["containers"][0]["image"]
        self.apply(*app(image), namespace=namespace)
        self.kubectl("-n", namespace, "rollout", "status", "deployment/app", "--timeout=60s")

    def add_provider(self, namespace: str) -> None:
        self.apply(*provider(), namespace=namespace)
        self.kubectl("-n", namespace, "rollout", "status", "deployment/vllm", "--timeout=60s")
        # A node may learn of a Service's Pods a moment after they are ready.
        asks = f"import urllib.request as r; print(r.urlopen('http://vllm.{namespace}:8000/__fake/served').status)"
        until(lambda: self.kubectl("-n", "byway", "exec", "deploy/byway-proxy", "--", "python", "-c", asks))

    @contextmanager
    def open_streams(self, model: str, count: int = 50) -> Iterator[dict[str, Any]]:
        """So many streams are open all the while; what came of them is in what was yielded, afterwards."""
        command = [*self.within, str(BIN / "kubectl"), *self._app("team-a", "-i"), "streams", model, str(count)]
        came: dict[str, Any] = {}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as app:
            assert app.stdin is not None
            assert app.stdout is not None
            try:
                assert "streams are open" in app.stdout.readline()
                yield came
                app.stdin.close()
                came.update(json.loads(app.stdout.readline()))
            finally:
                app.kill()

    def _app(self, namespace: str, *options: str) -> tuple[str, ...]:
        return ("exec", *options, "-n", namespace, "deploy/app", "--", "python", "/app/caller.py")


def given() -> Cluster | None:
    if not os.environ.get("KUBECONFIG") or not os.environ.get("E2E"):
        return None
    return Cluster(
        tuple(shlex.split(os.environ.get("E2E_WITHIN", ""))), tuple(shlex.split(os.environ.get("E2E_KILL", "")))
    )


def until(what: Callable[[], T], within_s: float = 60.0) -> T:
    """The first true thing it says; asked twice a second, as people do."""
    end = time.monotonic() + within_s
    while True:
        try:
            if said := what():
                return said
            why = f"it said {said!r}"
        except (Failed, AssertionError, KeyError, IndexError) as error:
            why = str(error)
        assert time.monotonic() < end, f"not within {within_s} s: {why}"
        time.sleep(0.5)


def app(image: str) -> list[Object]:
    """A program of a team's: it has a token of our audience and no right in Kubernetes."""
    program = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "data": {"caller.py": CALLER}}
    variables = {"BYWAY_URL": URL, "BYWAY_TOKEN": "/var/run/secrets/byway/token", "WORDS": str(WORDS)}
    container = {
        "name": "app",
        "image": image,
        "command": ["python", "-c", "import signal; signal.pause()"],
        "env": [{"name": name, "value": value} for name, value in variables.items()],
        "securityContext": RESTRICTED,
        "volumeMounts": [
            {"name": "app", "mountPath": "/app"},
            {"name": "byway", "mountPath": "/var/run/secrets/byway"},
        ],
    }
    volumes = [{"name": "app", "configMap": {"name": "app"}}, TOKEN]
    return [program, _deployment("app", container, volumes)]


def provider(name: str = "vllm", port: int = 8000) -> list[Object]:
    """The fake provider behind a Service; it takes any credential."""
    script = {"always": {"text": " ".join(["word"] * WORDS), "gap_s": GAP_S}}
    container = {
        "name": "provider",
        "image": os.environ.get("E2E_PROVIDER_IMAGE", "byway.test/provider"),
        "args": ["--host", "0.0.0.0", "--port", str(port), "--script", "/script/script.json", "--for-s", "3600"],
        "securityContext": RESTRICTED,
        "volumeMounts": [{"name": "script", "mountPath": "/script"}],
        "readinessProbe": {"httpGet": {"path": "/__fake/served", "port": port}, "periodSeconds": 1},
    }
    said = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {"script.json": json.dumps(script)},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    }
    volumes = [{"name": "script", "configMap": {"name": name}}]
    return [said, service, _deployment(name, container, volumes)]


def _deployment(name: str, container: Object, volumes: list[Object]) -> Object:
    pod = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": volumes,
    }
    labels = {"app": name}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
