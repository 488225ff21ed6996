"""An app in the cluster: calls Byway with its pod's own token and says in JSON what came of it.

    python caller.py once MODEL            one answer: {"status": 200, "body": {…}}
    python caller.py many MODEL COUNT      so many, one after the other: {"statuses": {"200": 200}, "failed": […]}
    python caller.py streams MODEL OPEN    so many open at any time, until standard input ends; then, when the last
                                           has ended: {"whole": 240, "broken": […]}

It runs in a pod that has $BYWAY_URL and a token at $BYWAY_TOKEN. In the last form its first line says that all
streams are open.
"""

import collections
import contextlib
import http.client
import json
import os
import sys
import threading
import urllib.parse

HERE = urllib.parse.urlsplit(os.environ["BYWAY_URL"])
WORDS = int(os.environ.get("WORDS", "0"))
"""How many words a whole answer has."""


@contextlib.contextmanager
def answer(model: str, stream: bool):  # type: ignore[no-untyped-def]  # runs where only Python is
    connection = http.client.HTTPConnection(HERE.hostname, HERE.port or 80, timeout=60)
    headers = {"content-type": "application/json"}
    if path := os.environ.get("BYWAY_TOKEN"):
        with open(path) as token:
            headers["authorization"] = f"Bearer {token.read().strip()}"
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": "Hello"}]}
    try:
        connection.request("POST", f"{HERE.path}/chat/completions", json.dumps(body), headers)
        yield connection.getresponse()
    finally:
        connection.close()


def once(model: str) -> dict[str, object]:
    with answer(model, stream=False) as response:
        text = response.read().decode()
        try:
            return {"status": response.status, "body": json.loads(text)}
        except ValueError:
            return {"status": response.status, "body": text}


def many(model: str, count: int) -> dict[str, object]:
    statuses: collections.Counter[str] = collections.Counter()
    failed = []
    for _ in range(count):
        try:
            said = once(model)
        except OSError as error:
            said = {"status": 0, "body": repr(error)}
        statuses[str(said["status"])] += 1
        if said["status"] != 200:
            failed.append(said)
    return {"statuses": statuses, "failed": failed[:3]}


def fault_of_a_stream(model: str, begun: threading.Semaphore) -> str:
    """What is wrong with it; empty: it came whole."""
    words, finish, done = 0, "", False
    with answer(model, stream=True) as response:
        if response.status != 200:
            return f"{response.status} {response.read()[:300]!r}"
        for line in response:
            if not line.startswith(b"data: "):
                continue
            if line.strip() == b"data: [DONE]":
                done = True
                continue
            event = json.loads(line[6:])
            if "error" in event:
                return f"after {words} words: {event['error']}"
            for choice in event.get("choices", ()):
                words += bool(choice["delta"].get("content"))
                finish = choice.get("finish_reason") or finish
            if words == 1:
                begun.release()
    whole = done and finish == "stop" and words == WORDS
    return "" if whole else f"{words} of {WORDS} words, finish {finish!r}, done {done}"


def streams(model: str, at_once: int) -> dict[str, object]:
    enough = threading.Event()
    whole: list[int] = []
    broken: list[str] = []
    begun = threading.Semaphore(0)

    def client() -> None:
        while not enough.is_set():
            try:
                fault = fault_of_a_stream(model, begun)
            except (OSError, http.client.HTTPException, ValueError) as error:
                fault = repr(error)
            if fault:
                broken.append(fault)
                begun.release()
                enough.wait(0.2)
            else:
                whole.append(1)

    threads = [threading.Thread(target=client) for _ in range(at_once)]
    for thread in threads:
        thread.start()
    for _ in threads:
        begun.acquire()
    print(f"{at_once} streams are open", flush=True)
    sys.stdin.read()
    enough.set()
    for thread in threads:
        thread.join()
    return {"whole": len(whole), "broken": broken}


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["once", model]:
            print(json.dumps(once(model)))
        case ["many", model, count]:
            print(json.dumps(many(model, int(count))))
        case ["streams", model, count]:
            print(json.dumps(streams(model, int(count))))
        case _:
            sys.exit(__doc__)
