"""A PostgreSQL of the tests' own, on a unix socket in a folder that goes with it.

`postgresql-15` of Debian is installed when we are root, as `make` does with python3-venv; where it is neither there
nor can be had, tests of it are skipped with a line, but with CI=true they fail.
"""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg
import pytest

_WHERE = ("/usr/lib/postgresql/17/bin", "/usr/lib/postgresql/16/bin", "/usr/lib/postgresql/15/bin")
_USER = "postgres"


class Server:
    """Stopped with `stop`; until then anybody of this machine's users may connect."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="byway-pg-", dir="/tmp"))
        # A server refuses to run as root, so another user must come to its files.
        self._as = _owner()
        if self._as is not None:
            os.chown(self.folder, self._as.pw_uid, self._as.pw_gid)
        self.folder.chmod(0o755)
        self._run("initdb", "--pgdata", f"{self.folder}/data", "--auth", "trust", "--username", _USER,
                  "--no-sync", "--encoding", "UTF8", "--locale", "C")  # fmt: skip
        rules = self.folder / "data/pg_hba.conf"
        rules.write_text("local all byway scram-sha-256\n" + rules.read_text())
        self.start()
        self._schemas = 0

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses='' -c max_connections=200 -c shared_buffers=64MB"
        self._run("pg_ctl", "start", "--pgdata", f"{self.folder}/data", "--wait", "--silent",
                  "--log", f"{self.folder}/log", "--options", options)  # fmt: skip

    def stop(self, mode: str = "immediate") -> None:
        """`immediate` is a crash: the next start recovers from the log."""
        self._run("pg_ctl", "stop", "--pgdata", f"{self.folder}/data", "--mode", mode, "--wait", "--silent")

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def fresh(self) -> str:
        """The URL of an empty schema, for `BYWAY_DATABASE`."""
        self._schemas += 1
        name = f"t{self._schemas}"
        asyncio.run(self._obey(f"CREATE SCHEMA {name}"))
        return f"{self.url}&search_path={name}"

    @property
    def url(self) -> str:
        return f"postgresql://{_USER}@/postgres?host={quote(str(self.folder))}"

    async def with_password(self, password: str) -> str:
        """The URL of a user that has to show it; the URL does not hold it."""
        await self._obey("DROP SCHEMA IF EXISTS byway CASCADE", "DROP ROLE IF EXISTS byway")
        await self._obey(f"CREATE ROLE byway LOGIN PASSWORD '{password}'")
        await self._obey("CREATE SCHEMA byway AUTHORIZATION byway")
        return self.url.replace(f"//{_USER}@", "//byway@") + "&search_path=byway"

    async def change_password(self, password: str) -> None:
        await self._obey(f"ALTER ROLE byway PASSWORD '{password}'")

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            yield connection
        finally:
            await connection.close()

    async def _obey(self, *statements: str) -> None:
        async with self.connected() as connection:
            for statement in statements:
                await connection.execute(statement)

    def _run(self, program: str, *arguments: str) -> None:
        become: Callable[[], None] | None = None
        if (user := self._as) is not None:

            def become() -> None:
                os.setgid(user.pw_gid)
                os.setuid(user.pw_uid)

        subprocess.run(
            [self._programs / program, *arguments], check=True, stdout=subprocess.DEVNULL, cwd="/",
            preexec_fn=become, timeout=60, env={"PATH": str(self._programs), "LC_ALL": "C"},
        )  # fmt: skip


def _owner() -> pwd.struct_passwd | None:
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_USER)
    except KeyError:
        return pwd.getpwnam("nobody")


@cache
def programs() -> Path | None:
    """The folder of `postgres` and its tools, installed if need be."""
    if (found := _found()) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        print("installing postgresql-15, which the tests of PostgreSQL want", flush=True)
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        install = ["apt-get", "install", "--yes", "--quiet", "--quiet", "--no-install-recommends", "postgresql-15"]
        if subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            subprocess.run(["apt-get", "update", "--quiet", "--quiet"], stdout=subprocess.DEVNULL, check=False)
            subprocess.run(install, env=environment, stdout=subprocess.DEVNULL, check=False)
        found = _found()
    return found


def _found() -> Path | None:
    on_path = shutil.which("pg_ctl")
    folders = [*_WHERE, *([str(Path(on_path).resolve().parent)] if on_path else [])]
    return next((Path(folder) for folder in folders if (Path(folder) / "initdb").exists()), None)


_running: list[Server] = []


def server() -> Server:
    """The one of this test run, or the test is skipped."""
    if not _running:
        where = programs()
        if where is None:
            missing = "no PostgreSQL here: install postgresql-15 (apt), or run the tests as root once"
            assert os.environ.get("CI") != "true", missing
            pytest.skip(missing)
        _running.append(Server(where))
    return _running[0]


def remove_all() -> None:
    while _running:
        _running.pop().remove()
