"""A document as a reader meets it: its fenced blocks, the commands in them, and what they are said to print.

```console          each `$ ` line is run, in order, in one scratch folder for the document
```console exit=1   … and ends with that code
```console machine  … while `byway up examples/quickstart` runs; a line `$ byway up …` starts it too
```console cluster=call  run by tests/e2e on a cluster, as one script; `> ` goes on with a command, as shells do
```console elsewhere   run by a test of its own (`make demo`); here only that its make target is there
```yaml             `byway check` accepts it
```yaml exit=1      `byway check` refuses it
```yaml file=a.yaml … and it is saved there, for the commands after it
```python           run, while `byway up` runs
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w+)(?: +(.*))?$")
# What differs from run to run, and how it is told apart.
_VARIES = (
    (re.compile(r"\bgen-\d+-\w+"), "gen-ID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)?m?s\b"), "SPAN"),
    (re.compile(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
    (re.compile(r'("created": ?)\d+'), r"\1TIME"),
    (re.compile(r"(?<=\S) +"), " "),
    (re.compile(r"\s+$", re.MULTILINE), ""),
)


@dataclass(frozen=True)
class Command:
    line: int
    typed: str
    shown: str
    """What the document says it prints; empty: nothing is said."""


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def word(self, name: str) -> str | None:
        """The value of `name=value` in the info string."""
        return next((word.partition("=")[2] for word in self.words if word.startswith(f"{name}=")), None)

    @property
    def exit_code(self) -> int:
        return int(self.word("exit") or 0)

    def commands(self) -> Iterator[Command]:
        """A command goes on while its lines end in a backslash; what follows it is what it prints."""
        lines = list(enumerate(self.text.splitlines(), self.line + 1))
        while lines:
            number, first = lines.pop(0)
            assert first.startswith("$ "), f"line {number}: want a command, found {first!r}"
            typed, shown = [first[2:]], []
            while typed[-1].endswith("\\"):
                typed.append(lines.pop(0)[1])
            while lines and not lines[0][1].startswith("$ "):
                shown.append(lines.pop(0)[1])
            yield Command(number, "\n".join(typed), "\n".join(shown).strip("\n"))

    def script(self) -> tuple[str, str]:
        """All commands as one script, and all that they print."""
        typed, shown = [], []
        goes_on = False
        for line in self.text.splitlines():
            if goes_on or line.startswith(("$ ", "> ")):
                typed.append(line if goes_on else line[2:])
                goes_on = line.endswith("\\")
            else:
                shown.append(line)
        return "\n".join(typed), "\n".join(shown)


def blocks(document: Path) -> list[Block]:
    found: list[Block] = []
    begun: tuple[int, str, tuple[str, ...]] | None = None
    inside: list[str] = []
    for number, line in enumerate(document.read_text().splitlines(), 1):
        fence = _FENCE.match(line)
        if begun is None and fence:
            begun, inside = (number, fence[1], tuple((fence[2] or "").split())), []
        elif begun is not None and line == "```":
            found.append(Block(*begun, "\n".join(inside) + "\n"))
            begun = None
        else:
            inside.append(line)
    assert begun is None, f"{document.name}:{begun}: a block that does not end"
    return found


def looks_like(shown: str, printed: str) -> bool:
    """Whether it printed what is shown, but for times, ids, ports and widths; `…` stands for anything."""
    pattern = ".*".join(re.escape(piece.strip()) for piece in _steady(shown).split("…"))
    return re.fullmatch(pattern, _steady(printed), re.DOTALL) is not None


def _steady(text: str) -> str:
    for varies, instead in _VARIES:
        text = varies.sub(instead, text)
    return text.strip("\n")
