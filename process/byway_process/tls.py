"""TLS whose files may change while we serve: cert-manager and mounted Secrets swap them under us.

    files swapped --> a new context from all of them --> new handshakes get it; open connections go on as they are
                           | torn, or key and certificate do not belong together
                           +--> the one before serves on, and the log says so

A context is never changed, only replaced: what a failed `load_cert_chain` leaves behind is a certificate without
its key, and an authority once added to a context cannot be taken out of it again.
"""

import asyncio
import os
import ssl
from collections.abc import Callable

from byway_process.logs import Log

LOOK_EVERY_S = 5.0

_Stamp = tuple[tuple[int, ...], ...]


class TlsError(OSError):
    """Files from which no context can be made. Names them and the way out; holds nothing of what is in them."""


class ServerTls:
    """Our side of the handshake. `context` is what to listen with, for as long as the process runs.

    TLS 1.2 or later. With `client_ca`, clients may show a certificate: one that this authority did not sign ends
    the handshake, and who shows none comes in without; then TLS 1.3, for all who dial are ours. Raises TlsError.
    """

    def __init__(self, cert: str, key: str, log: Log, client_ca: str = "") -> None:
        def make() -> ssl.SSLContext:
            return _server(cert, key, client_ca)

        files = [cert, key, *([client_ca] if client_ca else [])]
        self._newest = _Newest(files, make, log)
        self.context = make()
        self.context.sni_callback = self._hand_over

    def look(self) -> None:
        """Take the files that are there now, if they are others and whole."""
        self._newest.look()

    async def watch(self, every_s: float = LOOK_EVERY_S) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await asyncio.to_thread(self.look)

    def _hand_over(self, handshake: ssl.SSLObject, _name: str | None, _front: ssl.SSLContext) -> None:
        # Called in each handshake, also when the client names no server: certificate, key and authorities from here
        # on are this context's. (What stays the listening one's: versions, and whether a client's is asked for.)
        handshake.context = self._newest.context


class ClientTls:
    """The other side. `ca` is a file of authorities, empty for the system's; `cert` and `key` say who we are.

    Ask for `context` at each connection. Raises TlsError when made.
    """

    def __init__(self, ca: str, log: Log, cert: str = "", key: str = "") -> None:
        def make() -> ssl.SSLContext:
            return _client(ca, cert, key)

        self._newest = _Newest([file for file in (ca, cert, key) if file], make, log)

    @property
    def context(self) -> ssl.SSLContext:
        """The files as they are now: looked at, and read if they are others, which takes a millisecond."""
        self._newest.look()
        return self._newest.context


class _Newest:
    """The last context that could be made of the files."""

    def __init__(self, files: list[str], make: Callable[[], ssl.SSLContext], log: Log) -> None:
        self._files, self._make, self._log = files, make, log
        self._taken = _stamp(files)
        self._refused: _Stamp | None = None
        self.context = make()

    def look(self) -> None:
        # Before the files are read: what is written after it is seen at the next look.
        stamp = _stamp(self._files)
        if stamp == self._taken:
            return
        try:
            self.context = self._make()
        except TlsError as error:
            if stamp != self._refused:
                self._log.warning("TLS files cannot be used; the ones before serve on", why=str(error))
            self._refused = stamp
            return
        self._taken, self._refused = stamp, None
        self._log.info("TLS files are renewed", files=self._files)


def _server(cert: str, key: str, client_ca: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _show(context, cert, key)
    if client_ca:
        _trust(context, client_ca)
        context.verify_mode = ssl.CERT_OPTIONAL
        # A resumed session would bring back a client's certificate whose authority is no longer trusted. In TLS 1.3
        # there is none without tickets; before it, a server remembers sessions whatever we say.
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0
    return context


def _client(ca: str, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca:
        _trust(context, ca)
    else:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    if cert:
        _show(context, cert, key)
    return context


def _show(context: ssl.SSLContext, cert: str, key: str) -> None:
    try:
        # An encrypted key must not make us ask for its password on a terminal.
        context.load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        why = f"{cert}, {key}: not a PEM certificate chain and its own unencrypted key ({error.reason or 'no PEM'})"
        raise TlsError(why) from None
    except OSError as error:
        raise TlsError(f"{cert}, {key}: {error.strerror or error}; mount both files") from error


def _trust(context: ssl.SSLContext, ca: str) -> None:
    try:
        context.load_verify_locations(cafile=ca)
    except ssl.SSLError as error:
        raise TlsError(f"{ca}: no PEM certificates in it ({error.reason or 'no PEM'})") from None
    except OSError as error:
        raise TlsError(f"{ca}: {error.strerror or error}; mount the authority's certificate") from error


def _stamp(files: list[str]) -> _Stamp:
    """What changes when a file is written, replaced, or reached through another link."""
    return tuple(_file_stamp(file) for file in files)


def _file_stamp(file: str) -> tuple[int, ...]:
    try:
        found = os.stat(file)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
