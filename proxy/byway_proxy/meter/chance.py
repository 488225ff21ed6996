"""Random bytes for names, drawn from the kernel a page at a time: a call for each request's few costs more."""

import os

_PAGE = 4096


class Chance:
    """Give it a count of bytes. Not for secrets: a page lies in memory until it is used up."""

    __slots__ = ("_at", "_page")

    def __init__(self) -> None:
        self._page = b""
        self._at = 0

    def __call__(self, count: int) -> bytes:
        at = self._at
        self._at = end = at + count
        if end > len(self._page):
            self._page, at, self._at = os.urandom(_PAGE), 0, count
        return self._page[at : self._at]
