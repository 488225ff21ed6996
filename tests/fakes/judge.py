"""A provider of somebody else's making that judges whoever calls it: `llmock`, in a process of its own.

It is told which faults to commit, keeps a journal, and gives a verdict: was Retry-After waited for, was something
retried that cannot work, was half an answer taken for whole? Its answers echo the question. It sees one provider
only; `judged_together` gives it the journals of several, to see a request that went on to the next.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
from llmock.journal import RequestRecord
from llmock.verdict import judge


class Judge:
    """`url` is a provider's base URL."""

    def __init__(self, address: str) -> None:
        self.url = f"{address}/v1"
        self._client = httpx.Client(base_url=f"{address}/_llmock", timeout=10.0)

    def reset(self, *behaviours: dict[str, Any]) -> None:
        """Forget what was, and commit these faults from now on."""
        self._client.post("reset").raise_for_status()
        if behaviours:
            self._client.post("scenario", json={"behaviors": list(behaviours)}).raise_for_status()

    def served(self) -> list[RequestRecord]:
        answer = self._client.get("requests").raise_for_status()
        known = RequestRecord.__dataclass_fields__
        return [RequestRecord(**{k: v for k, v in one.items() if k in known}) for one in answer.json()["requests"]]

    def findings(self, severity: str) -> set[str]:
        """The codes of its verdict: of `error`s, or of `warning`s."""
        found = self._client.get("verdict").raise_for_status().json()["findings"]
        return {finding["code"] for finding in found if finding["severity"] == severity}

    def close(self) -> None:
        self._client.close()


def judged_together(judges: Sequence[Judge]) -> set[str]:
    """The errors in what all of them saw, as if they were one provider."""
    seen = sorted((record for each in judges for record in each.served()), key=lambda record: record.started_at)
    return {finding.code for finding in judge(replace(record, seq=n) for n, record in enumerate(seen)).errors}


@contextmanager
def judging() -> Iterator[Judge]:
    """The process ends with the block, and with us if we are killed: it reads our end of a pipe."""
    with subprocess.Popen(
        [sys.executable, __file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            if not address:
                raise RuntimeError("llmock did not start")
            found = Judge(address)
            try:
                yield found
            finally:
                found.close()
        finally:
            process.kill()


def _serve() -> None:
    from llmock.simulation import MockResponseSettings
    from llmock.testing import LLMockServer

    with LLMockServer(responses=MockResponseSettings("echo")) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    _serve()
