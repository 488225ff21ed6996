"""A disk without room, as a limit on the size of files: write(2) is short at the limit, and fails beyond it."""

import contextlib
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from byway_contract.records import Intent, Settle, decode
from byway_proxy.meter.log import Log, LogFull
from byway_proxy.meter.meter import Meter
from fakes.usage import USAGE, intent, settle, wait_until


@contextlib.contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


ROOM = 20_000


def log_at(folder: Path, **settings: float) -> Log:
    """Its spare is larger than ROOM, so a new one can be set aside only when there is room again."""
    return Log(folder, emergency_bytes=2 * ROOM, sync_every_s=0.005, try_again_s=0.01, **settings)  # type: ignore[arg-type] # all are numbers


def fill(log: Log) -> list[str]:
    begun: list[str] = []
    with contextlib.suppress(LogFull):
        while True:
            log.append(intent(f"a{len(begun)}"))
            begun.append(f"a{len(begun)}")
    return begun


def attempts(log: Log) -> tuple[list[str], list[str]]:
    log.sync()
    found, seq = [], log.oldest
    while payloads := log.read(seq, 1000):
        found += [decode(payload) for payload in payloads]
        seq += len(payloads)
    assert seq == log.last + 1
    began = [record.attempt for record in found if isinstance(record, Intent)]
    ended = [record.attempt for record in found if isinstance(record, Settle)]
    return began, ended


def test_without_room_new_attempts_are_refused_and_those_under_way_are_settled(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    with files_of_at_most(ROOM):
        begun = fill(log)
        assert begun
        assert not log.ready
        with pytest.raises(LogFull, match="takes no new attempts"):
            log.append(intent("one more"))
        for attempt in begun:
            log.append(settle(attempt))
    began, ended = attempts(log)
    assert began == ended == begun
    log.close()
    again = Log(tmp_path)
    assert again.crashed == again.lost == 0
    again.close()


def test_of_a_record_that_did_not_fit_nothing_stays(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    full = log._active
    with files_of_at_most(ROOM):
        fill(log)
    assert ROOM - 300 < full.size < ROOM
    assert full.path.stat().st_size == full.size
    log.close()


def test_attempts_begin_again_when_there_is_room(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    with files_of_at_most(ROOM):
        begun = fill(log)
        log.append(settle(begun[0]))
    wait_until(lambda: log.ready)
    log.append(intent("again"))
    assert log.trouble == ""
    began, ended = attempts(log)
    assert began == [*begun, "again"]
    assert ended == begun[:1]
    log.close()


def test_attempts_begin_again_when_nothing_was_settled_meanwhile(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    with files_of_at_most(ROOM):
        begun = fill(log)
    wait_until(lambda: log.ready)
    log.append(intent("again"))
    assert attempts(log)[0] == [*begun, "again"]
    log.close()
    again = Log(tmp_path)
    assert again.crashed == len(begun) + 1
    again.close()


def test_settles_wait_in_memory_when_even_the_emergency_segment_is_full(tmp_path: Path) -> None:
    log = log_at(tmp_path)
    meter = Meter(log, now=lambda: 5.0)
    with files_of_at_most(ROOM):
        begun = []
        with contextlib.suppress(LogFull):
            while True:
                meter.begin(intent(f"a{len(begun)}"))
                begun.append(f"a{len(begun)}")
        for attempt in begun:
            meter.settle(attempt, "ok", USAGE, "provider", answered=True, finish="stop", upstream_id="x" * 200)
        assert not meter.open
        assert not meter.catch_up()
        assert meter.billed > 0
    wait_until(lambda: log.ready)
    meter.begin(intent("again"))
    assert meter.catch_up()
    began, ended = attempts(log)
    assert began == [*begun, "again"]
    assert ended == begun
    log.close()


def test_a_log_that_cannot_be_opened_for_want_of_room_says_so(tmp_path: Path) -> None:
    with files_of_at_most(0), pytest.raises(LogFull, match="cannot be opened"):
        Log(tmp_path)
    Log(tmp_path).close()
