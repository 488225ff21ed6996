"""Logs of one shape: a JSON object a line, on standard error.

    {"at":"2026-11-24T12:00:00.000Z","level":"warning","process":"proxy-0","what":"table refused","hash":"9f…"}

`what` is a sentence; everything else is a field. No prompt, completion or credential is ever given to it, and
other libraries' own lines come out in the same shape, shortened, without their tracebacks' values.
"""

import logging
import sys
import time
from typing import Literal, TextIO

import msgspec

Level = Literal["debug", "info", "warning", "error"]
_ORDER: dict[Level, int] = {"debug": 10, "info": 20, "warning": 30, "error": 40}
_MOST = 2000

_encode = msgspec.json.Encoder(enc_hook=str).encode


class Log:
    """Where a process writes. One for each process, made by its `main` and handed down."""

    def __init__(self, process: str, level: Level = "info", out: TextIO | None = None) -> None:
        self._process = process
        self._least = _ORDER[level]
        self._out = out or sys.stderr

    def debug(self, what: str, **fields: object) -> None:
        self._write("debug", what, fields)

    def info(self, what: str, **fields: object) -> None:
        self._write("info", what, fields)

    def warning(self, what: str, **fields: object) -> None:
        self._write("warning", what, fields)

    def error(self, what: str, **fields: object) -> None:
        self._write("error", what, fields)

    def _write(self, level: Level, what: str, fields: dict[str, object]) -> None:
        if _ORDER[level] < self._least:
            return
        now = time.time()
        at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
        line = {"at": at, "level": level, "process": self._process, "what": what, **fields}
        try:
            self._out.write(_encode(line).decode() + "\n")
            self._out.flush()
        except (OSError, ValueError):
            return  # a closed or full standard error must not end the process that complains into it


def adopt_library_logs(log: Log) -> None:
    """Bring what libraries log through `logging` into our shape: the logger's name, a message, no traceback."""
    root = logging.getLogger()
    root.handlers = [_Bridge(log)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(True)


class _Bridge(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        kind = type(record.exc_info[1]).__name__ if record.exc_info and record.exc_info[1] else ""
        # A library's message may quote what a stranger sent: keep it on one line and short, and only its template
        # where the arguments would be that stranger's.
        write = self._log.error if record.levelno >= logging.ERROR else self._log.warning
        write("a library complains", logger=record.name, message=str(record.msg)[:_MOST], exception=kind)
