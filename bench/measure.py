"""What a process costs, read from /proc: exact time on a CPU in ns, and memory. And what machine that was on."""

import os
import platform
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def tree(root: int) -> list[int]:
    """`root` and all that descend from it, now."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (stat := _read(entry / "stat")):
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def command(pid: int) -> str:
    return _read(PROC / str(pid) / "cmdline").replace("\0", " ")


def cpu_ns(pids: list[int]) -> int:
    """Time on a CPU of all threads that live; of those that ended too, where the kernel's ticks know of more."""
    return sum(max(_exact_ns(pid), _ticks_ns(pid) - TICK_NS) for pid in pids)


def _exact_ns(pid: int) -> int:
    threads = PROC / str(pid) / "task"
    try:
        return sum(int((_read(thread / "schedstat") or "0").split()[0]) for thread in threads.iterdir())
    except FileNotFoundError:
        return 0


def _ticks_ns(pid: int) -> int:
    fields = _read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_NS if fields else 0


def memory_kb(pids: list[int]) -> int:
    """PSS: pages shared by n processes count 1/n in each; RSS where we may not read that."""
    return sum(_field_kb(pid, "smaps_rollup", "Pss:") or _field_kb(pid, "status", "VmRSS:") for pid in pids)


def _field_kb(pid: int, file: str, name: str) -> int:
    for line in _read(PROC / str(pid) / file).splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0


def _read(path: Path) -> str:
    """Empty when the process has just gone, or is not ours to look at."""
    try:
        return path.read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return ""


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    kernel: str
    python: str

    @classmethod
    def here(cls) -> "Machine":
        names = [
            line.partition(":")[2].strip() for line in _read(PROC / "cpuinfo").splitlines() if "model name" in line
        ]
        return cls(
            cpu=names[0] if names else platform.machine(),
            cores=len(os.sched_getaffinity(0)),
            kernel=platform.release(),
            python=f"{platform.python_version()} ({_build()})",
        )

    def __str__(self) -> str:
        return f"{self.cpu}, {self.cores} cores, Linux {self.kernel}, Python {self.python}"


def _build() -> str:
    """Builds differ by 1.4 times. Debian's is PGO+LTO, and its sysconfig, of another one, does not say."""
    words = sysconfig.get_config_var("CONFIG_ARGS") or ""
    flags = [said for flag, said in (("--enable-optimizations", "PGO"), ("--with-lto", "LTO")) if flag in words]
    whose = "the system's build" if sys.base_prefix == "/usr" else "a build of its own"
    return ", ".join([whose, platform.python_compiler(), *flags])
