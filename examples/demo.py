"""See Byway work on this machine, with nothing but what is in this repository: `make demo` and `make up`.

Two real llama.cpp servers are two providers. The official `openai` client gets one answer, one stream, and one
answer during which the provider that was giving it is killed. Every step is said as it happens; one that does not
happen ends everything with exit 1.
"""

import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import tiny_model
from byway_cli.up.children import end_with_parent
from openai import OpenAI
from openai.types.chat import ChatCompletion

HERE = Path(__file__).parent
QUICKSTART = HERE / "quickstart"
PORTS = {"left": 9101, "right": 9102}
"""The providers of `quickstart/`, and where it says they are."""

# Long enough to be killed in the middle of: a second or two of this model's talk.
LONG_ANSWER_TOKENS = 3000
PATIENCE_S = 40.0

T = TypeVar("T")


class DidNotHappenError(Exception):
    pass


@dataclass(frozen=True)
class Byway:
    process: subprocess.Popen[str]
    state: Path | None
    """None: where `byway` looks by itself, so that a person need not name it."""
    url: str

    def run(self, *arguments: str) -> str:
        """What `byway …` prints."""
        whole = [sys.executable, "-m", "byway_cli.main", *arguments, *_at(self.state)]
        ended = subprocess.run(whole, capture_output=True, text=True, timeout=PATIENCE_S)
        if ended.returncode:
            raise DidNotHappenError(f"byway {' '.join(arguments)}: {ended.stderr.strip()}")
        return ended.stdout.rstrip()

    def json(self, *arguments: str) -> Any:
        return json.loads(self.run(*arguments, "--output", "json"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--stay", action="store_true", help="leave it running until Ctrl-C, and kill nobody")
    arguments.add_argument("--port", type=int, help="where it is called; 0 takes a free one")
    wish = arguments.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job is deaf to SIGINT otherwise
        signal.signal(number, signal.default_int_handler)
    began = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="byway-") as folder, contextlib.ExitStack() as house:
            if wish.stay:
                _stay(house, Path(folder), 8080 if wish.port is None else wish.port)
            else:
                _show(house, Path(folder), wish.port or 0)
        if not wish.stay:
            say(f"all of it happened, in {time.monotonic() - began:.0f} s")
    except DidNotHappenError as error:
        say(f"DID NOT HAPPEN: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        say("ended")


def say(what: str) -> None:
    print(f"demo: {what}", flush=True)


def _stay(house: contextlib.ExitStack, folder: Path, port: int) -> None:
    _providers(house, folder)
    byway = house.enter_context(_byway(None, port))
    say("ask it: .venv/bin/byway get modelroutes; so with get providerkeys, explain tiny, usage")
    say("Ctrl-C ends it")
    if code := byway.process.wait():
        raise DidNotHappenError(f"byway up ended by itself with exit code {code}")


def _show(house: contextlib.ExitStack, folder: Path, port: int) -> None:
    servers = _providers(house, folder)
    byway = house.enter_context(_byway(folder / "state", port))
    # A client that tries again by itself would hide what this is about.
    client = OpenAI(base_url=byway.url, api_key="none-needed", max_retries=0, timeout=PATIENCE_S)
    seen = [_one_answer(client), _one_stream(client)]
    answer, killed = _killed_in_the_middle(client, servers)
    seen.append(answer)
    _paid(byway, seen)
    _told(byway, killed)


def _providers(house: contextlib.ExitStack, folder: Path) -> dict[str, subprocess.Popen[str]]:
    model = tiny_model.write(folder / "tiny.gguf")
    say(f"wrote a model of random weights, {model.stat().st_size // 1000} kB")
    servers = {}
    for name, port in PORTS.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise DidNotHappenError(f"port {port} is taken, and quickstart/ wants {name} there") from error
        arguments = [sys.executable, str(HERE / "llama_server.py"), str(model), str(port)]
        log = house.enter_context((folder / f"{name}.log").open("w"))
        servers[name] = house.enter_context(_process(arguments, signal.SIGTERM, stdout=log, stderr=log))
    for name, port in PORTS.items():
        until(lambda port=port: _answers(f"http://127.0.0.1:{port}/health"), f"llama.cpp as {name} to be ready")
        say(f"llama.cpp serves it as {name} on 127.0.0.1:{port}")
    return servers


@contextlib.contextmanager
def _byway(state: Path | None, port: int) -> Iterator[Byway]:
    arguments = [sys.executable, "-m", "byway_cli.main", "up", str(QUICKSTART), "--proxies", "2"]
    arguments += ["--port", str(port), *_at(state)]
    say(f"byway up {os.path.relpath(QUICKSTART)} --proxies 2")
    with _process(arguments, signal.SIGINT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = ""
        for line in process.stdout:
            print("  " + line, end="", flush=True)
            if found := re.search(r"ready: (\S+)", line):
                url = found[1]
            if "call it:" in line:
                yield Byway(process, state, url)
                break
        else:
            raise DidNotHappenError("byway up to be ready; what it said is above")
        process.send_signal(signal.SIGINT)
        for line in process.stdout:
            print("  " + line, end="", flush=True)


def _at(state: Path | None) -> list[str]:
    return ["--state", str(state)] if state else []


def _one_answer(client: OpenAI) -> str:
    answer = client.chat.completions.create(model="tiny", messages=_ask("Say something."), max_tokens=20)
    say(f"one answer, by {_provider(answer)}, for ${_cost(answer)}: {_said(answer)}")
    return answer.id


def _one_stream(client: OpenAI) -> str:
    pieces, by, cost, name = [], "", None, ""
    stream = client.chat.completions.create(
        model="tiny",
        messages=_ask("Say more."),
        max_tokens=20,
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in stream:
        name, by = chunk.id, _provider(chunk) or by
        pieces += [choice.delta.content for choice in chunk.choices if choice.delta.content]
        cost = _cost(chunk) if chunk.usage else cost
    if len(pieces) < 2:
        raise DidNotHappenError(f"a stream of several pieces; there were {len(pieces)}")
    say(f"one stream of {len(pieces)} pieces, by {by}, for ${cost}: {''.join(pieces).strip()}")
    return name


def _killed_in_the_middle(client: OpenAI, servers: dict[str, subprocess.Popen[str]]) -> tuple[str, str]:
    """Ask for a long answer, kill the provider that is at it, and get the answer. Who was killed is told."""
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        messages = _ask("Say a lot.")
        promise = pool.submit(
            client.chat.completions.create, model="tiny", messages=messages, max_tokens=LONG_ANSWER_TOKENS
        )
        until(lambda: promise.done() or any(map(_busy, PORTS)), "a provider to be at work")
        at_work = [name for name in PORTS if _busy(name)]
        if promise.done() or len(at_work) != 1:
            raise DidNotHappenError(f"one provider at work on one long answer; at work: {at_work}")
        killed = at_work[0]
        servers[killed].kill()
        say(f"killed {killed} (SIGKILL) while it was answering")
        answer = promise.result(PATIENCE_S)
    provider = _provider(answer)
    if provider == killed or not _said(answer):
        raise DidNotHappenError(f"an answer by another provider than {killed}; it came from {provider or 'nobody'}")
    say(f"{provider} answered that same request, for ${_cost(answer)}: {_said(answer)[:60]}…")
    return answer.id, killed


def _told(byway: Byway, killed: str) -> None:
    """Ask for the killed provider before the other one until everybody knows that it is out."""
    asked = 0

    def is_told() -> bool:
        nonlocal asked
        # A connection of its own each time, so that every proxy gets some.
        with OpenAI(base_url=byway.url, api_key="none-needed", max_retries=0, timeout=PATIENCE_S) as client:
            answer = client.chat.completions.create(
                model="tiny",
                messages=_ask("Still there?"),
                max_tokens=4,
                extra_body={"provider": {"order": [killed]}},
            )
        asked += 1
        if _provider(answer) == killed:
            raise DidNotHappenError(f"an answer after {killed} was killed came from it")
        return byway.json("get", "modelroutes", "tiny").get("status", {}).get("endpointsAvailable") == "1/2"

    until(is_told, "`byway get modelroutes` to tell that one of two endpoints is out")
    say(f"{asked} more requests asked for {killed} before the other one; all were answered")
    for kind in ("modelroutes", "providerkeys"):
        say(f"byway get {kind}")
        print(byway.run("get", kind), flush=True)


def _paid(byway: Byway, requests: list[str]) -> None:
    def rows() -> list[dict[str, Any]]:
        found = byway.json("usage", "--by", "request,provider", "--limit", "1000")
        return [row for row in found if row["key"]["request"] in requests]

    until(
        lambda: {row["key"]["request"] for row in rows()} == set(requests), "the ledger to have booked all requests"
    )
    lost = [row for row in rows() if row["key"]["request"] == requests[-1]]
    if len(lost) < 2:
        raise DidNotHappenError(f"two attempts in the books for the request that lost its provider: {lost}")
    say("byway usage --by request,provider")
    print(byway.run("usage", "--by", "request,provider", "--limit", "1000"), flush=True)


def until(true: Callable[[], bool], what: str, pause_s: float = 0.02) -> None:
    """Wait for something that happens in another process. Raises DidNotHappenError."""
    give_up = time.monotonic() + PATIENCE_S
    while not true():
        if time.monotonic() > give_up:
            raise DidNotHappenError(f"waited {PATIENCE_S:.0f} s for {what}")
        time.sleep(pause_s)


@contextlib.contextmanager
def _process(arguments: list[str], end: signal.Signals, **pipes: Any) -> Iterator[subprocess.Popen[str]]:
    # In a session of its own: a terminal's Ctrl-C is for us, and we end the others in order.
    process = subprocess.Popen(arguments, start_new_session=True, preexec_fn=end_with_parent(os.getpid()), **pipes)
    try:
        yield process
    finally:
        process.send_signal(end)
        try:
            process.wait(PATIENCE_S + 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _busy(name: str) -> bool:
    """Whether this server is working on a request, by its own metrics."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORTS[name]}/metrics", timeout=5) as answer:
        return re.search(rb"^llamacpp:requests_processing [1-9]", answer.read(), re.MULTILINE) is not None


def _ask(text: str) -> Any:
    return [{"role": "user", "content": text}]


def _said(answer: ChatCompletion) -> str:
    return (answer.choices[0].message.content or "").strip()


def _provider(answer: Any) -> str:
    return str((answer.model_extra or {}).get("provider", ""))


def _cost(answer: Any) -> str:
    cost = (answer.usage.model_extra or {}).get("cost") if answer.usage else None
    return "?" if cost is None else f"{cost:.9f}".rstrip("0")


if __name__ == "__main__":
    main()
