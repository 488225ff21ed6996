"""A real Kubernetes control plane on loopback: etcd and kube-apiserver, with our CustomResourceDefinitions.

    with ControlPlane.up(binaries) as plane:      # tests get `plane` from tests/cluster/conftest.py
        namespace = plane.namespace()             # a fresh one; nobody cleans up
        plane.apply(manifest_text)
        plane.wait("modelroute", namespace, "smart", "condition=Programmed")

No node and no controllers: Pods are mere objects, EndpointSlices are written by tests (the API refuses loopback
addresses in them: give 192.0.2.x), and there is no ServiceAccount that a test did not make. `controllers()` changes
that. To put a bad network between it and a client, dial a `FaultProxy(plane.port)` from tests/fakes/faults.py: the
certificate holds for 127.0.0.1 at any port, and `kubeconfig_for(…, port=proxy.port)` says so to the client.
"""

import contextlib
import ctypes
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import trustme
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from fakes.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
KUBECTL = Path(sys.executable).with_name("kubectl")
ISSUER = "https://kubernetes.default.svc.cluster.local"
"""Of ServiceAccount tokens, as kubeadm has it; also the audience of a token that asks for none."""
READY_WITHIN_S = 30.0
AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}

Object = Mapping[str, Any]


class ApiError(Exception):
    """The API server said no."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


@dataclass(frozen=True)
class Certificate:
    cert: Path
    key: Path


@dataclass(frozen=True, order=True)
class Call:
    """One request that reached the API server, from its audit log."""

    verb: str
    """As RBAC has it: `list`, `watch`, `patch` …"""
    group: str
    resource: str
    """With its subresource: `modelroutes/status`. Empty where `path` counts."""
    namespace: str
    name: str
    path: str
    code: int
    """HTTP's; 0 for a watch that has not ended."""
    at: str = ""
    """When it came in; these sort as they are."""
    credential: str = ""
    """Which of the user's, as the API server names it."""


class ControlPlane:
    """What a test may ask of it. Blocking: under asyncio, call it by `asyncio.to_thread`."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.kubeconfig = folder / "admin.kubeconfig.yaml"
        """Of a member of system:masters, who may do everything."""
        self.ca = folder / "ca.crt"
        """Signs the server's certificate, and is believed for clients' certificates."""
        self.binaries = binaries
        self._authority = trustme.CA()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._tls = ssl.create_default_context()

    @classmethod
    @contextmanager
    def up(cls, binaries: Path) -> Iterator[Self]:
        # Not below pytest's folder: etcd's files hold every Secret, and that folder is searched for them.
        with tempfile.TemporaryDirectory(prefix="byway-plane-") as folder:
            plane = cls(binaries, Path(folder))
            try:
                plane._start()
                yield plane
            finally:
                plane._end()

    # --- Asking

    def kubectl(self, *args: str | Path, input: str | None = None, kubeconfig: Path | None = None) -> str:
        """Its standard output. Raises AssertionError with what it said when it fails."""
        done = self.kubectl_says(*args, input=input, kubeconfig=kubeconfig)
        assert done.returncode == 0, f"kubectl {' '.join(map(str, args))}\n{done.stderr}"
        return done.stdout

    def kubectl_says(
        self, *args: str | Path, input: str | None = None, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """The same, for tests of what a person reads when it fails."""
        # Its own cache, and nobody's preferences.
        environment = {
            **os.environ,
            "KUBECONFIG": str(kubeconfig or self.kubeconfig),
            "KUBECACHEDIR": str(self.folder / "cache"),
            "KUBERC": "off",
        }
        command = [str(KUBECTL), *map(str, args)]
        return subprocess.run(
            command, input=input, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    def raw(self, verb: str, path: str, body: Object | None = None, content_type: str = "application/json") -> Any:
        """One call as the administrator, without kubectl's tenth of a second. Raises ApiError."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self._tls)
        with contextlib.closing(connection):
            payload = None if body is None else json.dumps(body)
            connection.request(verb, path, payload, {"Content-Type": content_type, "Accept": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
        if answer.status >= 300:
            raise ApiError(answer.status, text.decode(errors="replace"))
        return json.loads(text) if answer.getheader("Content-Type", "").startswith("application/json") else text

    def connection(self) -> http.client.HTTPSConnection:
        """The administrator's, to do with as one likes."""
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=150, context=self._tls)

    def since(self, path: str, version: str) -> list[dict[str, Any]]:
        """Every event of a watch since this resourceVersion; takes a second."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self._tls)
        with contextlib.closing(connection):
            connection.request("GET", f"{path}?watch=1&timeoutSeconds=1&resourceVersion={version}")
            return [json.loads(line) for line in connection.getresponse().read().splitlines()]

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def apply(self, manifest: str | Path, namespace: str | None = None) -> str:
        """Server-side, a text or a file. With a namespace, no object in it may name another."""
        where = ("-n", namespace) if namespace else ()
        text = manifest.read_text() if isinstance(manifest, Path) else manifest
        return self.kubectl("apply", "--server-side", *where, "-f", "-", input=text)

    def wait(self, kind: str, namespace: str, name: str, until: str, within_s: float = 10.0) -> None:
        """As `kubectl wait --for`: `condition=Ready`, `delete`, `jsonpath={.status.x}=y`."""
        self.kubectl("wait", f"{kind}/{name}", "-n", namespace, f"--for={until}", f"--timeout={within_s}s")

    def calls(self, username: str) -> Sequence[Call]:
        """What this user has asked of the API server so far, in order: see `username`."""
        with (self.folder / "audit.jsonl").open() as log:
            return [_call(event) for event in map(json.loads, log) if event["user"].get("username") == username]

    def pids(self) -> dict[str, int]:
        """Of its processes, by their program's name."""
        return {name: child.pid for name, child in self._children.items()}

    # --- Making

    def namespace(self, labels: Mapping[str, str] | None = None) -> str:
        metadata = {"generateName": "test-", "labels": dict(labels or {})}
        return str(self.raw("POST", "/api/v1/namespaces", {"metadata": metadata})["metadata"]["name"])

    def empty(self, namespace: str) -> None:
        """Take what is ours out of it: operators that look at all namespaces would look at it for ever."""
        for plural in ("modelroutes", "providerkeys", "budgets", "accesskeys"):
            self.raw("DELETE", f"/apis/byway.dev/v1alpha1/namespaces/{namespace}/{plural}")

    def service_account(self, namespace: str, name: str) -> None:
        """There afterwards, whoever made it."""
        with _already_there():
            self.raw("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})

    def pod(self, namespace: str, name: str, service_account: str, node: str = "node-a") -> str:
        """A Pod that runs nowhere; its uid. A token can be bound to it."""
        self.service_account(namespace, service_account)
        spec = {
            "serviceAccountName": service_account,
            "nodeName": node,
            "containers": [{"name": "only", "image": "none.invalid/none"}],
        }
        body = {"metadata": {"name": name}, "spec": spec}
        return str(self.raw("POST", f"/api/v1/namespaces/{namespace}/pods", body)["metadata"]["uid"])

    def token(
        self,
        namespace: str,
        service_account: str,
        audience: str | None = None,
        *,
        pod: str | None = None,
        expires_s: int = 3600,
    ) -> str:
        """As a kubelet would project it. Without an audience it is for the API server. At least 600 s."""
        self.service_account(namespace, service_account)
        spec: dict[str, Any] = {"audiences": [audience] if audience else [], "expirationSeconds": expires_s}
        if pod:
            uid = self.raw("GET", f"/api/v1/namespaces/{namespace}/pods/{pod}")["metadata"]["uid"]
            spec["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        return str(self.raw("POST", path, {"spec": spec})["status"]["token"])

    def kubeconfig_for(self, service_account: str, namespace: str, port: int | None = None) -> Path:
        """With which a process of ours runs as that ServiceAccount, and with its rights alone."""
        path = self.folder / f"{namespace}-{service_account}-{port or self.port}.kubeconfig.yaml"
        user = {"token": self.token(namespace, service_account)}
        self._write_kubeconfig(path, user, port or self.port, namespace)
        return path

    def certificate(self, *names: str, common_name: str = "test", organization: str | None = None) -> Certificate:
        """For a server at these names or addresses, or for a client, whose organization is its group."""
        # Without a single name trustme's certificates carry an empty list of them, which Go refuses to read.
        names = names or ("client.invalid",)
        leaf = self._authority.issue_cert(*names, common_name=common_name, organization_name=organization)
        folder = Path(tempfile.mkdtemp(dir=self.folder, prefix="certificate-"))
        made = Certificate(folder / "tls.crt", folder / "tls.key")
        made.cert.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
        made.key.write_bytes(leaf.private_key_pem.bytes())
        return made

    def controllers(self) -> None:
        """Start the controller manager and the scheduler too, for the rest of the session, unless they run.

        From then on namespaces end, each has a `default` ServiceAccount, and Services get EndpointSlices; but Pods
        on a node that does not exist are taken away after some 40 s.
        """
        # The kernel ends a child with the thread that made it.
        assert threading.current_thread() is threading.main_thread()
        if "kube-scheduler" in self._children:
            return
        common = f"--kubeconfig={self.kubeconfig}", "--leader-elect=false", "--secure-port=0"
        key = f"--service-account-private-key-file={self.folder}/sa.key"
        self._child("kube-controller-manager", *common, key, f"--root-ca-file={self.ca}")
        self._child("kube-scheduler", *common)
        self._until(lambda: bool(self.raw("GET", "/api/v1/namespaces/default/serviceaccounts/default")))

    # --- Beginning and ending

    def _start(self) -> None:
        self._write_credentials()
        etcd = f"http://127.0.0.1:{free_port()}"
        urls = f"--listen-client-urls={etcd}", f"--advertise-client-urls={etcd}"
        here = self.folder
        self._child("etcd", f"--data-dir={here}/etcd", "--unsafe-no-fsync", "--log-level=warn", *urls,
                    "--listen-peer-urls=http://127.0.0.1:0")  # fmt: skip
        (here / "audit.yaml").write_text(json.dumps(AUDIT_POLICY))
        (here / "audit.jsonl").touch()
        server = self.certificate("127.0.0.1", "localhost", common_name="kube-apiserver")
        self._child(
            "kube-apiserver",
            f"--etcd-servers={etcd}",
            f"--cert-dir={here}",
            f"--tls-cert-file={server.cert}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={self.ca}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self.port}",
            # Nobody reaches it by the Service `kubernetes`; without these it looks for an address to write there.
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=RBAC",
            "--allow-privileged=true",
            # It would refuse Pods until the controller manager has made their ServiceAccount's files.
            "--disable-admission-plugins=ServiceAccount",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={here}/sa.pub",
            f"--service-account-signing-key-file={here}/sa.key",
            f"--audit-policy-file={here}/audit.yaml",
            f"--audit-log-path={here}/audit.jsonl",
        )
        self._until(lambda: bool(self.raw("GET", "/readyz") == b"ok"))
        self.kubectl("apply", "--server-side", "-k", ROOT / "crds")
        self.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=10s")

    def _end(self) -> None:
        for child in reversed(self._children.values()):
            child.kill()
            child.wait()

    def _child(self, name: str, *arguments: str) -> None:
        program = self.binaries / name
        assert program.exists(), (
            f"there is no {name} in {self.binaries}; `make kube` makes one (unset KUBEBUILDER_ASSETS)"
        )
        with (self.folder / f"{name}.log").open("wb") as log:
            self._children[name] = subprocess.Popen(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent(os.getpid()),
            )

    def _until(self, condition: Callable[[], bool]) -> None:
        """Polled, while everybody lives; what the server says until then does not count."""
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            with contextlib.suppress(OSError, ApiError, http.client.HTTPException):
                if condition():
                    return
            ended = [name for name, child in self._children.items() if child.poll() is not None]
            if ended or time.monotonic() > deadline:
                last_words = "\n".join(map(self._last_words, ended or self._children))
                raise AssertionError(f"the control plane does not come up\n{last_words}")
            time.sleep(0.02)

    def _last_words(self, name: str) -> str:
        lines = (self.folder / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join([f"{name}:", *lines[-5:]])

    def _write_credentials(self) -> None:
        self._authority.cert_pem.write_to_path(str(self.ca))
        self._tls.load_verify_locations(self.ca)
        admin = self.certificate(common_name="admin", organization="system:masters")
        self._tls.load_cert_chain(admin.cert, admin.key)
        user = {"client-certificate": str(admin.cert), "client-key": str(admin.key)}
        self._write_kubeconfig(self.kubeconfig, user, self.port, "default")
        signing = rsa.generate_private_key(65537, 2048)
        (self.folder / "sa.key").write_bytes(
            signing.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        )
        (self.folder / "sa.pub").write_bytes(
            signing.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        )

    def _write_kubeconfig(self, path: Path, user: Object, port: int, namespace: str) -> None:
        cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority": str(self.ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}],
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
        }
        path.touch(0o600)
        path.write_text(json.dumps(config))


def username(namespace: str, service_account: str) -> str:
    """As audit log, TokenReview and RBAC have it."""
    return f"system:serviceaccount:{namespace}:{service_account}"


def _call(event: Mapping[str, Any]) -> Call:
    what = event.get("objectRef", {})
    resource = "/".join(filter(None, [what.get("resource"), what.get("subresource")]))
    answered = event["responseStatus"]["code"] if event["stage"] == "ResponseComplete" else 0
    names = what.get("apiGroup", ""), resource, what.get("namespace", ""), what.get("name", "")
    credential = event["user"].get("extra", {}).get("authentication.kubernetes.io/credential-id", [""])[0]
    return Call(event["verb"], *names, event["requestURI"], answered, event["requestReceivedTimestamp"], credential)


@contextmanager
def _already_there() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.status != 409:
            raise


def _end_with_parent(parent: int) -> Callable[[], None] | None:
    """So that nothing is left when pytest is killed. Linux only, as the call is."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def ask() -> None:
        prctl(1, int(signal.SIGKILL), 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return ask
