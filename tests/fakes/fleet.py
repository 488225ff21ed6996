"""Operators, proxies and a ledger as a cluster runs them: processes of their own, by TLS and ServiceAccount tokens,
over a real control plane. Pods are objects that run nowhere, and EndpointSlices are written here.
"""

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import canary
import yaml
from builders.control_plane import Call, ControlPlane, username
from builders.helm import fetch, of_kind, render
from fakes.machine import opened, until
from fakes.ports import free_port
from fakes.service import Service, service

SERVICE = "byway-proxy"
OPERATOR = "byway-operator"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("ledger", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Fleet:
    """One release. `namespace` is its own, and trusted; `settings` go to every operator."""

    def __init__(self, plane: ControlPlane, root: Path, front: Service, settings: Mapping[str, str]) -> None:
        self.plane, self.root, self.front, self._settings = plane, root, front, dict(settings)
        self.namespace = plane.namespace()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports: dict[str, int] = {}
        self.admin: dict[str, int] = {}
        self._tokens: dict[str, str] = {}
        plane.apply(rights(self.namespace, self._settings.get("BYWAY_WATCH_NAMESPACES", "")))
        plane.service_account(self.namespace, OPERATOR)

    @property
    def url(self) -> str:
        """Of the first proxy."""
        return f"http://127.0.0.1:{self.ports['byway-proxy-0']}"

    # --- Processes

    def operator(self, name: str = "byway-operator-0", **settings: str) -> None:
        """One more; or, of the same name, as a container that begins anew in its pod."""
        listen, admin = self.ports.get(name) or free_port(), self.admin.get(name) or free_port()
        certificate = self.plane.certificate(self.operator_name, "127.0.0.1", common_name=OPERATOR)
        self.ports[name], self.admin[name] = listen, admin
        environment = {
            "BYWAY_TLS_CERT": certificate.cert,
            "BYWAY_TLS_KEY": certificate.key,
            "BYWAY_NAMESPACE": self.namespace,
            "BYWAY_POD": name,
            "BYWAY_ADDRESS": f"127.0.0.1:{listen}",
            "BYWAY_LISTEN": f"127.0.0.1:{listen}",
            "BYWAY_ADMIN": f"127.0.0.1:{admin}",
            "BYWAY_KUBECONFIG": self._kubeconfig(name),
            "BYWAY_ALLOWED_CIDRS": "127.0.0.0/8",
            **(
                {"BYWAY_LEDGER": f"https://127.0.0.1:{self.ports['byway-ledger']}"}
                if self._has("byway-ledger")
                else {}
            ),
            "BYWAY_LEDGER_CA": self.plane.ca,
            **self._settings,
            **settings,
        }
        self._start(name, ["byway_operator", "cluster"], environment)
        self.front.targets = tuple({*self.front.targets, listen})

    def _kubeconfig(self, name: str) -> Path:
        """Its own token for each, by which the API server's audit log tells them apart."""
        made = self.plane.kubeconfig_for(OPERATOR, self.namespace)
        self._tokens[name] = json.loads(made.read_text())["users"][0]["user"]["token"]
        return made.rename(self.root / f"{name}.kubeconfig.yaml")

    def ledger(self) -> None:
        name = "byway-ledger"
        listen, admin = free_port(), free_port()
        self.ports[name], self.admin[name] = listen, admin
        certificate = self.plane.certificate("127.0.0.1", common_name=name)
        environment = {
            "BYWAY_DATABASE": self.root / "books.sqlite",
            "BYWAY_SOCKET": self.root / "ledger.sock",
            "BYWAY_LISTEN": f"127.0.0.1:{listen}",
            "BYWAY_ADMIN": f"127.0.0.1:{admin}",
            "BYWAY_TLS_CERT": certificate.cert,
            "BYWAY_TLS_KEY": certificate.key,
            "BYWAY_CLIENT_CA": self.plane.ca,
            "BYWAY_PROXY_SERVICE_ACCOUNT": f"{self.namespace}/{SERVICE}",
        }
        self._start(name, ["byway_ledger"], environment)

    def proxy(self, number: int, **settings: str) -> None:
        """Its pod, its tokens, itself; it counts from when `ready` says so."""
        name = f"byway-proxy-{number}"
        with contextlib.suppress(Exception):  # it is there from an earlier life
            self.plane.pod(self.namespace, name, SERVICE)
        folder = self.root / name
        folder.mkdir(exist_ok=True)
        tokens = {audience: folder / audience for audience in ("byway-control", "byway-ledger")}
        for audience, file in tokens.items():
            file.write_text(self.plane.token(self.namespace, SERVICE, audience, pod=name))
        listen, admin = self.ports.get(name) or free_port(), self.admin.get(name) or free_port()
        self.ports[name], self.admin[name] = listen, admin
        environment = {
            "BYWAY_NAME": name,
            "BYWAY_POD_UID": self.plane.raw("GET", f"/api/v1/namespaces/{self.namespace}/pods/{name}")["metadata"][
                "uid"
            ],
            "BYWAY_POD_NAMESPACE": self.namespace,
            "BYWAY_LISTEN": f"127.0.0.1:{listen}",
            "BYWAY_ADMIN": f"127.0.0.1:{admin}",
            "BYWAY_CONTROL": f"https://127.0.0.1:{self.front.port}",
            "BYWAY_CONTROL_TOKEN": tokens["byway-control"],
            "BYWAY_CONTROL_CA": self.plane.ca,
            "BYWAY_CONTROL_NAME": self.operator_name,
            "BYWAY_LEDGER": f"https://127.0.0.1:{self.ports['byway-ledger']}",
            "BYWAY_LEDGER_TOKEN": tokens["byway-ledger"],
            "BYWAY_LEDGER_CA": self.plane.ca,
            "BYWAY_LOG_DIR": folder / "log",
            **settings,
        }
        self._start(name, ["byway_proxy"], environment)

    def ready(self, *numbers: int) -> None:
        """Wait until these proxies are, and write the EndpointSlice that says so."""
        for number in numbers:
            until(partial(self.is_ready, f"byway-proxy-{number}"), 30)
        self.slice(*numbers)

    def is_ready(self, name: str) -> bool:
        assert self.processes[name].poll() is None, self.said(name)
        try:
            return opened(urllib.request.Request(f"http://127.0.0.1:{self.admin[name]}/readyz"))[0] == 200
        except OSError:
            return False  # it does not listen yet

    def slice(self, *numbers: int) -> None:
        """The EndpointSlice of the proxies' Service."""
        endpoints = [
            {
                "addresses": [f"198.18.{number // 250}.{number % 250 + 1}"],
                "conditions": {"ready": True},
                "targetRef": {"kind": "Pod", "name": f"byway-proxy-{number}", "namespace": self.namespace},
            }
            for number in numbers
        ]
        body = {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": f"{SERVICE}-1",
                "namespace": self.namespace,
                "labels": {"kubernetes.io/service-name": SERVICE},
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
        self.plane.apply(json.dumps(body))

    def signal(self, name: str, number: int = signal.SIGKILL) -> None:
        self.processes[name].send_signal(number)

    def gone(self, name: str, within_s: float = 20) -> int:
        """Wait for its end; what it ended with."""
        return self.processes[name].wait(within_s)

    def said(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    def all_said(self) -> str:
        """By all of its processes, for whoever wonders why a test failed."""
        return "\n".join(f"--- {name} said\n{self.said(name)}" for name in self.processes)

    # --- Asking

    def token(self, namespace: str, service_account: str = "app", audience: str = "byway") -> str:
        return self.plane.token(namespace, service_account, audience)

    def ask(
        self, model: str, token: str | None, proxy: int = 0, **fields: Any
    ) -> tuple[int, dict[str, str], bytes]:
        body = {"model": model, "messages": [{"role": "user", "content": "Say something."}], **fields}
        headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        url = f"http://127.0.0.1:{self.ports[f'byway-proxy-{proxy}']}/v1/chat/completions"
        return opened(urllib.request.Request(url, json.dumps(body).encode(), headers))

    def metric(self, process: str, name: str) -> float:
        text = opened(urllib.request.Request(f"http://127.0.0.1:{self.admin[process]}/metrics"))[2].decode()
        return sum(
            float(line.rpartition(" ")[2]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name
        )

    def calls(self, operator: str) -> list[Call]:
        """What this operator has asked of the API server, in order, by the server's audit log."""
        credential = f"JTI={_claims(self._tokens[operator])['jti']}"
        calls = self.plane.calls(username(self.namespace, OPERATOR))
        return [call for call in calls if call.credential == credential]

    def books(self) -> list[dict[str, Any]]:
        """What the ledger has, by namespace and ServiceAccount."""
        with contextlib.closing(UnixConnection(self.root / "ledger.sock")) as connection:
            connection.request("GET", "/v1/usage?by=namespace,service_account")
            rows: list[dict[str, Any]] = json.loads(connection.getresponse().read())["rows"]
            return rows

    @property
    def leader(self) -> str:
        """Name of the operator that leads by its own word; empty: none."""
        for name in [n for n in self.processes if n.startswith("byway-operator")]:
            if self.processes[name].poll() is None:
                with contextlib.suppress(OSError):
                    if self.metric(name, "byway_leader") == 1:
                        return name
        return ""

    # --- Beginning and ending

    @property
    def operator_name(self) -> str:
        return f"{OPERATOR}.{self.namespace}.svc"

    def _has(self, prefix: str) -> bool:
        return any(name.startswith(prefix) for name in self.ports)

    def _start(self, name: str, words: list[str], environment: Mapping[str, object]) -> None:
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("BYWAY_")}
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *words],
                env={**inherited, **{key: str(value) for key, value in environment.items()}},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def end(self) -> None:
        """Proxies first: they bring the ledger what it does not have yet."""
        for last in (False, True):
            ending = [p for name, p in self.processes.items() if name.startswith("byway-proxy") != last]
            for process in ending:
                if process.poll() is None:
                    process.send_signal(signal.SIGCONT)
                    process.send_signal(signal.SIGTERM)
            for process in ending:
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()


@contextmanager
def fleet(plane: ControlPlane, proxies: int = 2, operators: int = 1, **settings: str) -> Iterator[Fleet]:
    """Up and serving: what is applied from now on is live in a blink. `settings` are the operators'."""
    root = Path(tempfile.mkdtemp(prefix="byway-fleet-"))
    with service() as front:
        made = Fleet(plane, root, front, settings)
        try:
            _begin(made, proxies, operators)
            yield made
        except BaseException:
            print(made.all_said())
            raise
        finally:
            seen = canary.in_processes([p.pid for p in made.processes.values() if p.poll() is None])
            made.end()
            canary.nowhere([*seen, *canary.in_folder(root)])
            shutil.rmtree(root, ignore_errors=True)


def _claims(token: str) -> dict[str, Any]:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return claims


def _begin(made: Fleet, proxies: int, operators: int) -> None:
    made.ledger()
    for number in range(operators):
        made.operator(f"{OPERATOR}-{number}")
    for number in range(proxies):
        made.proxy(number)
    made.ready(*range(proxies))


def rights(namespace: str, watched: str = "") -> str:
    """The operator's, and nobody else's: those of the chart. `watched` as BYWAY_WATCH_NAMESPACES."""
    fetch()
    objects = render(*([f"watchNamespaces={{{watched}}}"] if watched else []), namespace=namespace)
    kinds = "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"
    return yaml.safe_dump_all(of_kind(objects, *kinds))
