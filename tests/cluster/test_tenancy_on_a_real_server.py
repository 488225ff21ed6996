"""Labels of namespaces, and the platform's floor, as a cluster has them."""

import asyncio
import json

from builders.control_plane import ControlPlane
from builders.watching import operator_account, watching
from byway_operator.resources.manifest import Key


def test_a_label_that_changes_is_seen_and_so_is_the_floor(plane: ControlPlane) -> None:
    async def story() -> None:
        release, team = plane.namespace(), plane.namespace({"data": "patients"})
        floor = Key("ConfigMap", release, "byway-floor")
        operator_account(plane, release)
        async with watching(plane.kubeconfig_for("byway-operator", release), release) as it:
            await it.until(lambda world: world.surroundings.namespaces[team].get("data") == "patients")
            await asyncio.to_thread(plane.kubectl, "label", "namespace", team, "data-")
            await it.until(lambda world: "data" not in world.surroundings.namespaces[team])

            await asyncio.to_thread(plane.apply, config_map("byway-floor"), release)
            world = await it.until(lambda world: floor in world.manifests)
            assert world.manifests[floor].generation == 1
            assert floor not in world.told
            # Neither another's ConfigMaps nor one of that name elsewhere.
            await asyncio.to_thread(plane.apply, config_map("byway-floor"), team)
            await asyncio.to_thread(plane.apply, config_map("byway-floor", "floors: [1]"), release)
            world = await it.until(lambda world: world.manifests[floor].generation == 2)
            assert [key for key in world.manifests if key.kind == "ConfigMap"] == [floor]
            await asyncio.to_thread(
                plane.kubectl, "label", "configmap", "-n", release, "byway-floor", "byway.dev/floor-"
            )
            await it.until(lambda world: floor not in world.manifests)

    asyncio.run(story())


def test_the_price_book_is_seen_beside_the_floor(plane: ControlPlane) -> None:
    async def story() -> None:
        release = plane.namespace()
        floor, book = (Key("ConfigMap", release, name) for name in ("byway-floor", "byway-prices"))
        operator_account(plane, release)
        # One that was there before, and one that comes: by the LIST and by the watch.
        await asyncio.to_thread(plane.apply, price_book(), release)
        async with watching(plane.kubeconfig_for("byway-operator", release), release) as it:
            await it.until(lambda world: book in world.manifests)
            await asyncio.to_thread(plane.apply, config_map("byway-floor"), release)
            await asyncio.to_thread(plane.apply, price_book("prices: [1]"), release)
            await asyncio.to_thread(plane.kubectl, "create", "configmap", "-n", release, "another")
            await it.until(lambda world: floor in world.manifests and world.manifests[book].generation == 2)
            world = await it.until(lambda world: True)
            assert {key for key in world.manifests if key.kind == "ConfigMap"} == {floor, book}
            label = "byway.dev/price-book-"
            await asyncio.to_thread(plane.kubectl, "label", "configmap", "-n", release, "byway-prices", label)
            await it.until(lambda world: book not in world.manifests and floor in world.manifests)
            await asyncio.to_thread(plane.kubectl, "delete", "configmap", "-n", release, "byway-floor")
            await it.until(lambda world: floor not in world.manifests)

    asyncio.run(story())


def price_book(text: str = "prices: []") -> str:
    metadata = {"name": "byway-prices", "labels": {"byway.dev/price-book": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"prices.yaml": text}}
    return json.dumps(body)


def config_map(name: str, text: str = "floors: [{name: all, ownKeys: Deny}]") -> str:
    metadata = {"name": name, "labels": {"byway.dev/floor": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"floor.yaml": text}}
    return json.dumps(body)
