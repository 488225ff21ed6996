"""Which limits a ledger has, as its own socket says."""

import json
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socket import AF_UNIX, SOCK_STREAM, socket

from byway_contract.grants import COUNTERS_PATH
from byway_operator.compile.budgets import hash_of

NOTHING = hash_of(())


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("ledger", timeout=10)
        self._path = path

    def connect(self) -> None:
        self.sock = socket(AF_UNIX, SOCK_STREAM)
        self.sock.connect(str(self._path))


def in_force(ledger: Path) -> str:
    """The hash of the limits; empty while the ledger is away."""
    connection = _Connection(ledger)
    try:
        connection.request("GET", COUNTERS_PATH)
        found: str = json.loads(connection.getresponse().read())["hash"]
        return found
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
