"""A proxy that starts while no operator answers serves from its kept copy, and no disk ever holds a credential."""

import asyncio
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from byway_proxy.control.keep import memory_backed
from stream.parts import SECRET, a_proxy, an_operator, compiled, until

NOBODY = Path("/nonexistent/s")
SHM = Path("/dev/shm")
DISK = "/dev/sda / ext4 rw 0 0\n"


@pytest.fixture
def memory() -> Iterator[Path]:
    if not SHM.is_dir():
        pytest.skip("this machine has no /dev/shm")
    with tempfile.TemporaryDirectory(prefix="byway-", dir=SHM) as folder:
        yield Path(folder) / "kept"


async def a_table_is_kept(folder: Path, mounts: Path | None = None, *routes: str) -> None:
    table, file = compiled(*(routes or ("smart",))), folder / "table.json"
    async with an_operator(term=2 if routes else 1) as operator:
        operator.hub.publish(table)
        async with a_proxy(operator.socket, keep=folder, mounts=mounts):
            await until(lambda: file.exists() and table.hash in file.read_text())


def test_a_proxy_starts_from_its_kept_table_when_no_operator_answers(memory: Path) -> None:
    async def story() -> None:
        await a_table_is_kept(memory)
        async with a_proxy(NOBODY, keep=memory, start_s=0.05) as proxy:
            assert not proxy.control.ready
            await until(lambda: proxy.serving == compiled("smart").hash)
            assert proxy.applied[0].credentials["team-a/openai"].value.reveal() == SECRET

    asyncio.run(story())


def test_a_fresh_table_is_waited_for_before_the_kept_one_is_served(memory: Path) -> None:
    async def story() -> None:
        await a_table_is_kept(memory)
        async with an_operator(term=2) as operator:
            operator.hub.publish(compiled("fast"))
            async with a_proxy(operator.socket, keep=memory) as proxy:
                await until(lambda: proxy.control.ready)
                assert [table.hash for table in proxy.applied] == [compiled("fast").hash]

    asyncio.run(story())


def test_a_kept_table_that_is_still_the_newest_is_not_sent_again(memory: Path) -> None:
    async def story() -> None:
        await a_table_is_kept(memory)
        async with an_operator(term=2) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket, keep=memory) as proxy:
                await until(lambda: operator.acked == [compiled("smart").hash])
                assert len(proxy.applied) == 1
                assert '"origin":"disk"' in operator.log.getvalue()

    asyncio.run(story())


def test_without_an_operator_and_a_kept_table_a_proxy_is_not_ready() -> None:
    async def story() -> None:
        async with a_proxy(NOBODY, start_s=0.01) as proxy:
            await until(lambda: proxy.log.getvalue().count("the control stream is over") > 2)
            assert not proxy.control.ready

    asyncio.run(story())


def test_credentials_are_in_a_file_of_their_own_that_only_we_may_read(memory: Path) -> None:
    asyncio.run(a_table_is_kept(memory))
    assert SECRET not in (memory / "table.json").read_text()
    assert SECRET in (memory / "credentials.json").read_text()
    assert stat.S_IMODE((memory / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(memory.stat().st_mode) == 0o700
    assert sorted(path.name for path in memory.iterdir()) == ["credentials.json", "table.json"]


def test_no_credential_is_written_to_a_disk(tmp_path: Path) -> None:
    async def story() -> None:
        mounts = tmp_path / "mounts"
        mounts.write_text(DISK)
        folder = tmp_path / "kept"
        async with an_operator() as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket, keep=folder, mounts=mounts) as proxy:
                await until(lambda: (folder / "table.json").exists())
                operator.hub.publish(compiled("fast"))
                await until(lambda: "team-a/fast" in (folder / "table.json").read_text())
                assert proxy.log.getvalue().count("credentials are not kept") == 1
        assert not any(SECRET in path.read_text() for path in folder.iterdir())
        # Without its credentials the copy is not the table that was hashed.
        async with a_proxy(NOBODY, keep=folder, mounts=mounts, start_s=0.01) as proxy:
            await until(lambda: "not whole" in proxy.log.getvalue())
            await until(lambda: "the control stream is over" in proxy.log.getvalue())
            assert not proxy.control.ready

    asyncio.run(story())


@pytest.mark.parametrize("harm", ["torn", "altered", "empty", "mixed", "credentials torn"])
def test_a_kept_table_that_is_not_whole_is_ignored(memory: Path, harm: str) -> None:
    async def story() -> None:
        await a_table_is_kept(memory)
        table, credentials = memory / "table.json", memory / "credentials.json"
        match harm:
            case "torn":
                table.write_bytes(table.read_bytes()[:-30])
            case "altered":
                table.write_text(table.read_text().replace("http://127.0.0.1:1", "http://192.0.2.66"))
            case "empty":
                table.write_bytes(b"")
            case "mixed":
                older = credentials.read_bytes()
                await a_table_is_kept(memory, None, "fast")
                credentials.write_bytes(older)
            case "credentials torn":
                credentials.write_bytes(credentials.read_bytes()[:-9])
        async with a_proxy(NOBODY, keep=memory, start_s=0.01) as proxy:
            await until(lambda: "ignored" in proxy.log.getvalue())
            await until(lambda: "the control stream is over" in proxy.log.getvalue())
            assert not proxy.control.ready
            assert SECRET not in proxy.log.getvalue()

    asyncio.run(story())


def test_a_folder_is_memory_backed_by_the_mount_that_holds_it() -> None:
    mounts = DISK + (
        "tmpfs /run tmpfs rw 0 0\n"
        "/dev/sdb /run/disk ext4 rw 0 0\n"
        "tmpfs /with\\040space tmpfs rw 0 0\n"
        "tmpfs /twice tmpfs rw 0 0\n"
        "/dev/sdc /twice ext4 rw 0 0\n"
    )
    assert memory_backed(Path("/run/byway"), mounts)
    assert memory_backed(Path("/with space/x"), mounts)
    assert not memory_backed(Path("/run/disk/byway"), mounts)
    assert not memory_backed(Path("/runner"), mounts)
    assert not memory_backed(Path("/twice"), mounts)
    assert not memory_backed(Path("/var"), mounts)


def test_a_table_that_was_kept_is_never_rolled_back(memory: Path) -> None:
    async def story() -> None:
        async with an_operator(term=7) as operator:
            operator.hub.publish(compiled("smart"))
            async with a_proxy(operator.socket, keep=memory) as proxy:
                await until(lambda: (memory / "table.json").exists() and proxy.control.ready)
        async with an_operator(term=3) as stale:
            stale.hub.publish(compiled("smart", secret="sk-revoked"))
            async with a_proxy(stale.socket, keep=memory, start_s=0.05) as proxy:
                await until(lambda: proxy.serving == compiled("smart").hash)
                await until(lambda: any(view.nack for view in stale.hub.fleet().proxies))
                assert [table.hash for table in proxy.applied] == [compiled("smart").hash]

    asyncio.run(story())
