"""Ask a process of a running `byway up`, or tell it something: one request over its socket; and which is meant."""

import contextlib
import http.client
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlencode

import msgspec

from byway_cli.errors import CommandError
from byway_cli.up import layout

_WITHIN_S = 10.0
COPY_BYTES = 64 * 1024


def ask(path: Path, url: str, **query: str | None) -> Mapping[str, Any]:
    """The JSON object that the process behind this socket answers. Raises CommandError."""
    with _asked(path, url, query) as answer:
        return _understood(path.stem, answer.status, answer.read())


def tell(path: Path, url: str, what: msgspec.Struct) -> Mapping[str, Any]:
    """The JSON object that it answers to this. Raises CommandError."""
    with _asked(path, url, {}, msgspec.json.encode(what)) as answer:
        return _understood(path.stem, answer.status, answer.read())


def copy(path: Path, url: str, to: BinaryIO, **query: str | None) -> None:
    """What it answers, however long, as it comes. Raises CommandError; BrokenPipeError where nobody reads."""
    with _asked(path, url, query) as answer:
        if answer.status != 200:
            _understood(path.stem, answer.status, answer.read())
        while piece := answer.read1(COPY_BYTES):
            to.write(piece)
        to.flush()


@contextlib.contextmanager
def _asked(
    path: Path, url: str, query: Mapping[str, str | None], body: bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    said = {name: value for name, value in query.items() if value is not None}
    connection = _UnixConnection(path)
    try:
        connection.request("GET" if body is None else "POST", f"{url}?{urlencode(said)}" if said else url, body)
        yield connection.getresponse()
    except BrokenPipeError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise CommandError(f"{path.stem} does not answer ({error}); is `byway up` still running?") from error
    finally:
        connection.close()


def state_of(state: Path | None, directory: Path | None, environment: Mapping[str, str]) -> Path:
    """The state of the `byway up` that is meant: the one named, or the only one that runs. Raises CommandError."""
    if state or directory:
        chosen = state or layout.default_state(directory or Path(), environment)
        if not layout.is_held(chosen):
            raise CommandError(f"no byway is up on {chosen}; start it with `byway up {directory or 'DIR'}`")
        return chosen
    root = layout.default_root(environment)
    held = sorted(found.parent for found in root.glob("*/lock") if layout.is_held(found.parent))
    if len(held) == 1:
        return held[0]
    if not held:
        raise CommandError("no byway is up here; start one with `byway up DIR`, or name its --state")
    named = ", ".join(_name(found) for found in held)
    raise CommandError(f"{len(held)} are up ({named}): say which with --dir or --state")


def a_proxy(state: Path) -> Path:
    """The socket of the first proxy. They all hold the same table. Raises CommandError."""
    running = layout.read_running(state)
    if running is None or not running.proxies:
        raise CommandError(f"{state}: byway is still starting; ask again in a moment")
    return state / "run" / f"{running.proxies[0].name}.sock"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("byway", timeout=_WITHIN_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_WITHIN_S)
        self.sock.connect(str(self._path))


def _understood(who: str, status: int, body: bytes) -> Mapping[str, Any]:
    try:
        answer = msgspec.json.decode(body)
    except msgspec.DecodeError:
        answer = None
    if isinstance(answer, dict) and status == 200:
        return answer
    error = answer.get("error") if isinstance(answer, dict) else None
    said = error.get("message", "") if isinstance(error, dict) else error
    if said and status == 400:  # about what was asked for, which names itself
        raise CommandError(str(said))
    raise CommandError(f"{who} answered {status}" + (f": {said}" if said else ""))


def _name(state: Path) -> str:
    running = layout.read_running(state)
    return running.directory if running else str(state)
