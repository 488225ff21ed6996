"""`kubectl describe`, `get` and Events on a real API server, as a person reads them."""

import asyncio
import re

from builders.control_plane import ControlPlane
from builders.telling import a_key, a_route, a_secret, an_operator, documents, events_of, ready
from stream.parts import a_proxy, until

HIDDEN = "sk-canary-71f3"


def test_a_missing_secret_is_told_and_its_coming_too_as_a_story_in_events(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    ready(plane, namespace, "proxy-0")

    async def story() -> tuple[str, str]:
        async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
            manifest = documents(a_key(secretRef={"name": "openai-key"}), a_route())
            await asyncio.to_thread(plane.apply, manifest, namespace)
            await operator.told("providerkey", "openai", "ResolvedRefs", "False", "SecretNotFound")
            await until(lambda: any(reason == "SecretNotFound" for _, reason, _ in events_of(plane, namespace)))
            broken = await asyncio.to_thread(plane.kubectl, "describe", "providerkey", "openai", "-n", namespace)
            await asyncio.to_thread(plane.apply, documents(a_secret()), namespace)
            await operator.told("providerkey", "openai", "Ready")
            await operator.told("modelroute", "smart", "Ready")
            await until(lambda: any(kind == "Normal" for kind, _, _ in events_of(plane, namespace)))
            await asyncio.to_thread(plane.kubectl, "delete", "modelroute", "smart", "-n", namespace)
            mended = await asyncio.to_thread(plane.kubectl, "describe", "providerkey", "openai", "-n", namespace)
            return broken, mended

    broken, mended = asyncio.run(story())
    print(broken, mended, *events_of(plane, namespace), sep="\n")
    assert re.search(r"Warning +SecretNotFound .* byway-operator +spec\.secretRef: .*openai-key", broken)
    assert re.search(r"Normal +ResolvedRefs .* byway-operator +all that it refers to is found again", mended)
    assert HIDDEN not in broken + mended + str(events_of(plane, namespace))


def test_kubectl_get_answers_in_one_line(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    ready(plane, namespace, "proxy-0")

    async def story() -> dict[str, list[list[str]]]:
        async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
            await asyncio.to_thread(plane.apply, documents(a_key(), a_route()), namespace)
            await operator.told("modelroute", "smart", "Ready")
            await operator.told("providerkey", "openai", "Ready")
            return {
                kind: [
                    line.split()
                    for line in (await asyncio.to_thread(plane.kubectl, "get", kind, "-n", namespace)).splitlines()
                ]
                for kind in ("modelroute", "providerkey")
            }

    shown = asyncio.run(story())
    head, row = shown["modelroute"]
    assert head == ["NAME", "READY", "ENDPOINTS", "TTFT", "PROGRAMMED", "AGE"]
    assert row[:4] == ["smart", "True", "1/1", "1/1"]
    head, row = shown["providerkey"]
    assert head == ["NAME", "PROVIDER", "VALID", "MODELS", "LAST-USED", "ERRORS", "AGE"]
    assert row[:2] == ["openai", "openai-compatible"]
