"""A forward proxy that leads every tunnel, whatever host it was asked for, to one fake provider.

So manifests that name real providers are called as they are: their hosts, their TLS, their paths. It holds a
certificate for those hosts from an authority that the proxies under test are told of (SSL_CERT_FILE).
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WITHIN_S = 20.0
TLS_BEGINS = b"\x16"


@dataclass
class Egress:
    to: tuple[str, int]
    tls: ssl.SSLContext
    url: str = ""
    asked: list[str] = field(default_factory=list)
    """Hosts, in the order of their tunnels."""

    def serve(self, listener: socket.socket) -> None:
        """Until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._tunnel, args=(client,), daemon=True).start()

    def _tunnel(self, client: socket.socket) -> None:
        client.settimeout(WITHIN_S)
        # A client that breaks off is its own affair; what it then lacks, its test will miss.
        with contextlib.suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = client.recv(4096)
                if not piece:
                    return
                head += piece
            self.asked.append(head.split(b" ")[1].decode().rpartition(":")[0])
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            if client.recv(1, socket.MSG_PEEK) == TLS_BEGINS:
                client = self.tls.wrap_socket(client, server_side=True)
            with client, socket.create_connection(self.to, WITHIN_S) as provider:
                back = threading.Thread(target=_pump, args=(provider, client), daemon=True)
                back.start()
                _pump(client, provider)
                back.join(WITHIN_S)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


@contextmanager
def egress(provider: str, cert: Path, key: Path) -> Iterator[Egress]:
    """`provider` is a fake's base URL."""
    host, _, port = provider.removeprefix("http://").partition("/")[0].partition(":")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(cert, key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Egress((host, int(port)), tls, f"http://127.0.0.1:{listener.getsockname()[1]}")
        thread = threading.Thread(target=made.serve, args=(listener,), daemon=True)
        thread.start()
        try:
            yield made
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(WITHIN_S)
