"""What the API's objects become in our world."""

import time
from typing import Any

from byway_operator.resources.manifest import Key
from byway_operator.watch.cluster_inventory import SLICES, ClusterInventory, View, views

ROUTES, SECRETS, NAMESPACES = View("modelroutes"), View("secrets"), View("namespaces")
SMART = Key("ModelRoute", "team-a", "smart")


def route(version: int, generation: int = 1, **more: Any) -> dict[str, Any]:
    metadata = {
        "name": "smart",
        "namespace": "team-a",
        "uid": "u-1",
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": "2026-11-24T12:00:00Z",
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
    }
    spec = {"endpoints": [{"name": "a", "model": f"openai/gpt-{generation}"}]}
    return {"apiVersion": "byway.dev/v1alpha1", "kind": "ModelRoute", "metadata": metadata, "spec": spec, **more}


def secret(version: int, value: str) -> dict[str, Any]:
    labels = {"byway.dev/credential": "true"}
    metadata = {"name": "s", "namespace": "team-a", "resourceVersion": str(version), "labels": labels}
    return {"metadata": metadata, "data": {"apiKey": value}, "type": "Opaque"}


def endpoint(pod: str | None, **conditions: bool) -> dict[str, Any]:
    target = {"targetRef": {"kind": "Pod", "name": pod}} if pod is not None else {}
    return {"addresses": ["192.0.2.1"], "conditions": conditions, **target}


def inventory() -> ClusterInventory:
    return ClusterInventory(views((), "byway-system"))


def test_a_manifest_is_what_people_wrote() -> None:
    held = inventory()
    held.take(ROUTES, route(5, generation=3, status={"observedGeneration": 2}))
    manifest = held.world().manifests[SMART]
    assert set(manifest.body) == {"apiVersion", "kind", "metadata", "spec"}
    assert set(manifest.body["metadata"]) == {"name", "namespace", "uid", "generation", "creationTimestamp"}
    assert (manifest.generation, manifest.created, manifest.uid) == (3, "2026-11-24T12:00:00Z", "u-1")


def test_our_own_status_is_no_news_but_is_known() -> None:
    held = inventory()
    assert held.take(ROUTES, route(5))
    before = held.world()
    assert not held.take(ROUTES, route(6, status={"observedGeneration": 1}))
    assert held.world().told == {SMART: {"observedGeneration": 1}}
    assert held.world().manifests[SMART] is before.manifests[SMART]


def test_a_world_that_was_read_stays_as_it_was() -> None:
    held = inventory()
    held.take(ROUTES, route(5))
    before = held.world()
    assert held.drop(ROUTES, route(9))
    assert SMART in before.manifests
    assert held.world().manifests == {}


def test_a_secret_counts_its_changes_and_is_known_whatever_the_server_leaves_out() -> None:
    held = inventory()
    key = Key("Secret", "team-a", "s")
    held.relist(SECRETS, [secret(5, "b25l")], 7)
    assert held.world().manifests[key].generation == 1
    assert not held.take(SECRETS, secret(8, "b25l"))
    assert held.take(SECRETS, secret(9, "dHdv"))
    manifest = held.world().manifests[key]
    assert manifest.generation == 2
    assert (manifest.body["apiVersion"], manifest.body["kind"]) == ("v1", "Secret")
    assert key not in held.world().told


def test_namespaces_lend_their_labels() -> None:
    held = inventory()
    found = {"metadata": {"name": "team-a", "resourceVersion": "5", "labels": {"team": "a"}}}
    assert held.take(NAMESPACES, found)
    assert held.world().surroundings.namespaces == {"team-a": {"team": "a"}}


def test_the_proxies_are_the_ready_pods_of_all_slices() -> None:
    held = inventory()
    view = View(SLICES, "byway-system")
    one = [endpoint("p-0", ready=True), endpoint("p-1", ready=False), endpoint(None, ready=True), endpoint("p-2")]
    for number, endpoints in enumerate((one, [endpoint("p-3", ready=True, serving=True)], None)):
        metadata = {"name": f"s{number}", "namespace": "byway-system", "resourceVersion": "5"}
        held.take(view, {"metadata": metadata, "endpoints": endpoints})
    assert held.world().proxies == {"p-0", "p-2", "p-3"}


def test_some_namespaces_are_looked_at_one_by_one() -> None:
    looked_at = views(("team-b", "team-a", "team-b"), "byway-system")
    assert View("secrets", "team-a") in looked_at
    assert View("modelroutes", "team-b") in looked_at
    assert len(looked_at) == 2 * 5 + 3


def test_a_list_of_one_namespace_leaves_the_others_alone() -> None:
    held = ClusterInventory(views(("team-a", "team-b"), "byway-system"))
    held.take(View("modelroutes", "team-a"), route(5))
    assert held.relist(View("modelroutes", "team-b"), [], 9).pruned == 0
    assert held.keys_after(View("modelroutes", "team-a"), [], 9) == frozenset()
    assert held.keys() == {SMART}


def test_two_thousand_routes_are_taken_in_within_a_moment_and_again_in_less() -> None:
    held = inventory()
    found = [route(number + 1, status={"observedGeneration": 1}) for number in range(2000)]
    for number, one in enumerate(found):
        one["metadata"]["name"] = f"r{number}"
    spent = []
    for version in (2001, 2002):
        began = time.process_time()
        held.relist(ROUTES, found, version)
        spent.append(time.process_time() - began)
    print(f"{1000 * spent[0]:.0f} ms at first, {1000 * spent[1]:.1f} ms when nothing has changed")
    assert len(held.world().manifests) == 2000
    assert spent[0] < 0.5
    assert spent[1] < 0.1
