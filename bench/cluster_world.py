"""What `bench.cluster` asks of a real control plane, without kubectl's own tenth of a second.

Objects by the thousand; what was said of one of them and when; and when a table became live in each proxy.
"""

import contextlib
import http.client
import json
import random
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders.control_plane import ApiError, ControlPlane
from fakes.fleet import SERVICE, Fleet

A_NAMESPACE = 100
"""Routes in each namespace."""
HERE = "/apis/byway.dev/v1alpha1/namespaces"
WITHIN_S = 60.0
KEPT_S = 10.0
"""The API server closes a connection that nobody uses."""
LAST = 4000
"""A log grows long, and is read often: so many bytes of it are of now."""
APPLY = "application/apply-patch+yaml"


class World:
    """Namespaces with a ProviderKey and routes each."""

    def __init__(self, plane: ControlPlane, routes: int, provider: str) -> None:
        self._plane, self._provider = plane, provider
        self._here = threading.local()
        self._versions: dict[int, int] = {}
        self._namespaces = [plane.namespace() for _ in range(-(-routes // A_NAMESPACE))]
        self.routes = list(range(routes))
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._account, self._namespaces))
            list(pool.map(self.apply, self.routes))

    def apply(self, number: int) -> dict[str, Any]:
        """Another form of this route, as `kubectl apply --server-side` does it; what the API server answered."""
        namespace, name = self._where(number)
        version = self._versions[number] = self._versions.get(number, 0) + 1
        endpoint = {"name": "one", "providerKeyRef": {"name": "fake"}, "model": f"test/model-{number % 7}"}
        spec = {"modelNames": [name, f"{name}-v{version}"], "endpoints": [endpoint]}
        path = f"{HERE}/{namespace}/modelroutes/{name}?fieldManager=bench&force=true"
        return self._call("PATCH", path, _object("ModelRoute", name, {"spec": spec}), APPLY)

    def delete(self, number: int) -> None:
        namespace, name = self._where(number)
        self._call("DELETE", f"{HERE}/{namespace}/modelroutes/{name}")
        self.routes.remove(number)

    def forget(self) -> None:
        """As if nobody had told any of them anything."""
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._forget, self.routes))

    def _forget(self, number: int) -> None:
        namespace, name = self._where(number)
        told = ("conditions", "endpoints", "endpointsAvailable", "modelNames", "proxies")
        body = {"status": {"observedGeneration": -1, **dict.fromkeys(told)}}
        self._call("PATCH", f"{HERE}/{namespace}/modelroutes/{name}/status", body, "application/merge-patch+json")

    def any(self) -> int:
        return random.choice(self.routes)

    def programmed_at(self, applied: dict[str, Any], within_s: float = WITHIN_S) -> float:
        """When the API server says that the proxies have this form; seconds since 1970."""
        metadata = applied["metadata"]
        path = f"{HERE}/{metadata['namespace']}/modelroutes?watch=1&timeoutSeconds={within_s:.0f}"
        path += f"&resourceVersion={metadata['resourceVersion']}&fieldSelector=metadata.name%3D{metadata['name']}"
        connection = self._plane.connection()
        with contextlib.closing(connection):
            connection.request("GET", path)
            for line in connection.getresponse():
                if _is_programmed(json.loads(line)["object"], metadata["generation"]):
                    return time.time()
        raise SystemExit(f"bench: {metadata['name']} was not programmed within {within_s:g} s")

    def _account(self, namespace: str) -> None:
        secret = {"stringData": {"apiKey": "bench"}, "apiVersion": "v1", "kind": "Secret"}
        labelled = {"metadata": {"name": "fake", "labels": {"byway.dev/credential": "true"}}}
        self._call("POST", f"/api/v1/namespaces/{namespace}/secrets", secret | labelled)
        key = {"provider": "openai-compatible", "baseURL": self._provider, "secretRef": {"name": "fake"}}
        self._call("POST", f"{HERE}/{namespace}/providerkeys", _object("ProviderKey", "fake", {"spec": key}))

    def _where(self, number: int) -> tuple[str, str]:
        return self._namespaces[number // A_NAMESPACE], f"route-{number}"

    def _call(self, verb: str, path: str, body: object = None, kind: str = "application/json") -> dict[str, Any]:
        """By a connection of each thread's own, kept."""
        connection: http.client.HTTPSConnection | None = getattr(self._here, "connection", None)
        if connection is None or time.monotonic() - self._here.used > KEPT_S:
            connection = self._here.connection = self._plane.connection()
        self._here.used = time.monotonic()
        connection.request(verb, path, json.dumps(body), {"Content-Type": kind})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"bench: {verb} {path}: {text.decode()}")
        said: dict[str, Any] = json.loads(text)
        return said


class Logs:
    """When each of some processes of ours said something."""

    def __init__(self, files: Sequence[Path], what: str = "a table is live") -> None:
        self._files, self._what = files, what

    def said_at(self, since: float) -> float:
        """When all of them had said it, the first time after `since`; seconds since 1970."""
        end = time.monotonic() + WITHIN_S
        while time.monotonic() < end:
            firsts = [self._first(file, since) for file in self._files]
            found = [at for at in firsts if at is not None]
            if len(found) == len(self._files):
                return max(found)
            time.sleep(0.02)
        raise SystemExit(f"bench: not all said within {WITHIN_S:g} s that {self._what}")

    def _first(self, file: Path, since: float) -> float | None:
        return next((at for at in said_at(file, self._what, LAST) if at >= since), None)


def pods(release: Fleet, numbers: Sequence[int], *, real: bool) -> Path:
    """The file that says to `bench.crowd` whom it is to be."""
    folder = release.root / "crowd"
    folder.mkdir(exist_ok=True)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: _pod(release, folder, number), numbers))
    asked = {
        "real": real,
        "url": f"https://127.0.0.1:{release.front.port}",
        "ca": str(release.plane.ca),
        "name": release.operator_name,
        "pods": made,
    }
    file = folder / f"crowd-{numbers[0]}.json"
    file.write_text(json.dumps(asked))
    return file


def _pod(release: Fleet, folder: Path, number: int) -> dict[str, str]:
    name = f"{SERVICE}-{number}"
    path = f"/api/v1/namespaces/{release.namespace}/pods/{name}"
    with contextlib.suppress(ApiError):  # it is there from an earlier crowd
        release.plane.pod(release.namespace, name, SERVICE)
    token = folder / f"{name}.token"
    token.write_text(release.plane.token(release.namespace, SERVICE, "byway-control", pod=name))
    log = folder / f"{name}.log"
    log.touch()
    return {
        "name": name,
        "uid": release.plane.raw("GET", path)["metadata"]["uid"],
        "namespace": release.namespace,
        "token_file": str(token),
        "log": str(log),
    }


def said_at(log: Path, what: str, last: int = 2**24) -> Iterator[float]:
    """Each time a process of ours said so in the last so many bytes of its log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - last))
        for line in file.read().decode(errors="replace").splitlines():
            if f'"what":"{what}"' in line and line.startswith("{"):
                yield _at(line)


def _at(line: str) -> float:
    return datetime.fromisoformat(json.loads(line)["at"]).timestamp()


def _is_programmed(found: dict[str, Any], generation: int) -> bool:
    return any(
        condition["type"] == "Programmed"
        and condition["status"] == "True"
        and condition["observedGeneration"] >= generation
        for condition in found.get("status", {}).get("conditions", ())
    )


def _object(kind: str, name: str, rest: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "byway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, **rest}
