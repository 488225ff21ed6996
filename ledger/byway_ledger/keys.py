"""Whose tokens are believed: the cluster's signing keys, as the operator brought them last.

The ledger dials nobody and has no right in Kubernetes, so it cannot fetch them. They lie beside the books, so that
a ledger that starts while no operator is there knows its proxies all the same (docs/decisions/keys-are-brought.md).
Ledgers side by side on PostgreSQL keep them there, and each looks what another was brought.
"""

import contextlib
import os
from pathlib import Path

import msgspec
from byway_contract.table import Issuer
from byway_process.logs import Log
from byway_process.tokens import Verifier, usable

MOST_BYTES = 256 * 1024

_decode = msgspec.json.Decoder(Issuer).decode
_encode = msgspec.json.Encoder(order="sorted").encode


class KeysError(ValueError):
    """These are no keys for us. Says what to bring instead."""


class Keys:
    """`verifier` is None until the first keys came."""

    def __init__(self, path: Path | None, audience: str, log: Log) -> None:
        """Without a path they are kept by whoever reads `written`."""
        self.verifier: Verifier | None = None
        self.count = 0
        """Of keys that can be used."""
        self._path, self._audience, self._log = path, audience, log
        self._kept = b""
        if path is not None:
            self._recall(path)

    @property
    def written(self) -> bytes:
        """The last ones, to be kept; empty before the first."""
        return self._kept

    def take(self, body: bytes) -> None:
        """Believe these from now on, and them alone. Raises KeysError; OSError if they are not kept as well."""
        try:
            issuer = _decode(body)
        except msgspec.DecodeError as error:
            raise KeysError(f"no issuer with its keys: {error}") from error
        self._believe(issuer)
        written = _encode(issuer)
        if written != self._kept:
            if self._path is not None:
                _replace(self._path, written)
            self._kept = written
            self._log.info("signing keys are brought", issuer=issuer.issuer, keys=self.count)

    def _believe(self, issuer: Issuer) -> None:
        if issuer.audience != self._audience:
            raise KeysError(
                f"audience: want {self._audience!r}, which is BYWAY_AUDIENCE here, not {issuer.audience!r}"
            )
        count = sum(map(usable, issuer.keys))
        if not issuer.issuer or not count:
            raise KeysError("want an issuer and at least one RSA or EC key of it that tokens can be verified with")
        self.verifier, self.count = Verifier(issuer.issuer, issuer.audience, issuer.keys), count

    def _recall(self, path: Path) -> None:
        try:
            body = path.read_bytes()
            self._believe(_decode(body))
            self._kept = body
        except FileNotFoundError:
            return
        except (OSError, msgspec.DecodeError, KeysError) as error:
            self._log.warning("the kept signing keys are of no use; the operator brings others", why=str(error))


def _replace(path: Path, content: bytes) -> None:
    """The whole file or the one before, also after a power failure."""
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
