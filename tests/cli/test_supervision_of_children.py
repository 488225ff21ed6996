"""Real processes, kept and ended."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from byway_cli.up.children import Children, NotReadyError, Plan

# A child that says when it ends, and is ready as soon as it listens.
POLITE = """
import pathlib, signal, socket, sys
log, path, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
server = socket.socket(socket.AF_UNIX); server.bind(path); server.listen()
def end(*_):
    with log.open("a") as file: file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print("here is", name, flush=True)
while True:
    talk, _ = server.accept(); talk.recv(1000); talk.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n"); talk.close()
"""
DEAF = POLITE.replace("signal.signal(signal.SIGTERM, end)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
DYING = "print('no hope', flush=True)\nraise SystemExit(3)"


@dataclass
class Heard:
    """A voice that remembers."""

    said: list[str] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def say(self, level: str, who: str, what: str) -> None:
        self.said.append(f"{who}: {what}")

    def line(self, who: str, line: str) -> None:
        self.lines.append(f"{who}: {line}")


@dataclass
class Stage:
    """A supervisor at work, as the stories below see it."""

    folder: Path
    heard: Heard = field(default_factory=Heard)
    drain: asyncio.Event = field(default_factory=asyncio.Event)
    at_once: asyncio.Event = field(default_factory=asyncio.Event)
    ready: asyncio.Event = field(default_factory=asyncio.Event)

    def plan(self, name: str, program: str = POLITE, end_within_s: float = 10.0) -> Plan:
        socket = self.folder / f"{name}.sock"
        arguments = (sys.executable, "-c", program, str(self.folder / "ended"), str(socket), name)
        return Plan(name, arguments, dict(os.environ), socket, end_within_s, socket)

    def ended(self) -> list[str]:
        log = self.folder / "ended"
        return log.read_text().split() if log.exists() else []

    def play(
        self,
        tiers: Sequence[Sequence[Plan]],
        story: Callable[[Children], Awaitable[None]],
        start_s: float = 10.0,
    ) -> None:
        async def both() -> None:
            children = Children(self.heard, lambda: 0.0, lambda: None, start_s)
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(children.run(tiers, self.ready.set, self.drain, self.at_once))
                await story(children)

        asyncio.run(both())


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110  # it becomes true in other processes
            await asyncio.sleep(0.01)


def test_children_end_in_the_opposite_order_of_their_start(stage: Stage) -> None:
    async def story(children: Children) -> None:
        await stage.ready.wait()
        stage.drain.set()

    tiers = [[stage.plan("ledger")], [stage.plan("operator")], [stage.plan("proxy-0"), stage.plan("proxy-1")]]
    stage.play(tiers, story)
    assert sorted(stage.ended()[:2]) == ["proxy-0", "proxy-1"]
    assert stage.ended()[2:] == ["operator", "ledger"]
    assert stage.heard.lines.index("ledger: here is ledger") < stage.heard.lines.index("operator: here is operator")


def test_a_killed_child_is_started_again_past_the_socket_it_left_and_that_is_said(stage: Stage) -> None:
    async def story(children: Children) -> None:
        await stage.ready.wait()
        first = children.all[0].pid
        assert first
        os.kill(first, signal.SIGKILL)
        await until(lambda: stage.heard.lines.count("ledger: here is ledger") == 2)
        stage.drain.set()

    stage.play([[stage.plan("ledger")]], story)
    assert stage.heard.said == ["ledger: ended (SIGKILL); starting it again in 0.1 s"]


def test_a_child_that_does_not_become_ready_in_time_is_named(stage: Stage) -> None:
    async def story(children: Children) -> None:
        return

    busy = POLITE.replace("200 OK", "503 Busy")
    with pytest.raises(ExceptionGroup) as caught:
        stage.play([[stage.plan("operator", busy)]], story, start_s=0.5)
    assert str(caught.value.exceptions[0]) == "operator: not ready after 0.5 s; see above"


def test_a_child_that_dies_at_every_start_ends_everything_with_its_name(stage: Stage) -> None:
    async def story(children: Children) -> None:
        return

    with pytest.raises(ExceptionGroup) as caught:
        stage.play([[stage.plan("ledger")], [stage.plan("operator", DYING)]], story)
    assert isinstance(caught.value.exceptions[0], NotReadyError)
    assert str(caught.value.exceptions[0]) == "operator: ended 4 times before it was ready; see above"
    assert "operator: no hope" in stage.heard.lines
    assert stage.heard.said[:2] == [
        "operator: ended (exit code 3); starting it again in 0.1 s",
        "operator: ended (exit code 3); starting it again in 0.2 s",
    ]
    assert stage.ended() == ["ledger"]


def test_a_child_that_is_deaf_to_sigterm_is_killed_and_that_is_said(stage: Stage) -> None:
    async def story(children: Children) -> None:
        await stage.ready.wait()
        stage.drain.set()

    stage.play([[stage.plan("proxy-0", DEAF, end_within_s=0.2)]], story)
    assert stage.heard.said == ["proxy-0: still there after 0.2 s; killing it"]


def test_a_second_wish_to_end_does_not_wait_for_anybody(stage: Stage) -> None:
    async def story(children: Children) -> None:
        await stage.ready.wait()
        stage.drain.set()
        stage.at_once.set()

    stage.play([[stage.plan("ledger", DEAF)], [stage.plan("proxy-0", DEAF)]], story)
    assert stage.ended() == []


def test_an_endless_line_does_not_fill_our_memory_and_the_next_ones_are_heard(stage: Stage) -> None:
    async def story(children: Children) -> None:
        await stage.ready.wait()
        stage.drain.set()

    wordy = POLITE.replace('print("here', 'print("x" * 300_000); print("here')
    stage.play([[stage.plan("proxy-0", wordy)]], story)
    assert max(map(len, stage.heard.lines)) < 140_000
    assert "here is proxy-0" in "".join(stage.heard.lines)


PARENT = """
    import asyncio, os, sys
    from pathlib import Path
    from byway_cli.up.children import Children, Plan

    class Voice:
        def say(self, level, who, what): pass
        def line(self, who, line): pass

    async def main():
        folder, child = Path(sys.argv[1]), sys.argv[2]
        plan = Plan("a", (sys.executable, "-c", child, str(folder / "ended"), str(folder / "a.sock"), "a"),
            dict(os.environ), folder / "a.sock")
        children = Children(Voice(), lambda: 0.0, lambda: None)
        def ready(): print(children.all[0].pid, flush=True)
        await children.run([[plan]], ready, asyncio.Event(), asyncio.Event())

    asyncio.run(main())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel ends orphans on Linux only")
def test_children_do_not_outlive_a_supervisor_that_is_killed(stage: Stage) -> None:
    arguments = [sys.executable, "-c", textwrap.dedent(PARENT), str(stage.folder), POLITE]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        parent.kill()
    asyncio.run(until(lambda: stage.ended() == ["a"]))
    asyncio.run(until(lambda: not _lives(child)))


def _lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
