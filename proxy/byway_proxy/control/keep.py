"""Keep the last good table where a restarted process finds it, so that a proxy serves even while no operator does.

Two files in one folder: `table.json` without the credentials, `credentials.json` (mode 0600) with them and only on
a memory-backed file system, so that no disk ever holds a provider's credential. Each is written beside its place,
synced and renamed; the table's hash, which is over both, tells a torn, mixed or altered pair from a good one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from byway_contract.stream import Snapshot
from byway_contract.table import SectionName
from byway_process.logs import Log
from msgspec import Raw

from byway_proxy.control.tables import Held

TABLE, CREDENTIALS = "table.json", "credentials.json"
MOUNTS = Path("/proc/self/mounts")
_MEMORY = frozenset({"tmpfs", "ramfs"})
_SECRET: SectionName = "credentials"
_SCHEMA = 1


class _Kept(msgspec.Struct, frozen=True):
    hash: str
    term: int
    seq: int
    schema: int
    sections: dict[SectionName, dict[str, Raw]]


class _Credentials(msgspec.Struct, frozen=True):
    hash: str
    credentials: dict[str, Raw]


_encode = msgspec.json.Encoder().encode


@dataclass
class Keep:
    """A folder of our own. Both methods block; call them in a thread."""

    folder: Path
    log: Log
    mounts: Path = MOUNTS
    _warned: bool = False

    def save(self, held: Held) -> None:
        """What cannot be written is logged: a proxy that serves must not stop because its copy cannot be kept."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._save_credentials(held)
            plain = {section: dict(members) for section, members in held.table.raw.items() if section != _SECRET}
            kept = _Kept(held.table.hash, held.term, held.seq, _SCHEMA, plain)
            _replace(self.folder / TABLE, _encode(kept))
        except OSError as error:
            self.log.warning("the table cannot be kept", folder=str(self.folder), why=error.strerror or "")

    def load(self) -> Snapshot | None:
        """The kept table, unverified: the caller loads it as if it had come by the stream."""
        try:
            kept = msgspec.json.decode((self.folder / TABLE).read_bytes(), type=_Kept)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.log.warning("the kept table is unreadable and ignored", why=type(error).__name__)
            return None
        sections: dict[SectionName, dict[str, Raw]] = {**kept.sections}
        credentials = self._load_credentials(kept.hash)
        if credentials:
            sections[_SECRET] = dict(credentials)
        return Snapshot("", kept.term, kept.seq, kept.hash, kept.schema, "", sections)

    def _save_credentials(self, held: Held) -> None:
        path = self.folder / CREDENTIALS
        credentials = dict(held.table.raw.get(_SECRET, {}))
        if not credentials or not self._in_memory():
            path.unlink(missing_ok=True)
            return
        _replace(path, _encode(_Credentials(held.table.hash, credentials)))

    def _in_memory(self) -> bool:
        if memory_backed(self.folder.resolve(), self.mounts.read_text(errors="replace")):
            return True
        if not self._warned:
            self._warned = True
            self.log.warning(
                "credentials are not kept: the folder is on a disk; give a tmpfs, or a restart needs the operator",
                folder=str(self.folder),
            )
        return False

    def _load_credentials(self, digest: str) -> Mapping[str, Raw] | None:
        try:
            kept = msgspec.json.decode((self.folder / CREDENTIALS).read_bytes(), type=_Credentials)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            self.log.warning("the kept credentials are unreadable and ignored", why=type(error).__name__)
            return None
        return kept.credentials if kept.hash == digest else None


def memory_backed(folder: Path, mounts: str) -> bool:
    """Whether the file system that holds `folder` (resolved) lives in memory, by `/proc/self/mounts`."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        _, point, fs = (*line.split(" "), "", "", "")[:3]
        mount = Path(point.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        # Of two mounts on one point the later one is on top.
        if folder.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fs
    return kind in _MEMORY


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
