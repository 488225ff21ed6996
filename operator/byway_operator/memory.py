"""What an operator on one machine remembers over a restart: generations and first times, and the last good forms.

Without it a restart while a manifest is broken would lose what that manifest served. Secrets' forms are never
written: a Secret whose file is broken during a restart is missing until it is mended, and says so.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byway_process.logs import Log

from byway_operator.compile.compile import NEVER_PERSISTED
from byway_operator.resources.manifest import Key, Manifest


class Memory:
    """A file in a folder of our own."""

    def __init__(self, folder: Path, log: Log) -> None:
        self._file = folder / "memory.json"
        self._log = log
        self._written = b""
        self.generations: Mapping[str, Any] = {}
        self.good: dict[Key, Manifest] = {}

    def load(self) -> None:
        """What cannot be read is forgotten, and said."""
        try:
            content = json.loads(self._file.read_bytes())
            self.generations = dict(content["generations"])
            self.good = {manifest.key: manifest for manifest in map(_manifest, content["good"])}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            kind = type(error).__name__
            self._log.warning("what was remembered cannot be read; generations start anew", exception=kind)

    def save(self, generations: Mapping[str, Any], good: Mapping[Key, Manifest]) -> None:
        """Atomically, and only if something changed. What cannot be written is said, and tried again next time."""
        kept = [_plain(good[key]) for key in sorted(good) if key.kind not in NEVER_PERSISTED]
        content = json.dumps({"generations": generations, "good": kept}, sort_keys=True).encode()
        if content == self._written:
            return
        beside = self._file.with_suffix(".new")
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(self._file)
            self._written = content
        except OSError as error:
            self._log.warning("what is to be remembered cannot be written", why=error.strerror)


def _plain(manifest: Manifest) -> dict[str, Any]:
    key = manifest.key
    return {
        "key": [key.kind, key.namespace, key.name],
        "body": manifest.body,
        "generation": manifest.generation,
        "created": manifest.created,
    }


def _manifest(plain: Mapping[str, Any]) -> Manifest:
    kind, namespace, name = map(str, plain["key"])
    return Manifest(
        Key(kind, namespace, name), dict(plain["body"]), int(plain["generation"]), str(plain["created"])
    )
