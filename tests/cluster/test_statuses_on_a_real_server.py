"""Statuses on a real API server: when they are told, in which order, and that the same is not told twice."""

import asyncio
import time
from dataclasses import replace
from typing import Any

from builders.control_plane import ControlPlane
from builders.kube import kube_api
from builders.telling import (
    PLURALS,
    a_key,
    a_route,
    an_operator,
    documents,
    object_of,
    ready,
    routes_of,
)
from byway_operator.resources.manifest import Key
from stream.parts import a_proxy, until


def a_namespace(plane: ControlPlane) -> str:
    """With one proxy."""
    namespace = plane.namespace()
    ready(plane, namespace, "proxy-0")
    return namespace


def test_kubectl_wait_ends_when_the_proxies_have_it(plane: ControlPlane) -> None:
    namespace = a_namespace(plane)

    async def story() -> None:
        async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
            await asyncio.to_thread(plane.apply, documents(a_key(), a_route()), namespace)
            await asyncio.to_thread(plane.wait, "modelroute", namespace, "smart", "condition=Programmed")
            await asyncio.to_thread(plane.wait, "modelroute", namespace, "smart", "condition=Ready")
            await asyncio.to_thread(plane.wait, "providerkey", namespace, "openai", "condition=Programmed")
            found = object_of(plane, "modelroute", namespace, "smart")
            generation = found["metadata"]["generation"]
            assert found["status"]["observedGeneration"] == generation
            assert {one["observedGeneration"] for one in found["status"]["conditions"]} == {generation}
            assert found["status"]["proxies"] == "1/1"
            assert "annotations" not in found["metadata"]
            assert "finalizers" not in found["metadata"]

    asyncio.run(story())


def versions(plane: ControlPlane, namespace: str) -> dict[str, str]:
    """Of everything of ours."""
    return {
        item["metadata"]["uid"]: item["metadata"]["resourceVersion"]
        for plural in PLURALS.values()
        for item in plane.raw("GET", f"/apis/byway.dev/v1alpha1/namespaces/{namespace}/{plural}")["items"]
    }


def test_an_operator_that_begins_anew_writes_nothing_when_nothing_has_changed(plane: ControlPlane) -> None:
    namespace = a_namespace(plane)

    async def life() -> tuple[dict[str, str], int]:
        async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
            await operator.told("modelroute", "smart", "Programmed")
            await operator.told("modelroute", "broken", "ResolvedRefs", "False")
            await operator.settled()
            return versions(plane, namespace), operator.writer.results["written"]

    plane.apply(documents(a_key(), a_route(), a_route("broken", key="nobody")), namespace)
    first, written = asyncio.run(life())
    assert written >= 3
    second, written = asyncio.run(life())
    assert (second, written) == (first, 0)


def test_the_same_status_twice_makes_no_new_version(plane: ControlPlane) -> None:
    namespace = a_namespace(plane)

    async def story() -> None:
        async with an_operator(plane, namespace) as operator, a_proxy(operator.socket, "proxy-0"):
            await asyncio.to_thread(plane.apply, documents(a_key(), a_route()), namespace)
            # The route may be seen before the key it names.
            await operator.told("modelroute", "smart", "Ready")
            await operator.told("providerkey", "openai", "Ready")
            await operator.settled()
            before = versions(plane, namespace)
            operator.writer.rest()
            operator.writer.lead()
            # As if nobody had ever said anything: all is written again, and the server finds it the same.
            operator.writer.tell(operator.cycle.statuses, replace(operator.cycle.world, told={}))
            written = operator.writer.results["written"]
            await until(lambda: operator.writer.results["written"] > written + 1)
            assert versions(plane, namespace) == before

    asyncio.run(story())


def test_a_persons_apply_is_told_before_two_thousand_statuses_of_a_start(plane: ControlPlane) -> None:
    namespace = a_namespace(plane)
    make_many(plane, namespace, 2000)

    async def story() -> None:
        async with (
            an_operator(plane, namespace) as operator,
            a_proxy(operator.socket, "proxy-0"),
        ):
            await until(lambda: operator.writer.results["written"] > 10, 20)
            await asyncio.to_thread(plane.apply, documents(a_route("mine")), namespace)
            await until(lambda: Key("ModelRoute", namespace, "mine") in operator.source.read().manifests)
            heard = time.monotonic()
            await operator.told("modelroute", "mine", "Programmed")
            took_s = time.monotonic() - heard
            waiting = operator.writer.outbox.waiting
            print(f"told {took_s:.2f} s after it was heard of; {waiting} statuses still waited")
            # How long it takes is the machine's affair; that it does not wait for the others is ours.
            assert waiting > 1500

    try:
        asyncio.run(story())
    finally:
        plane.empty(namespace)


def make_many(plane: ControlPlane, namespace: str, count: int) -> None:
    """Quickly, and not as a person would."""
    plane.apply(documents(a_key()), namespace)
    path = f"/apis/byway.dev/v1alpha1/namespaces/{namespace}/modelroutes"
    several = asyncio.Semaphore(16)

    async def make() -> None:
        async with kube_api(plane.kubeconfig) as api:

            async def one(body: Any) -> None:
                async with several:
                    await api._call("POST", path, {}, body)

            await asyncio.gather(*map(one, routes_of(count)))

    asyncio.run(make())
