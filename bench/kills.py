"""`kill -9` of every process of a machine under load, for as long as wanted; then the books against the providers'.

    python bench/kills.py [SECONDS]

Two proxies, forty requests a second, half of them streamed, some clients leaving, a provider that fails now and
then. Exit code 1 if anything was lost, booked twice, or told wrongly to a client.
"""

import asyncio
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders import kills

SECONDS = 60.0


def main(seconds: float) -> int:
    print(f"kills in turn for {seconds:g} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        story = asyncio.run(kills.tell(Path(folder), seconds))
    differences = kills.compare(story)
    print(kills.summary(story))
    for line in differences[:20]:
        print(f"    {line}")
    print(f"{len(story.killed)} kills, {len(differences) or 'no'} differences")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
