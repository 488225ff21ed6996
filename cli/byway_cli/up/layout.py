"""Where one machine's state lives: which folder, what is in it, and whose it is just now.

STATE/                      0700, never inside the folder of resources
  lock                      held by the `byway up` that runs on it; holds its pid
  run/up.json               who runs, for `get`, `usage`, `explain`
  run/*.sock                a unix socket for each process
  ledger/ operator/ log/    what they keep
MEMORY/proxy-0 …            memory-backed: a proxy's last table with its credentials
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from byway_cli.errors import CommandError

LONGEST_SOCKET = 107
"""Bytes of a unix socket's path: `sun_path` is 108 with its closing zero."""

_LONGEST_NAME = "operator.sock"
# A command that looks whether somebody holds the lock holds it itself for an instant.
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.02


class RunningProxy(msgspec.Struct, frozen=True):
    name: str
    admin: int
    """Port of its health and metrics on 127.0.0.1."""
    pid: int | None = None


class Running(msgspec.Struct, frozen=True):
    """`run/up.json`."""

    pid: int
    directory: str
    port: int
    proxies: tuple[RunningProxy, ...] = ()


@dataclass(frozen=True)
class Layout:
    state: Path
    memory: Path

    @property
    def run(self) -> Path:
        return self.state / "run"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def running(self) -> Path:
        return self.run / "up.json"

    def socket(self, process: str) -> Path:
        return self.run / f"{process}.sock"


def default_root(environment: Mapping[str, str]) -> Path:
    """Where states live that nobody gave a place: `${XDG_STATE_HOME:-~/.local/state}/byway`."""
    home = environment.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local/state") / "byway"


def default_state(directory: Path, environment: Mapping[str, str]) -> Path:
    """One for each folder: its name for people, a hash of its real path for uniqueness."""
    real = directory.resolve()
    return default_root(environment) / f"{real.name or 'root'}-{_short(real)}"


def lay_out(directory: Path, state: Path | None, environment: Mapping[str, str]) -> Layout:
    """Decide the places; nothing is made yet. Raises CommandError."""
    if not directory.is_dir():
        raise CommandError(f"{directory}: no such folder; give the one your resources are in")
    chosen = (state or default_state(directory, environment)).absolute()
    if chosen.resolve().is_relative_to(directory.resolve()):
        raise CommandError(
            f"{chosen}: state inside the folder of resources would be read as resources; give another --state"
        )
    longest = len(os.fsencode(chosen / "run" / _LONGEST_NAME))
    if longest > LONGEST_SOCKET:
        over = longest - LONGEST_SOCKET
        raise CommandError(f"{chosen}: {over} bytes too long for a unix socket; give a shorter --state")
    return Layout(chosen, memory_backed(chosen, environment, _mounts()))


def memory_backed(state: Path, environment: Mapping[str, str], tmpfs: frozenset[Path]) -> Path:
    """Where a proxy may keep credentials: in memory only. A machine without such a place keeps none.

    `tmpfs` are the mount points that are memory. The fallback is on disk; a proxy sees that and writes no secrets.
    """
    runtime = environment.get("XDG_RUNTIME_DIR", "")
    if runtime.startswith("/") and _within(Path(runtime), tmpfs):
        return Path(runtime) / "byway" / _short(state.resolve())
    if _within(Path("/dev/shm"), tmpfs):
        return Path(f"/dev/shm/byway-{os.getuid()}") / _short(state.resolve())
    return state / "keep"


def make(layout: Layout) -> None:
    """Make the folders, ours alone. Raises CommandError where a stranger got there first, or we may not."""
    try:
        for folder in (layout.state, layout.run, layout.memory.parent, layout.memory):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in (layout.state, layout.memory.parent, layout.memory):
            _claim(folder)
        for name in ("ledger", "operator", "log"):
            (layout.state / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}; give a folder of your own with --state") from error


@contextlib.contextmanager
def held(layout: Layout) -> Iterator[None]:
    """Hold the state for as long as the block runs. Raises CommandError naming the pid of whoever holds it."""
    with layout.lock.open("a+") as file:
        if not _locked(file.fileno()):
            file.seek(0)
            pid = file.read().strip() or "unknown"
            raise CommandError(f"already up on {layout.state} (pid {pid}); stop it, or give another --state")
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        try:
            yield
        finally:
            layout.running.unlink(missing_ok=True)
            # Credentials are in memory only while somebody runs who needs them.
            shutil.rmtree(layout.memory, ignore_errors=True)


def is_held(state: Path) -> bool:
    """Whether a `byway up` runs on this state."""
    try:
        with (state / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def write_running(layout: Layout, running: Running) -> None:
    """Say who runs, whole or not at all."""
    new = layout.running.with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(running)) + b"\n")
    new.replace(layout.running)


def read_running(state: Path) -> Running | None:
    """Who runs on this state: None if nobody does, or it is not ready yet."""
    if not is_held(state):
        return None
    try:
        return msgspec.json.decode((state / "run" / "up.json").read_bytes(), type=Running)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _locked(file: int) -> bool:
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_S)
    return False


def _claim(folder: Path) -> None:
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise CommandError(f"{folder}: belongs to somebody else; remove it, or give another --state")
    folder.chmod(0o700)


def _short(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:8]


def _within(path: Path, mounts: frozenset[Path]) -> bool:
    """Whether `path` is below one of these. Another kind of mount in between is rare enough."""
    return any(path.is_relative_to(mount) for mount in mounts)


def _mounts() -> frozenset[Path]:
    try:
        lines = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return frozenset()
    return frozenset(
        Path(fields[1]) for fields in map(str.split, lines) if len(fields) > 2 and fields[2] == "tmpfs"
    )
