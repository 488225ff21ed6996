import errno
import os
from pathlib import Path

import pytest
from byway_contract.records import Boot, Intent, Record, Settle, decode
from byway_proxy.meter.framing import frames
from byway_proxy.meter.home import LogError, LogInUse
from byway_proxy.meter.log import Log
from fakes.usage import intent, settle, wait_until


def contents(log: Log) -> list[Record]:
    """Every record, by the way that shipping reads them."""
    log.sync()
    found: list[bytes] = []
    while len(found) < log.last - log.oldest + 1:
        found += log.read(log.oldest + len(found), 1000)
    return [decode(payload) for payload in found]


def kinds(log: Log) -> list[str]:
    return [type(record).__name__ for record in contents(log)]


def test_records_are_numbered_over_all_openings_of_a_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert (log.epoch, log.last) == (1, 1)
    assert log.append(intent("a")) == 2
    assert log.append(settle("a")) == 3
    log.close()
    again = Log(tmp_path)
    assert (again.source, again.epoch, again.last) == (log.source, 2, 4)
    assert kinds(again) == ["Boot", "Intent", "Settle", "Boot"]
    again.close()


def test_a_log_remembers_how_often_it_was_opened_even_without_its_file(tmp_path: Path) -> None:
    Log(tmp_path).close()
    (tmp_path / "epoch").unlink()
    log = Log(tmp_path)
    assert log.epoch == 2
    log.close()


def test_an_attempt_that_never_ended_is_settled_as_crashed_when_the_log_is_opened(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(intent("ended"))
    log.append(settle("ended"))
    log.append(intent("cut off"))
    log.close()
    again = Log(tmp_path, now=lambda: 7.0)
    assert again.crashed == 1
    crashed = contents(again)[4]
    assert crashed == Settle(attempt="cut off", at=7.0, outcome="crash", reason="crash")
    assert not again.open
    again.close()


def test_a_log_knows_that_its_machine_lost_power_until_the_ledger_was_told(tmp_path: Path) -> None:
    log = Log(tmp_path)
    assert not log.unsure
    log.close()
    again = Log(tmp_path)
    assert not again.unsure, "it was closed well"
    again.close()
    for told in (False, True):
        (tmp_path / "running").write_text("another start of the machine\n")
        cut = Log(tmp_path)
        assert cut.unsure
        cut.close()
        late = Log(tmp_path)
        assert late.unsure, "nobody has been told"
        if told:
            late.is_sure()
        late.close()
    last = Log(tmp_path)
    assert not last.unsure
    last.close()


def test_two_processes_cannot_have_one_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    with pytest.raises(LogInUse, match=f"in use by process {os.getpid()}"):
        Log(tmp_path)
    log.close()
    Log(tmp_path).close()


def test_a_record_torn_at_any_byte_is_cut_off_and_all_before_it_stay(tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    log = Log(whole)
    log.append(intent("a"))
    log.append(settle("a"))
    before = log._active.size
    log.append(intent("torn", title="x" * 20))
    name, after = log._active.path.name, log._active.size
    log.close()
    data = (whole / name).read_bytes()
    for size in range(before, after + 1):
        torn = tmp_path / f"torn-{size}"
        torn.mkdir()
        (torn / "source").write_text("s\n")
        (torn / name).write_bytes(data[:size])
        again = Log(torn)
        found = kinds(again)
        if size == after:
            assert found == ["Boot", "Intent", "Settle", "Intent", "Settle", "Boot"]
        else:
            assert found == ["Boot", "Intent", "Settle", "Boot"]
            # Zeros do not count: they may as well be room set aside.
            assert size - before - 3 <= again.cut_bytes <= size - before
        again.close()


def test_a_torn_record_with_other_bytes_behind_it_is_no_record(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(intent("a"))
    path, size = log._active.path, log._active.size
    log.append(intent("b"))
    log.close()
    data = bytearray(path.read_bytes())
    data[size + 20] ^= 1
    path.write_bytes(data)
    again = Log(tmp_path)
    assert kinds(again) == ["Boot", "Intent", "Settle", "Boot"]
    again.close()


def test_zeros_at_the_end_of_a_file_are_its_end() -> None:
    assert list(frames(b"\0" * 64)) == []


def test_numbers_stay_the_same_when_the_end_of_a_full_file_was_lost(tmp_path: Path) -> None:
    log = Log(tmp_path, segment_bytes=1200)
    for number in range(12):
        log.append(intent(f"a{number}"))
    first, second = log._segments[0], log._segments[1]
    last, next_first = log.last, second.first
    log.close()
    data = first.path.read_bytes()
    keep = next(iter(frames(data)))[0]
    first.path.write_bytes(data[:keep])
    again = Log(tmp_path)
    assert again.lost == first.last - 1
    assert again.last == last + (12 - again.lost) + 1
    found = contents(again)
    assert found[first.last - 1] == Boot(epoch=0, at=0.0, build="lost")
    assert isinstance(found[next_first - 1], Intent)
    again.close()


def test_numbers_that_the_ledger_has_booked_are_not_given_out_again(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(intent("a"))
    log.mark_booked(2)
    log.close()
    path = next(tmp_path.glob("*.log"))
    path.write_bytes(b"")
    again = Log(tmp_path)
    assert (again.lost, again.last) == (2, 3)
    again.close()


def test_a_log_whose_records_are_all_gone_is_a_new_log(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.mark_booked(1)
    log.close()
    for path in tmp_path.glob("*.log"):
        path.unlink()
    again = Log(tmp_path)
    assert again.source != log.source
    assert (again.booked, again.last) == (0, 1)
    again.close()


def test_records_without_a_source_are_nobodys(tmp_path: Path) -> None:
    Log(tmp_path).close()
    (tmp_path / "source").unlink()
    with pytest.raises(LogError, match="no file `source`"):
        Log(tmp_path)


def test_a_segment_goes_away_once_all_of_it_is_booked(tmp_path: Path) -> None:
    log = Log(tmp_path, segment_bytes=1000)
    for number in range(20):
        log.append(intent(f"a{number}"))
        log.append(settle(f"a{number}"))
    assert len(list(tmp_path.glob("*.log"))) > 5
    log.mark_booked(log._segments[1].last)
    log.sync()
    assert log.oldest == log.booked + 1
    log.mark_booked(log.last)
    log.sync()
    assert len(list(tmp_path.glob("*.log"))) == 1
    log.close()
    again = Log(tmp_path)
    assert again.last == 42
    assert again.booked == 41
    again.close()


def test_an_attempt_whose_beginning_is_deleted_is_settled_as_crashed_all_the_same(
    tmp_path: Path,
) -> None:
    log = Log(tmp_path, segment_bytes=1000)
    log.append(intent("long"))
    log.append(intent("not so long"))
    for number in range(20):
        log.append(intent(f"a{number}"))
        log.append(settle(f"a{number}"))
    log.mark_booked(log.last)
    log.sync()
    assert log.oldest > 30
    log.append(settle("not so long"))
    log.close()
    again = Log(tmp_path, segment_bytes=1000)
    assert again.crashed == 1
    crashed = contents(again)[-2]
    assert isinstance(crashed, Settle)
    assert (crashed.attempt, crashed.outcome) == ("long", "crash")
    again.mark_booked(again.last)
    for number in range(20):
        again.append(intent(f"b{number}"))
        again.append(settle(f"b{number}"))
    again.mark_booked(again.last)
    again.close()
    last = Log(tmp_path)
    assert last.crashed == 0
    last.close()


def test_only_what_is_safe_on_the_disk_is_read_back(tmp_path: Path) -> None:
    log = Log(tmp_path, sync_every_s=3600)
    log.append(intent("a"))
    assert log.read(1, 1000) == []
    log.sync()
    assert len(log.read(1, 1000)) == 2
    log.close()


def test_records_reach_the_disk_by_themselves(tmp_path: Path) -> None:
    log = Log(tmp_path, sync_every_s=0.005)
    log.append(intent("a"))
    wait_until(lambda: log.synced == 2)
    log.close()


def test_records_can_be_read_from_anywhere(tmp_path: Path) -> None:
    log = Log(tmp_path, segment_bytes=1000)
    for number in range(30):
        log.append(intent(f"a{number}"))
    log.sync()
    for seq in (31, 2, 17, 18, 3, 31):
        record = decode(log.read(seq, 1)[0])
        assert isinstance(record, Intent)
        assert record.attempt == f"a{seq - 2}"
    few = log.read(2, 1000, most_bytes=700)
    assert 1 <= len(few) <= 2
    log.close()


def test_a_user_agent_that_is_no_unicode_or_endless_is_written_down_all_the_same(tmp_path: Path) -> None:
    log = Log(tmp_path)
    log.append(intent("a", user_agent="curl\udcff"))
    log.append(intent("b", user_agent="x" * 100_000))
    first, second = contents(log)[1:]
    assert isinstance(first, Intent)
    assert isinstance(second, Intent)
    assert first.user_agent == "curl?"
    assert second.user_agent == "x" * 256
    log.close()


def test_a_disk_that_cannot_sync_is_not_trusted_with_new_attempts_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path, sync_every_s=0.005, try_again_s=0.01)
    wait_until(lambda: log.synced == 1)
    broken, tried = os.fstat(log._active.fd).st_ino, list[int]()
    sync = os.fdatasync

    def failing(fd: int) -> None:
        tried.append(os.fstat(fd).st_ino)
        if tried[-1] == broken:
            raise OSError(errno.EIO, "Input/output error")
        sync(fd)

    monkeypatch.setattr(os, "fdatasync", failing)
    log.append(intent("a"))
    wait_until(lambda: bool(log.trouble))
    assert "cannot be synced: Input/output error" in log.trouble
    assert log.append(settle("a")) == 3
    wait_until(lambda: log.ready)
    assert log.append(intent("b")) == 4
    assert log.trouble == ""
    assert kinds(log) == ["Boot", "Intent", "Settle", "Intent"]
    # What a kernel could not write it has dropped, and it says so only once.
    assert tried.count(broken) == 1
    log.close()
