import random
import subprocess
import sys
import time
from pathlib import Path

from byway_contract.records import Intent, Settle, decode
from byway_proxy.meter.log import Log

WRITER = """
import sys
from pathlib import Path
from byway_contract.records import Intent, Settle
from byway_proxy.meter.log import Log

log = Log(Path(sys.argv[1]), segment_bytes=65536, sync_every_s=0.001)
number = 0
while True:
    number += 1
    name = f"{log.epoch}-{number}"
    log.append(Intent(name, "gen-1", 1.0, "n", "r", "e", "a", "p", "m"))
    sys.stdout.write(f"began {name}\\n")
    if number > 3:
        ended = f"{log.epoch}-{number - 3}"
        log.append(Settle(ended, 2.0, "ok"))
        sys.stdout.write(f"ended {ended}\\n")
    sys.stdout.flush()
"""


def test_kill_9_loses_no_attempt_and_doubles_none(tmp_path: Path) -> None:
    dice, began, ended, kills = random.Random(7), set[str](), set[str](), 0
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        said = killed_after(tmp_path, dice.randrange(1, 60_000))
        kills += 1
        for line in said:
            (began if line.startswith("began") else ended).add(line.split()[1])
    assert kills >= 3
    log = Log(tmp_path)
    log.sync()
    seq, intents, settles = 1, list[str](), dict[str, str]()
    while payloads := log.read(seq, 1000):
        seq += len(payloads)
        for record in map(decode, payloads):
            if isinstance(record, Intent):
                intents.append(record.attempt)
            elif isinstance(record, Settle):
                assert record.attempt not in settles
                settles[record.attempt] = record.outcome
    assert seq == log.last + 1
    assert len(intents) == len(set(intents))
    assert began <= set(intents)
    assert set(settles) == set(intents)
    assert all(settles[attempt] == "ok" for attempt in ended)
    # What was not said to have ended is at most: three under way, and one that was ended before it could say so.
    crashed = sum(outcome == "crash" for outcome in settles.values())
    assert kills <= crashed + kills <= 5 * kills
    log.close()


def killed_after(folder: Path, size: int) -> list[str]:
    """Lines that the writer wrote until it was killed, about `size` bytes of them."""
    with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        said = writer.stdout.read(size)
        writer.kill()
        said += writer.stdout.read()
    return said.decode().split("\n")[:-1]
