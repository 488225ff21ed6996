"""A ledger behind its door: certificates, tokens of proxies' pods, and the operator that brings the keys."""

import asyncio
import contextlib
import io
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import trustme
from builders.cluster_tokens import Minted, Signer, claims, issuer, rsa_signer
from byway_contract.table import Issuer
from byway_ledger.app import serve, settings_from
from byway_operator.kube.ledger_keys import LedgerKeys
from byway_process.logs import Log
from byway_process.tls import ClientTls
from byway_proxy.meter.post import Ledger
from fakes.ports import free_port

AUDIENCE, ACCOUNT = "byway-ledger", "byway/byway-proxy"


def pods_token(
    pod: str = "proxy-0",
    account: str = ACCOUNT,
    *,
    audience: str = AUDIENCE,
    by: Signer | None = None,
    **changes: Any,
) -> str:
    """What the kubelet would project into that pod, now."""
    now = int(time.time())
    namespace, _, name = account.partition("/")
    bound = {"namespace": namespace, "serviceaccount": {"name": name, "uid": "s-1"}}
    if pod:
        bound["pod"] = {"name": pod, "uid": f"uid-{pod}"}
    usual = {"aud": [audience], "iat": now, "nbf": now, "exp": now + 3600, "kubernetes.io": bound}
    return str(Minted(by or rsa_signer(), claims(namespace, name, **{**usual, **changes})))


@dataclass
class House:
    """Where everything lies."""

    folder: Path
    account: str = ACCOUNT
    """Whose pods may send records."""
    database: str = ""
    """Instead of a file in the folder."""
    authority: trustme.CA = field(default_factory=trustme.CA)
    port: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    said: io.StringIO = field(default_factory=io.StringIO)
    """By whoever runs in this process."""

    def __post_init__(self) -> None:
        self.issue_all(self.authority)

    def issue_all(self, authority: trustme.CA) -> None:
        """Every certificate, by this authority."""
        self.authority = authority
        self.certificate("ledger", "127.0.0.1")
        self.certificate("operator", "byway-operator", "byway-operator.byway.svc")
        self.authority.cert_pem.write_to_path(str(self.folder / "ca"))

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def log(self) -> Log:
        return Log("test", out=self.said)

    def certificate(self, who: str, *names: str, by: trustme.CA | None = None) -> None:
        made = (by or self.authority).issue_cert(*names)
        (self.folder / f"{who}.crt").write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        (self.folder / f"{who}.key").write_bytes(made.private_key_pem.bytes())

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "BYWAY_DATABASE": self.database or self.file("books.sqlite"),
            "BYWAY_LISTEN": f"127.0.0.1:{self.port}",
            "BYWAY_ADMIN": f"127.0.0.1:{self.admin}",
            "BYWAY_TLS_CERT": self.file("ledger.crt"),
            "BYWAY_TLS_KEY": self.file("ledger.key"),
            "BYWAY_CLIENT_CA": self.file("ca"),
            "BYWAY_PROXY_SERVICE_ACCOUNT": self.account,
            "BYWAY_DRAIN_S": "1",
        }

    def context(self, shows: str = "") -> ssl.SSLContext:
        """A client's, which shows the certificate of `shows` if one is named."""
        context = ssl.create_default_context(cafile=self.file("ca"))
        if shows:
            context.load_cert_chain(self.file(f"{shows}.crt"), self.file(f"{shows}.key"))
        return context

    def ledger_of(self, pod: str, token: str | None = None) -> Ledger:
        """How that pod's proxy ships: with a token in a file of its own."""
        self.project(pod, token)
        return Ledger(self.url, self.file(f"token-{pod}"), ClientTls(self.file("ca"), self.log))

    def project(self, pod: str, token: str | None = None) -> None:
        Path(self.file(f"token-{pod}")).write_text(pods_token(pod) if token is None else token)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The ledger, in this process."""
        stop = asyncio.Event()
        task = asyncio.create_task(serve(settings_from(self.environment), self.log, stop, look_every_s=0.05))
        try:
            await self._until_it_answers()
            yield
        finally:
            stop.set()
            await task

    async def _until_it_answers(self) -> None:
        async with asyncio.timeout(10):
            while not await asyncio.to_thread(answers, self.admin):  # noqa: ASYNC110 - another task's socket
                await asyncio.sleep(0.005)

    @contextlib.asynccontextmanager
    async def operator(self, *signers: Signer, issuer: Issuer | None = None) -> AsyncIterator["Operator"]:
        """Brings the keys of these signers, or of that issuer."""
        tls = ClientTls(self.file("ca"), self.log, self.file("operator.crt"), self.file("operator.key"))
        known = [issuer or self.issuer(*signers)]
        pace = {"every_s": 0.05, "look_every_s": 0.01, "first_wait_s": 0.005}
        bringing = LedgerKeys(self.url, lambda: known[-1], tls, self.log, **pace)
        task = asyncio.create_task(bringing.run())
        try:
            yield Operator(bringing, known)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def issuer(self, *signers: Signer) -> Issuer:
        return issuer(*signers)

    async def ask(self, verb: str, path: str, shows: str = "", **how: Any) -> tuple[int, dict[str, str], str]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as session,
            session.request(verb, self.url + path, ssl=self.context(shows), **how) as answer,
        ):
            return answer.status, dict(answer.headers), await answer.text()


@dataclass
class Operator:
    bringing: LedgerKeys
    known: list[Issuer]

    @property
    def brought(self) -> bool:
        """The ledger has what is known now."""
        return self.bringing.brought == self.known[-1]

    def learns(self, keys: Issuer) -> None:
        self.known.append(keys)


def answers(port: int) -> bool:
    with socket.socket() as trying:
        return trying.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """The same ledger as a process, to be killed."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {"PATH": os.environ.get("PATH", ""), **self._house.environment}
        with open(self._house.file("ledger.err"), "ab") as errors:
            self._process = subprocess.Popen([sys.executable, "-m", "byway_ledger"], env=environment, stderr=errors)
        until = time.monotonic() + 10
        while not answers(self._house.admin):
            assert self._process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.005)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def as_process(house: House) -> Iterator[Process]:
    ledger = Process(house)
    ledger.start()
    try:
        yield ledger
    finally:
        ledger.kill()
