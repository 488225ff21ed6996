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


def config_map(name: str, text: str = "floors: [{name: all, ownKeys: Deny}]") -> str:
    metadata = {"name": name, "labels": {"byway.dev/floor": "true"}}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"floor.yaml": text}}
    return json.dumps(body)
