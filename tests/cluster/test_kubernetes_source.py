"""The Kubernetes API as a source: what is applied is in the world, whatever the watches do."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import parse_qs, urlsplit

from builders.control_plane import ControlPlane, username
from builders.watching import (
    OWN,
    RULES,
    Watching,
    key_of,
    namespaced_account,
    operator_account,
    provider_key,
    soon,
    watching,
)
from byway_contract.table import Issuer, SigningKey
from byway_operator.watch.triggers import LONGEST_WAIT_S
from fakes.api_front import ApiFront, Spoilt

CREDENTIAL = "synthetic-credential-of-a-test"


def secret(name: str, value: str, label: str = "true") -> str:
    return (
        f"{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, labels: {{byway.dev/credential: '{label}'}}}}, "
        f"stringData: {{apiKey: {value}}}}}"
    )


WATCHES = 8
"""Five kinds, namespaces, the proxies' Service and the floor."""


@asynccontextmanager
async def behind_a_front(
    plane: ControlPlane, list_every_s: float = 60.0
) -> AsyncIterator[tuple[ApiFront, Watching, str]]:
    release = plane.namespace()
    operator_account(plane, release)
    async with ApiFront(plane) as front:
        kubeconfig = plane.kubeconfig_for("byway-operator", release, port=front.port)
        async with watching(kubeconfig, release, list_every_s=list_every_s) as it:
            await soon(lambda: front.watches == WATCHES)
            yield front, it, plane.namespace()


def test_what_is_applied_changed_and_deleted_is_so_in_the_world(plane: ControlPlane) -> None:
    async def story() -> None:
        here = plane.namespace({"team": "a"})
        key = key_of("openai", here)
        async with watching(plane.kubeconfig, plane.namespace()) as it:
            await asyncio.to_thread(plane.apply, provider_key(), here)
            world = await it.until(lambda world: key in world.manifests)
            assert world.surroundings.namespaces[here]["team"] == "a"
            manifest = world.manifests[key]
            assert (manifest.generation, manifest.body["spec"]) == (1, {"provider": "openai"})
            assert manifest.uid
            assert manifest.created
            await asyncio.to_thread(plane.apply, provider_key(provider="anthropic"), here)
            world = await it.until(lambda world: world.manifests[key].generation == 2)
            assert world.manifests[key].body["spec"] == {"provider": "anthropic"}
            await asyncio.to_thread(plane.kubectl, "delete", "providerkey", "openai", "-n", here)
            await it.until(lambda world: key not in world.manifests)

    asyncio.run(story())


def test_our_own_status_is_remembered_and_changes_nothing(plane: ControlPlane) -> None:
    async def story() -> None:
        here = plane.namespace()
        key = key_of("openai", here)
        path = f"/apis/byway.dev/v1alpha1/namespaces/{here}/providerkeys/openai/status"
        async with watching(plane.kubeconfig, plane.namespace()) as it:
            await asyncio.to_thread(plane.apply, provider_key(), here)
            await it.until(lambda world: key in world.manifests)
            before = it.changes
            status = {"status": {"observedGeneration": 1}}
            await asyncio.to_thread(plane.raw, "PATCH", path, status, "application/merge-patch+json")
            await soon(lambda: it.source.read().told.get(key, {}).get("observedGeneration") == 1)
            assert it.changes == before

    asyncio.run(story())


def test_a_secret_is_seen_for_its_label_alone_and_its_value_is_in_no_log(plane: ControlPlane) -> None:
    async def story() -> None:
        release, here = plane.namespace(), plane.namespace()
        operator_account(plane, release)
        key = key_of("mine", here, "Secret")
        async with watching(plane.kubeconfig_for("byway-operator", release), release) as it:
            await asyncio.to_thread(plane.apply, secret("theirs", CREDENTIAL, label="false"), here)
            await asyncio.to_thread(plane.apply, secret("mine", CREDENTIAL), here)
            await it.until(lambda world: key in world.manifests)
            assert key_of("theirs", here, "Secret") not in it.source.read().manifests
            await asyncio.to_thread(plane.apply, secret("mine", CREDENTIAL, label="false"), here)
            await it.until(lambda world: key not in world.manifests)
            assert CREDENTIAL not in it.log
        calls = [call for call in plane.calls(username(release, "byway-operator")) if call.resource == "secrets"]
        assert {call.verb for call in calls} == {"list", "watch"}
        asked = [parse_qs(urlsplit(call.path).query) for call in calls]
        # Those that a ProviderKey names and that are not there are asked for by name, for their metadata alone.
        many = [one for one in asked if not of_one(one)]
        assert {one["labelSelector"][0] for one in many} == {"byway.dev/credential=true"}

    asyncio.run(story())


def of_one(query: dict[str, list[str]]) -> bool:
    """Whether a LIST asks for one object by its name."""
    return query.get("fieldSelector", ["metadata.name=-"]) != ["metadata.name=-"]


def test_nothing_of_ours_is_left_on_objects_and_nothing_is_asked_but_to_read(plane: ControlPlane) -> None:
    async def story() -> None:
        release, here = plane.namespace(), plane.namespace()
        operator_account(plane, release)
        async with watching(plane.kubeconfig_for("byway-operator", release), release) as it:
            await asyncio.to_thread(plane.apply, provider_key(), here)
            await it.until(lambda world: key_of("openai", here) in world.manifests)
            assert it.triggers.restarts == 0
        metadata = plane.get("providerkey", here, "openai")["metadata"]
        assert not {"annotations", "finalizers"} & metadata.keys()
        calls = plane.calls(username(release, "byway-operator"))
        assert {call.verb for call in calls} == {"get", "list", "watch"}
        assert [call for call in calls if call.code >= 400] == []
        resources = {call.resource for call in calls if call.verb in ("list", "watch")}
        assert resources == {
            *("modelroutes", "providerkeys", "budgets", "accesskeys", "secrets", "namespaces"),
            *("endpointslices", "configmaps"),
        }
        # What kopf lists finds nothing: two thousand objects are read by us alone, and once.
        lists = [parse_qs(urlsplit(call.path).query) for call in calls if call.verb == "list"]
        many = [one for one in lists if not of_one(one)]
        assert all(("limit" in one) != (one.get("fieldSelector") == ["metadata.name=-"]) for one in many)
        assert {call.namespace for call in calls if call.resource in ("endpointslices", "configmaps")} == {release}

    asyncio.run(story())


def test_a_deletion_in_the_gap_of_a_watch_is_found_when_the_watch_is_too_old(plane: ControlPlane) -> None:
    async def story() -> None:
        async with behind_a_front(plane) as (front, it, here):
            await asyncio.to_thread(plane.apply, provider_key("only"), here)
            await it.until(lambda world: key_of("only", here) in world.manifests)
            front.now = Spoilt(gone=True)
            front.cut()
            await asyncio.to_thread(plane.kubectl, "delete", "providerkey", "only", "-n", here)
            await it.until(lambda world: key_of("only", here) not in world.manifests)
            assert it.source.resync_pruned == 1
            front.now = Spoilt()
            await soon(lambda: front.watches == WATCHES)
            await asyncio.to_thread(plane.apply, provider_key("next"), here)
            await it.until(lambda world: key_of("next", here) in world.manifests)

    asyncio.run(story())


def test_a_watch_that_falls_silent_is_made_good_by_the_next_list(plane: ControlPlane) -> None:
    async def story() -> None:
        async with behind_a_front(plane, list_every_s=1.0) as (front, it, here):
            await asyncio.to_thread(plane.apply, provider_key("gone"), here)
            await it.until(lambda world: key_of("gone", here) in world.manifests)
            front.now = Spoilt(silent=True)
            await asyncio.to_thread(plane.kubectl, "delete", "providerkey", "gone", "-n", here)
            await asyncio.to_thread(plane.apply, provider_key("new"), here)
            began = time.monotonic()
            world = await it.until(lambda world: key_of("new", here) in world.manifests)
            await it.until(lambda world: key_of("gone", here) not in world.manifests)
            assert time.monotonic() - began < 2.5
            assert key_of("new", here) in world.manifests
            assert it.source.resync_pruned == 1
            assert front.watches == WATCHES

    asyncio.run(story())


def test_watches_that_end_with_an_error_are_begun_anew_and_nothing_is_lost(plane: ControlPlane) -> None:
    async def story() -> None:
        async with behind_a_front(plane) as (front, it, here):
            front.now = Spoilt(failing=500)
            front.cut()
            await soon(lambda: it.triggers.restarts)
            await asyncio.to_thread(plane.apply, provider_key("meanwhile"), here)
            front.now = Spoilt()
            # How long it takes `apply` is how often they were begun in vain, and that how long they rest.
            await it.until(lambda world: key_of("meanwhile", here) in world.manifests, 2 * LONGEST_WAIT_S)
            assert "watches of the Kubernetes API ended" in it.log
            await soon(lambda: front.watches == WATCHES)
            await asyncio.to_thread(plane.apply, provider_key("after"), here)
            await it.until(lambda world: key_of("after", here) in world.manifests)

    asyncio.run(story())


def test_a_world_that_is_suddenly_empty_is_believed_when_two_lists_agree(plane: ControlPlane) -> None:
    async def story() -> None:
        async with behind_a_front(plane, list_every_s=0.2) as (front, it, here):
            text = (
                "{{apiVersion: byway.dev/v1alpha1, kind: ModelRoute, metadata: {{name: r{0}}}, "
                "spec: {{endpoints: [{{name: a, model: openai/gpt-5-mini}}]}}}}"
            )
            await asyncio.to_thread(plane.apply, "\n---\n".join(text.format(number) for number in range(30)), here)
            await it.until(lambda world: sum(key.namespace == here for key in world.manifests) == 30)
            front.now = Spoilt(empty_lists="modelroutes")
            await it.until(lambda world: not any(key.namespace == here for key in world.manifests))
            assert "most resources are gone from a LIST of modelroutes; listing again" in it.log
            assert front.emptied >= 2

    asyncio.run(story())


def test_a_missing_right_is_told_once_with_the_way_out_and_nothing_is_published_before(plane: ControlPlane) -> None:
    async def story() -> None:
        release = plane.namespace()
        namespaced_account(plane, release, release, [*RULES[:1], *OWN])
        kubeconfig = plane.kubeconfig_for("byway-operator", release)
        async with watching(kubeconfig, release, namespaces=(release,), watched=False) as it:
            await soon(lambda: "secrets in" in it.log)
            await soon(lambda: plane_asked(plane, release, "secrets") >= 2)  # 403 each
            assert not it.source.synced
            [told] = [line for line in map(json.loads, it.log.splitlines()) if "secrets" in line["what"]]
            assert told["way_out"] == (
                f'grant the operator get, list and watch on secrets (apiGroup "") by a Role in {release}'
            )
            plane.raw(
                "PUT",
                f"/apis/rbac.authorization.k8s.io/v1/namespaces/{release}/roles/byway-operator-{release}",
                {"metadata": {"name": f"byway-operator-{release}"}, "rules": [*RULES, *OWN]},
            )
            await soon(lambda: it.source.synced)

    asyncio.run(story())


def plane_asked(plane: ControlPlane, release: str, resource: str) -> int:
    return sum(call.resource == resource for call in plane.calls(username(release, "byway-operator")))


def test_a_kind_that_is_not_installed_keeps_what_it_had_and_is_watched_again_once_it_is(
    plane: ControlPlane,
) -> None:
    async def story() -> None:
        async with behind_a_front(plane, list_every_s=0.2) as (front, it, here):
            await asyncio.to_thread(plane.apply, provider_key(), here)
            await it.until(lambda world: key_of("openai", here) in world.manifests)
            front.now = Spoilt(missing="providerkeys")
            await soon(lambda: "kubectl apply --server-side -f crds/" in it.log)
            assert key_of("openai", here) in it.source.read().manifests
            looked = front.asked.count("/apis")
            front.now = Spoilt()
            await soon(lambda: "providerkeys can be listed again" in it.log)
            await soon(lambda: front.asked.count("/apis") > looked)
            assert it.triggers.restarts == 0

    asyncio.run(story())


def test_with_rights_in_some_namespaces_those_are_seen_and_no_others(plane: ControlPlane) -> None:
    async def story() -> None:
        release, ours, theirs = plane.namespace(), plane.namespace(), plane.namespace()
        namespaced_account(plane, release, release, OWN)
        namespaced_account(plane, release, ours, RULES, "byway-operator")
        kubeconfig = plane.kubeconfig_for("byway-operator", release)
        async with watching(kubeconfig, release, namespaces=(ours,)) as it:
            await asyncio.to_thread(plane.apply, provider_key(), theirs)
            await asyncio.to_thread(plane.apply, provider_key(), ours)
            world = await it.until(lambda world: key_of("openai", ours) in world.manifests)
            assert {key.namespace for key in world.manifests} == {ours}
            assert world.surroundings.namespaces == {}
            assert "no right to list namespaces" in it.log
            assert it.triggers.restarts == 0

    asyncio.run(story())


def test_the_proxies_are_the_ready_pods_of_their_service(plane: ControlPlane) -> None:
    async def story() -> None:
        release = plane.namespace()
        path = f"/apis/discovery.k8s.io/v1/namespaces/{release}/endpointslices"
        target = {"kind": "Pod", "name": "byway-proxy-0", "namespace": release}
        body = {
            "metadata": {"name": "one", "labels": {"kubernetes.io/service-name": "byway-proxy"}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}, "targetRef": target}],
        }
        async with watching(plane.kubeconfig, release) as it:
            assert it.source.read().proxies == frozenset()
            plane.raw("POST", path, body)
            plane.raw("POST", path, {**body, "metadata": {"name": "of-another-service"}})
            await it.until(lambda world: world.proxies == {"byway-proxy-0"})

    asyncio.run(story())


def test_the_keys_that_sign_tokens_are_read_and_renewed(plane: ControlPlane) -> None:
    async def story() -> None:
        read = 0

        def read_issuer(discovery: object, keys: object) -> Issuer:
            nonlocal read
            read += 1
            assert isinstance(discovery, dict)
            assert isinstance(keys, dict)
            if read == 2:
                raise ValueError("no keys")
            kids = tuple(SigningKey("RSA", key["kid"]) for key in keys["keys"])
            return Issuer(discovery["issuer"], "byway", kids if read < 3 else ())

        async with watching(plane.kubeconfig, plane.namespace(), read_issuer=read_issuer) as it:
            issuer = it.source.read().surroundings.issuer
            assert issuer is not None
            assert issuer.issuer == plane.raw("GET", "/.well-known/openid-configuration")["issuer"]
            await it.until(lambda world: world.surroundings.issuer == Issuer(issuer.issuer, "byway", ()))
            assert "the last ones hold" in it.log

    asyncio.run(story())
