"""Sixteen faults of a provider, one healthy provider behind it: how many clients notice?

    python bench/faults.py [REQUESTS A FAULT] [AT A TIME]

Clients and providers are in this one process too, so the seconds are no measure of the proxy. Half of the
requests are streamed. Every request meets the fault: nothing is remembered against the provider that fails. Exit
code 1 if a client got anything but a whole answer, or if the books differ from what the providers served.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders.faults import SIXTEEN, meet, unbalanced

REQUESTS, AT_A_TIME = 1000, 64
# A fault takes some seconds; one that takes minutes hangs.
A_FAULT_WITHIN_S = 300.0


async def main(requests: int, at_a_time: int) -> int:
    print(f"{requests} requests a fault, {at_a_time} at a time, half of them streamed\n")
    print(f"{'fault':<22}{'requests':>9}{'client errors':>15}{'failovers':>11}{'books wrong':>13}{'seconds':>9}")
    bad = 0
    for fault in SIXTEEN:
        with tempfile.TemporaryDirectory() as folder:
            async with asyncio.timeout(A_FAULT_WITHIN_S):
                met = await meet(fault, Path(folder), requests, at_a_time)
        wrong, books = met.wrong, unbalanced(met)
        print(
            f"{fault:<22}{met.requests:>9}{len(wrong):>15}{met.failovers:>11}{len(books):>13}{met.seconds:>9.1f}",
            flush=True,
        )
        for line in (wrong + books)[:3]:
            print(f"    {line}")
        bad += len(wrong) + len(books)
    print(f"\n{len(SIXTEEN) * requests} requests, {bad or 'nothing'} wrong")
    return 1 if bad else 0


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(asyncio.run(main(*(given + [REQUESTS, AT_A_TIME][len(given) :])[:2])))
