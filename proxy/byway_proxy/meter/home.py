"""The log's directory: who it is, how often it was opened, what of it is booked, and that one process has it.

lock            held by flock while a process has the log
source          random 128 bits in hex, minted with the directory
epoch           how often it was opened
booked          the ledger has everything up to this seq; a hint, losing it ships some records again
lost            the ledger was told that this log is lost: the next opening moves it aside, and is a new one
running         since which start of its machine a process has the log; gone when it has let go of it
unsure          the machine lost its power under a running process: what was not synced yet may be missing
emergency       1 MiB set aside for the day the disk is full
<seq>.log       segments, named by the seq of their first record
"""

import contextlib
import fcntl
import os
import secrets
from pathlib import Path


class LogError(Exception):
    """The log cannot be used."""


class LogFull(LogError):
    """No room, or the disk fails: no new attempt may begin."""


class LogInUse(LogError):
    """Another process has this log."""


def seize(directory: Path) -> int:
    """Take the directory for this process until the descriptor returned is closed. Raises LogInUse."""
    directory.mkdir(parents=True, exist_ok=True)
    fd = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        owner = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise LogInUse(
            f"the log in {directory} is in use by process {owner}; give each proxy a directory of its own"
        ) from error
    with contextlib.suppress(OSError):  # the number is for people; a full disk must not stop us here
        os.truncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def source_of(directory: Path, *, fresh: bool) -> str:
    """The log's identity. `fresh`: it has no segments, so it may as well be new; its numbers start at 1 again."""
    path = directory / "source"
    if not fresh:
        try:
            return path.read_text().strip()
        except FileNotFoundError as error:
            raise LogError(
                f"{directory} has records but no file `source`, so nobody knows whose they are;"
                " put it back, or move the directory away to begin a new log"
            ) from error
    source = secrets.token_hex(16)
    replace(path, source)
    return source


def machine_start() -> str:
    """Which start of its machine this is; the same for all containers on it."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return "unknown"


def came_through(directory: Path) -> bool:
    """Whether everything that was ever written here is here, as far as the machine is concerned. From now on a
    process has the log."""
    running, unsure, start = directory / "running", directory / "unsure", machine_start()
    with contextlib.suppress(FileNotFoundError):
        before = running.read_text().strip()
        if before != start:
            replace(unsure, "what earlier openings held and did not settle is charged")
    replace(running, start)
    return not unsure.exists()


def is_sure(directory: Path) -> None:
    """The ledger has charged what may be missing."""
    (directory / "unsure").unlink(missing_ok=True)


def let_go(directory: Path) -> None:
    """Everything is synced."""
    (directory / "running").unlink(missing_ok=True)
    sync_directory(directory)


def disown(directory: Path) -> None:
    """The ledger takes nothing of this log any more, ever."""
    replace(directory / "lost", "declared lost; what is here was never booked, or is booked as unaccounted")


def move_aside(directory: Path) -> None:
    """A log that was declared lost makes room for a new one. It stays, for whoever wants to know what was in it."""
    if not (directory / "lost").exists():
        return
    with contextlib.suppress(FileNotFoundError):
        aside = directory / f"lost-{(directory / 'source').read_text().strip()}"
        aside.mkdir(exist_ok=True)
        for path in (
            *directory.glob("*.log"),
            *(directory / name for name in ("open", "booked", "epoch", "source")),
        ):
            if path.exists():
                os.replace(path, aside / path.name)
    (directory / "lost").unlink()
    sync_directory(directory)


def number_in(path: Path) -> int:
    """0 where there is no such file or no number in it."""
    with contextlib.suppress(FileNotFoundError, ValueError):
        return int(path.read_text())
    return 0


def replace(path: Path, text: str, *, durable: bool = True) -> None:
    """Write a small file at once or not at all."""
    beside = path.with_name(path.name + ".new")
    with open(beside, "w") as file:
        file.write(text + "\n")
        file.flush()
        if durable:
            os.fsync(file.fileno())
    os.replace(beside, path)
    if durable:
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
