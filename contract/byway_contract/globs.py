"""Model names by pattern: `openai/gpt-5*`. One rule for whoever writes them and whoever obeys them.

`*` stands for any letters, `/` too; nothing else is special. A tenant writes them and another may choose the names
they are held against, so they are matched in one walk along the name, never by a regular expression: a dozen stars
would keep one busy for hours.
"""

from collections.abc import Callable
from functools import lru_cache


@lru_cache(maxsize=1024)
def allows(globs: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a model's name fits one of the globs; without any, all do."""
    if not globs:
        return lambda _: True
    names = frozenset(glob for glob in globs if "*" not in glob)
    patterns = [tuple(glob.split("*")) for glob in globs if "*" in glob]
    return lambda name: name in names or any(_fits(pieces, name) for pieces in patterns)


def _fits(pieces: tuple[str, ...], name: str) -> bool:
    """`pieces` are what stands between the stars, in order."""
    first, *middle, last = pieces
    at, end = len(first), len(name) - len(last)
    if at > end or not name.startswith(first) or not name.endswith(last):
        return False
    for piece in middle:
        # The earliest place leaves the most room for the rest.
        found = name.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
