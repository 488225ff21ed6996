"""How many tokens something was, where its provider does not say: by what it said of others. Pure.

A token for every four bytes is true of English prose and of no JSON around it, so each endpoint's own answers teach
what a byte of a request, a byte of an answer and a chunk of a stream come to there. Recent ones weigh most.
"""

from byway_contract.money import Usage

MOST_KNOWN = 10_000
# The weight that is left of an answer after the next one: about the last fifty decide.
KEPT = 0.98
BYTES_PER_TOKEN = 4


class Ratio:
    """Tokens per byte, or per chunk."""

    __slots__ = ("_size", "_tokens", "_usual")

    def __init__(self, usual: float) -> None:
        """`usual`: until anything was learnt."""
        self._usual, self._tokens, self._size = usual, 0.0, 0.0

    def learn(self, tokens: int, size: int) -> None:
        self._tokens = tokens + KEPT * self._tokens
        self._size = size + KEPT * self._size

    def of(self, size: int) -> int:
        return round(size * (self._tokens / self._size if self._size else self._usual))


class _Endpoint:
    __slots__ = ("asked", "streamed", "whole")

    def __init__(self) -> None:
        self.asked, self.whole = Ratio(1 / BYTES_PER_TOKEN), Ratio(1 / BYTES_PER_TOKEN)
        self.streamed = Ratio(1.0)


class Estimates:
    """Of one process, by endpoint."""

    def __init__(self) -> None:
        self._known: dict[str, _Endpoint] = {}

    def learn(self, endpoint: str, usage: Usage, asked: int, said: int, *, streamed: bool) -> None:
        """`asked` bytes were answered with `said` chunks, or bytes where it was not streamed."""
        known = self._of(endpoint)
        if asked:
            known.asked.learn(usage.prompt, asked)
        if said:
            (known.streamed if streamed else known.whole).learn(usage.completion, said)

    def usage(self, endpoint: str, asked: int, said: int, *, streamed: bool) -> Usage:
        known = self._of(endpoint)
        return Usage(known.asked.of(asked), (known.streamed if streamed else known.whole).of(said))

    def _of(self, endpoint: str) -> _Endpoint:
        found = self._known.get(endpoint)
        if found is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            found = self._known[endpoint] = _Endpoint()
        return found
