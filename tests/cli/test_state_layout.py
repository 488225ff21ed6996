import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from byway_cli.errors import CommandError
from byway_cli.up import layout
from byway_cli.up.layout import Layout, Running, RunningProxy


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    folder = tmp_path / "quickstart"
    folder.mkdir()
    return folder


def test_a_state_is_named_after_its_folder_and_differs_for_another_of_the_same_name(tmp_path: Path) -> None:
    environment = {"XDG_STATE_HOME": str(tmp_path / "home")}
    here, there = (layout.default_state(tmp_path / place / "team", environment) for place in ("here", "there"))
    assert here.parent == there.parent == tmp_path / "home/byway"
    assert here.name.startswith("team-")
    assert here != there


def test_the_same_folder_by_a_link_is_the_same_state(resources: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(resources)
    assert layout.default_state(link, {}) == layout.default_state(resources, {})


def test_state_inside_the_folder_of_resources_is_refused(resources: Path) -> None:
    with pytest.raises(CommandError, match="inside the folder of resources"):
        layout.lay_out(resources, resources / "state", {})


def test_a_state_too_long_for_unix_sockets_is_refused_with_the_way_out(resources: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"bytes too long for a unix socket.*--state"):
        layout.lay_out(resources, tmp_path / ("x" * 100), {})


def test_a_missing_folder_of_resources_is_named(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="nowhere: no such folder"):
        layout.lay_out(tmp_path / "nowhere", None, {})


def test_credentials_are_kept_where_the_runtime_folder_is_memory_and_on_dev_shm_otherwise(tmp_path: Path) -> None:
    runtime, shm = frozenset({Path("/run/user/7"), Path("/dev/shm")}), frozenset({Path("/dev/shm")})
    environment = {"XDG_RUNTIME_DIR": "/run/user/7"}
    assert layout.memory_backed(tmp_path, environment, runtime).parent == Path("/run/user/7/byway")
    assert layout.memory_backed(tmp_path, environment, shm).parent == Path(f"/dev/shm/byway-{os.getuid()}")
    assert layout.memory_backed(tmp_path, environment, frozenset()) == tmp_path / "keep"


def test_everything_made_is_ours_alone(tmp_path: Path) -> None:
    house = _house(tmp_path)
    layout.make(house)
    for folder in (house.state, house.run, house.memory, house.memory.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_a_link_where_the_memory_backed_folder_should_be_is_refused(tmp_path: Path) -> None:
    house = _house(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    house.memory.parent.mkdir(parents=True)
    house.memory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CommandError, match="belongs to somebody else"):
        layout.make(house)


def test_a_second_copy_on_the_same_state_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    house = _house(tmp_path)
    layout.make(house)
    second = "import sys\nfrom pathlib import Path\nfrom byway_cli.up import layout\n"
    second += f"with layout.held(layout.Layout(Path({str(house.state)!r}), Path('/'))): pass"
    with layout.held(house):
        ended = subprocess.run([sys.executable, "-c", second], capture_output=True, text=True, timeout=20)
    assert ended.returncode != 0
    assert f"already up on {house.state} (pid {os.getpid()})" in ended.stderr


def test_who_runs_is_known_only_while_it_runs(tmp_path: Path) -> None:
    house = _house(tmp_path)
    layout.make(house)
    running = Running(os.getpid(), "somewhere", 8080, (RunningProxy("proxy-0", 4711, 42),))
    with layout.held(house):
        layout.write_running(house, running)
        assert layout.read_running(house.state) == running
        assert layout.is_held(house.state)
    assert not layout.is_held(house.state)
    assert layout.read_running(house.state) is None


def test_nothing_stays_in_memory_when_nobody_runs_any_more(tmp_path: Path) -> None:
    house = _house(tmp_path)
    layout.make(house)
    with layout.held(house):
        (house.memory / "proxy-0").mkdir()
        (house.memory / "proxy-0/credentials.json").touch()
    assert not house.memory.exists()


def test_what_a_killed_copy_left_behind_is_not_taken_for_a_running_one(tmp_path: Path) -> None:
    house = _house(tmp_path)
    layout.make(house)
    house.lock.write_text("1\n")
    layout.write_running(house, Running(1, "somewhere", 8080))
    assert layout.read_running(house.state) is None


def _house(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "state", tmp_path / "memory/one")
