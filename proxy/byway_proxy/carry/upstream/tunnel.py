"""CONNECT: a tunnel through a forward proxy, made on the bare socket before anything else owns it.

Neither TLS nor an HTTP server speaks first, so not one byte may follow the proxy's head.
"""

import asyncio
import socket

import httptools

from byway_proxy.carry.upstream.failures import Failure
from byway_proxy.carry.upstream.origins import Egress

_MOST = 16 * 1024


async def dig(loop: asyncio.AbstractEventLoop, sock: socket.socket, egress: Egress, host: str, port: int) -> None:
    """Raises Failure("proxy")."""
    try:
        await loop.sock_sendall(sock, _question(egress, host, port))
        answer = b""
        while b"\r\n\r\n" not in answer:
            piece = await loop.sock_recv(sock, 4096)
            answer += piece
            if not piece or len(answer) > _MOST:
                raise Failure("proxy", "the egress proxy gave no HTTP answer to CONNECT")
    except OSError as error:
        raise Failure("proxy", f"the egress proxy broke off ({type(error).__name__})") from error
    status = _status(answer)
    if not 200 <= status < 300:
        raise Failure("proxy", f"the egress proxy refuses a tunnel to {host}: status {status}")
    if not answer.endswith(b"\r\n\r\n"):
        raise Failure("proxy", "the egress proxy sent bytes of its own into the tunnel")


def _question(egress: Egress, host: str, port: int) -> bytes:
    there = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    lines = [f"CONNECT {there} HTTP/1.1", f"Host: {there}"]
    if egress.authorization is not None:
        lines.append(f"Proxy-Authorization: {egress.authorization.reveal()}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def _status(answer: bytes) -> int:
    parser = httptools.HttpResponseParser(object())
    try:
        parser.feed_data(answer[: answer.index(b"\r\n\r\n") + 4])
    except httptools.HttpParserUpgrade:
        pass  # 101: no 2xx, and told so
    except httptools.HttpParserError as error:
        raise Failure("proxy", "the egress proxy's answer to CONNECT is not HTTP") from error
    return int(parser.get_status_code())
