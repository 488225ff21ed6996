"""Parts of guides that are made from the code, between two comments, so that they cannot go stale."""

from pathlib import Path


def keep_fresh(guide: Path, part: str, lines: list[str], accept: bool, folder: str = "tests/examples") -> None:
    """The part of `guide` between `<!-- PART: … -->` and `<!-- end of PART -->` is `lines`, or is made so."""
    how = f".venv/bin/pytest {folder} --accept"
    text = guide.read_text()
    begin, end = f"<!-- {part}: made by `{how}` -->\n", f"<!-- end of {part} -->"
    before, found, rest = text.partition(begin)
    _, ends, after = rest.partition(end)
    assert found, f"{guide.name}: no line {begin!r}"
    assert ends, f"{guide.name}: no {end!r}"
    fresh = before + begin + "\n".join(["", *lines, "", ""]) + end + after
    if accept:
        guide.write_text(fresh)
    assert text == fresh or accept, f"{guide.name} is not what the code says; run: {how}"
