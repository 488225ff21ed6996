"""Secrets that a ProviderKey or an AccessKey names and that are not marked as credentials, to tell their author so.

We watch marked ones alone; one that is missing among them is asked for by its name, and answered with its metadata:
no value of an unmarked Secret ever reaches this process.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NoReturn

from byway_operator.kube.api import CREDENTIAL_LABEL, KubeApi, KubeError
from byway_operator.resources.manifest import Key, World

SOON_S, AGAIN_S = 0.2, 30.0
"""After news of a resource, and without any."""
MOST = 500
"""Names asked for in one round: whoever names more that are not there waits for the next."""

Name = tuple[str, str]


class Unlabelled:
    def __init__(self, api: KubeApi, world: Callable[[], World], found: Callable[[frozenset[Name]], None]) -> None:
        """`found` is told all that are there now, whenever somebody looked."""
        self._api, self._world, self._found = api, world, found
        self._stirred = asyncio.Event()

    def stirred(self) -> None:
        """A resource is another: it may name another Secret."""
        self._stirred.set()

    async def run(self) -> NoReturn:
        while True:
            await asyncio.sleep(SOON_S)
            self._stirred.clear()
            wanted = list(missing(self._world()))[:MOST]
            self._found(frozenset([name for name in wanted if await self._is_there(*name)]))
            with suppress(TimeoutError):
                async with asyncio.timeout(AGAIN_S):
                    await self._stirred.wait()

    async def _is_there(self, namespace: str, name: str) -> bool:
        try:
            labels = await self._api.find_secret_labels(namespace, name)
        except KubeError:
            return False  # what cannot be known is not said; that Secrets cannot be listed is said elsewhere
        return labels is not None and labels.get(CREDENTIAL_LABEL) != "true"


def missing(world: World) -> Iterator[Name]:
    """Namespace and name of each Secret that is named and not known."""
    for key, manifest in sorted(world.manifests.items(), key=lambda pair: pair[0]):
        spec = manifest.body.get("spec")
        for ref in _refs(key.kind, spec) if isinstance(spec, dict) else ():
            name = ref.get("name") if isinstance(ref, dict) else None
            if isinstance(name, str) and name and not _known(world, Key("Secret", key.namespace, name)):
                yield key.namespace, name


def _refs(kind: str, spec: dict[str, Any]) -> Iterator[Any]:
    """As written, which may be anything."""
    if kind == "ProviderKey":
        yield spec.get("secretRef")
    elif kind == "AccessKey" and isinstance(spec.get("keys"), list):
        yield from (one.get("secretRef") for one in spec["keys"] if isinstance(one, dict))


def _known(world: World, key: Key) -> bool:
    """Whole, and not just that it is there."""
    found = world.manifests.get(key)
    return found is not None and bool(found.uid)
