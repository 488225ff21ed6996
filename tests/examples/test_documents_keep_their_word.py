"""Every command, every manifest and every program in our documents is run, and prints what is shown."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders.desk import ROOT, Desk, desk, targets
from builders.documents import Block, Command, blocks, looks_like

DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.split()
    if not name.startswith("tests/")
)  # fmt: skip
# A status follows traffic within a second or two.
TOLD_WITHIN_S = 10.0


def of_document(path: Path) -> str:
    return str(path.relative_to(ROOT))


RUN = [path for path in DOCUMENTS if any(b.language in ("console", "yaml", "python") for b in blocks(path))]


@pytest.mark.parametrize("document", RUN, ids=of_document)
def test_a_document_does_what_it_says(document: Path) -> None:
    with desk() as reader:
        for block in blocks(document):
            where = f"{of_document(document)}:{block.line}"
            match block.language:
                case "console":
                    _console(reader, block, where)
                case "yaml":
                    _yaml(reader, block, where)
                case "python":
                    reader.up()
                    ended = subprocess.run(
                        [sys.executable, "-c", reader.here(block.text)], capture_output=True, text=True, timeout=30
                    )
                    assert ended.returncode == 0, f"{where}\n{ended.stderr}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=of_document)
def test_every_link_of_a_document_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text())
    missing = [link for link in links if "://" not in link and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=of_document)
def test_every_path_that_a_document_names_is_there(document: Path) -> None:
    rooms = "contract|process|operator|proxy|ledger|cli|tests|docs|examples|bench|crds"
    named = set(re.findall(rf"`((?:{rooms})/[\w./-]+)`", document.read_text()))
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def _console(reader: Desk, block: Block, where: str) -> None:
    if block.word("cluster"):
        return  # needs one: tests/e2e
    for command in block.commands():
        if "elsewhere" in block.words:
            program, *wanted = command.typed.split()
            assert program == "make", f"{where}: {command.typed}: only `make …` is run elsewhere"
            assert set(wanted) <= targets(), f"{where}: {command.typed}: the Makefile has no such target"
        else:
            if "machine" in block.words and not command.typed.startswith("byway up "):
                reader.up()
            _command(reader, command, block.exit_code, where)


def _command(reader: Desk, command: Command, wanted: int, where: str) -> None:
    end = time.monotonic() + TOLD_WITHIN_S
    while True:
        code, printed = reader.run(command.typed)
        fits = not command.shown or looks_like(command.shown, printed)
        asks = command.typed.startswith(("byway get", "byway usage", "byway explain"))
        if (code == wanted and fits) or not asks or time.monotonic() > end:
            break
    assert code == wanted, f"{where}: $ {command.typed}\nexit {code}\n{printed}"
    assert fits, f"{where}: $ {command.typed}\nshown:\n{command.shown}\nprinted:\n{printed}"


def _yaml(reader: Desk, block: Block, where: str) -> None:
    name = block.word("file")
    saved = reader.folder / (name or f"block-{block.line}/resources.yaml")
    saved.parent.mkdir(parents=True, exist_ok=True)
    saved.write_text(reader.here(block.text))
    code, printed = reader.run(f"byway check {saved.parent}")
    assert code == block.exit_code, f"{where}\n{printed}"
    assert code or "no resources of ours" not in printed, f"{where}\n{printed}"
