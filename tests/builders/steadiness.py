"""Things that are to stay as they are while something else happens: answers to requests, and statuses."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from builders.control_plane import ControlPlane
from fakes.fleet import Fleet

PLURALS = "modelroutes", "providerkeys"

GAP_S = 0.02
"""Between two requests of one client: the machine has other things to do as well."""


class Load:
    """What came of requests, one after the other at each proxy."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: list[str] = []


@contextmanager
def under_load(release: Fleet, model: str, token: str, proxies: int) -> Iterator[Load]:
    """A client at each proxy for as long as this lasts."""
    load, over = Load(), threading.Event()

    def call(proxy: int) -> None:
        while not over.wait(GAP_S):
            try:
                status, _, body = release.ask(model, token, proxy)
            except OSError as error:
                status, body = 0, repr(error).encode()
            if status == 200:
                load.answered += 1
            else:
                load.failed.append(f"{status} {body.decode()[:300]}")

    threads = [threading.Thread(target=call, args=(proxy,)) for proxy in range(proxies)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


class Statuses:
    """Of all our objects in one namespace, from now on."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self._plane = plane
        self._path = f"/apis/byway.dev/v1alpha1/namespaces/{namespace}"
        self._began = {plural: plane.raw("GET", f"{self._path}/{plural}") for plural in PLURALS}

    def turned(self) -> list[str]:
        """Conditions that were True and have been anything else since, for however short a while."""
        found = []
        for plural, began in self._began.items():
            true = {each for item in began["items"] for each, status, _ in _conditions(item) if status == "True"}
            for event in self._plane.since(f"{self._path}/{plural}", began["metadata"]["resourceVersion"]):
                for each, status, reason in _conditions(event["object"]):
                    if status != "True" and each in true:
                        found.append(f"{plural}/{each[0]}: {each[1]} is {status}, {reason}")
                    true = true | {each} if status == "True" else true - {each}
        return found


def _conditions(item: dict[str, Any]) -> Iterator[tuple[tuple[str, str], str, str]]:
    for condition in item.get("status", {}).get("conditions", ()):
        yield (item["metadata"]["name"], condition["type"]), condition["status"], condition["reason"]
