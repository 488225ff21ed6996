"""Certificates are renewed under open connections, and half a renewal changes nothing."""

import asyncio
import io
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from byway_process.logs import Log
from byway_process.tls import ClientTls, ServerTls, TlsError

NAME = "byway-operator.byway.svc"
Ask = Callable[[ssl.SSLContext], Awaitable[tuple[int, str]]]
"""Connect anew: the serial number of the server's certificate, and the name on ours as the server read it."""


class Mounted:
    """A folder as the kubelet mounts a Secret: files are links through `..data`, which is replaced as a whole."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._count = folder, 0
        folder.mkdir()

    def write(self, **files: bytes) -> None:
        self._count += 1
        version = self.folder / f"..{self._count}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
            link = self.folder / name
            if not link.is_symlink():
                link.symlink_to(Path("..data") / name)
        new = self.folder / "..new"
        new.symlink_to(version.name)
        new.replace(self.folder / "..data")
        if self._count > 1:
            shutil.rmtree(self.folder / f"..{self._count - 1}")

    def issue(self, authority: trustme.CA, name: str = NAME, ca: trustme.CA | None = None) -> None:
        made = authority.issue_cert(name, common_name=name)
        chain = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        self.write(cert=chain, key=made.private_key_pem.bytes(), ca=(ca or authority).cert_pem.bytes())

    def file(self, name: str) -> str:
        return str(self.folder / name)

    def server(self, log: Log) -> ServerTls:
        return ServerTls(self.file("cert"), self.file("key"), log, self.file("ca"))

    def client(self, log: Log) -> ClientTls:
        return ClientTls(self.file("ca"), log, self.file("cert"), self.file("key"))


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(out: io.StringIO) -> Log:
    return Log("test", out=out)


def trusting(authority: trustme.CA, *shows: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    for one in shows:
        one.configure_cert(context)
    return context


class Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.serial = int(writer.get_extra_info("peercert")["serialNumber"], 16)

    async def get(self) -> str:
        self.writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r")[0])
        return (await self.reader.readexactly(length)).decode()


@asynccontextmanager
async def connected(port: int, context: ssl.SSLContext) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@asynccontextmanager
async def served(tls: ServerTls) -> AsyncIterator[tuple[int, Ask]]:
    async def name(request: web.Request) -> web.Response:
        assert request.transport is not None
        shown = request.transport.get_extra_info("peercert") or {}
        names = [value for part in shown.get("subject", ()) for key, value in part if key == "commonName"]
        return web.Response(text=",".join(names))

    app = web.Application()
    app.add_routes([web.get("/", name)])
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls.context).start()
    port: int = runner.addresses[0][1]

    async def ask(context: ssl.SSLContext) -> tuple[int, str]:
        async with connected(port, context) as connection:
            return connection.serial, await connection.get()

    try:
        yield port, ask
    finally:
        await runner.cleanup()


def test_new_handshakes_get_the_renewed_certificate_and_open_connections_go_on(
    tmp_path: Path, log: Log, out: io.StringIO
) -> None:
    async def story() -> None:
        authority, mounted = trustme.CA(), Mounted(tmp_path / "tls")
        mounted.issue(authority)
        tls, trusts = mounted.server(log), trusting(authority)
        async with served(tls) as (port, ask), connected(port, trusts) as opened:
            assert await opened.get() == ""
            before = await ask(trusts)
            mounted.issue(authority)
            assert await ask(trusts) == before  # nobody has looked yet
            tls.look()
            after = await ask(trusts)
            assert after != before
            assert (opened.serial, await opened.get()) == before
            tls.look()
            assert out.getvalue().count("TLS files are renewed") == 1

    asyncio.run(story())


def test_somebody_looks_from_time_to_time(tmp_path: Path, log: Log, out: io.StringIO) -> None:
    async def story() -> None:
        authority, mounted = trustme.CA(), Mounted(tmp_path / "tls")
        mounted.issue(authority)
        watching = asyncio.create_task(mounted.server(log).watch(every_s=0.01))
        mounted.issue(authority)
        async with asyncio.timeout(5):
            while "renewed" not in out.getvalue():  # noqa: ASYNC110 - a log is what it writes to
                await asyncio.sleep(0.005)
        watching.cancel()

    asyncio.run(story())


@pytest.mark.parametrize("torn", ["the key of another", "half a certificate", "no key", "an authority of nothing"])
def test_files_that_do_not_belong_together_change_nothing_and_are_said_once(
    torn: str, tmp_path: Path, log: Log, out: io.StringIO
) -> None:
    async def story() -> None:
        authority, mounted = trustme.CA(), Mounted(tmp_path / "tls")
        mounted.issue(authority)
        tls, trusts = mounted.server(log), trusting(authority)
        async with served(tls) as (_, ask):
            before = await ask(trusts)
            mounted.issue(authority)
            whole = {name: (mounted.folder / name).read_bytes() for name in ("cert", "key", "ca")}
            broken = {
                "the key of another": {"key": authority.issue_cert(NAME).private_key_pem.bytes()},
                "half a certificate": {"cert": whole["cert"][:400]},
                "no key": {"key": b""},
                "an authority of nothing": {"ca": b"none"},
            }[torn]
            mounted.write(**{**whole, **broken})
            for _look in range(3):
                tls.look()
                assert await ask(trusts) == before
            assert out.getvalue().count("TLS files cannot be used") == 1
            assert "PRIVATE" not in out.getvalue()
            mounted.write(**whole)
            tls.look()
            assert await ask(trusts) != before

    asyncio.run(story())


def test_an_authority_that_was_taken_out_vouches_for_no_client_any_more(tmp_path: Path, log: Log) -> None:
    async def story() -> None:
        servers, old, new = trustme.CA(), trustme.CA(), trustme.CA()
        mounted = Mounted(tmp_path / "tls")
        mounted.issue(servers, ca=old)
        tls = mounted.server(log)
        by_old, by_new, nobody = (
            trusting(servers, old.issue_cert(common_name="one")),
            trusting(servers, new.issue_cert(common_name="two")),
            trusting(servers),
        )
        async with served(tls) as (_, ask):
            assert (await ask(nobody))[1] == ""
            assert (await ask(by_old))[1] == "one"
            with pytest.raises((OSError, EOFError)):
                await ask(by_new)
            mounted.issue(servers, ca=new)
            tls.look()
            assert (await ask(by_new))[1] == "two"
            assert (await ask(nobody))[1] == ""
            with pytest.raises((OSError, EOFError)):
                await ask(by_old)

    asyncio.run(story())


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nobody_comes_back_by_a_session_from_before(newest: ssl.TLSVersion, tmp_path: Path, log: Log) -> None:
    """Without looking at certificates again, that is."""
    authority, mounted = trustme.CA(), Mounted(tmp_path / "tls")
    mounted.issue(authority)
    trusts = trusting(authority, authority.issue_cert(common_name="one"))
    trusts.maximum_version = newest

    def visit(port: int, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            trusts.wrap_socket(plain, server_hostname=NAME, session=session) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while tls.recv(4096):
                pass
            return bool(tls.session_reused), tls.session

    async def story() -> None:
        async with served(mounted.server(log)) as (port, _):
            if newest is ssl.TLSVersion.TLSv1_2:
                with pytest.raises(ssl.SSLError):
                    await asyncio.to_thread(visit, port, None)
                return
            _, session = await asyncio.to_thread(visit, port, None)
            reused, _ = await asyncio.to_thread(visit, port, session)
            assert not reused

    asyncio.run(story())


def test_a_client_trusts_whom_its_file_names_now(tmp_path: Path, log: Log) -> None:
    async def story() -> None:
        one, two = trustme.CA(), trustme.CA()
        theirs, ours = Mounted(tmp_path / "theirs"), Mounted(tmp_path / "ours")
        theirs.issue(one)
        ours.issue(one, "byway-operator")
        tls, client = theirs.server(log), ours.client(log)
        async with served(tls) as (_, ask):
            assert (await ask(client.context))[1] == "byway-operator"
            theirs.issue(two)
            tls.look()
            with pytest.raises(ssl.SSLCertVerificationError):
                await ask(client.context)
            ours.issue(two, "byway-operator")
            assert (await ask(client.context))[1] == "byway-operator"
            (ours.folder / "ca").unlink()
            assert (await ask(client.context))[1] == "byway-operator"  # the authorities before serve on

    asyncio.run(story())


def test_old_tls_is_refused(tmp_path: Path, log: Log) -> None:
    async def story() -> None:
        authority, mounted = trustme.CA(), Mounted(tmp_path / "tls")
        mounted.issue(authority)
        old = trusting(authority)
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        old.set_ciphers("ALL:@SECLEVEL=0")
        async with served(ServerTls(mounted.file("cert"), mounted.file("key"), log)) as (_, ask):
            assert (await ask(trusting(authority)))[1] == ""
            with pytest.raises((OSError, EOFError)):
                await ask(old)

    asyncio.run(story())


def test_files_that_were_never_whole_stop_the_process_with_a_sentence(tmp_path: Path, log: Log) -> None:
    mounted = Mounted(tmp_path / "tls")
    with pytest.raises(TlsError, match=r"No such file.*mount both files"):
        mounted.server(log)
    mounted.write(cert=b"", key=b"", ca=b"")
    with pytest.raises(TlsError, match="not a PEM certificate chain and its own unencrypted key"):
        mounted.server(log)
    with pytest.raises(TlsError, match="no PEM certificates"):
        mounted.client(log)
