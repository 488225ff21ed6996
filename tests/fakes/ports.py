"""Ports for processes that a test starts: nobody else is given the same one before they listen."""

import contextlib
import random
import socket

# Below those that a kernel gives to whoever connects: there are thousands of connections in a run.
_PORTS = range(18_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    while True:
        port = random.choice(_PORTS)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as listening, contextlib.suppress(OSError):  # somebody else listens there
            listening.bind(("127.0.0.1", port))
            return port
