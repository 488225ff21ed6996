"""Tokens that a real API server signs are callers here, verified by what it publishes and without asking it."""

import asyncio
import time
from pathlib import Path

import msgspec
import yaml
from builders.cluster_tokens import AUDIENCE
from builders.control_plane import ROOT, ControlPlane
from builders.documents import blocks
from builders.gateway import Answer, gateway, one_route
from builders.kube import kube_api
from byway_contract.table import Issuer
from byway_operator.watch.issuer import issuer_of
from byway_process.tokens import ServiceAccount, Verifier
from fakes.provider import FakeProvider

GUIDE = ROOT / "docs/guides/callers.md"


def issuer(plane: ControlPlane) -> Issuer:
    async def read() -> Issuer:
        async with kube_api(plane.kubeconfig) as api:
            return issuer_of(await api.read_issuer(), await api.read_signing_keys(), AUDIENCE)

    return asyncio.run(read())


def ask(folder: Path, known: Issuer, *tokens: str) -> tuple[list[Answer], list[tuple[str, str]]]:
    """What each is answered, and whose requests are in the books."""

    async def tell() -> tuple[list[Answer], list[tuple[str, str]]]:
        async with FakeProvider() as a:
            table = one_route(a)
            shared = {name: msgspec.structs.replace(one, shared_with=("*",)) for name, one in table.routes.items()}
            table = msgspec.structs.replace(table, callers={"serviceaccounts": known}, routes=shared)
            async with gateway(folder, table) as proxy:
                answers = [await proxy.ask(headers={"Authorization": f"Bearer {one}"}) for one in tokens]
                return answers, [(one.namespace, one.service_account) for one, _ in proxy.settled()]

    return asyncio.run(tell())


def test_a_token_made_by_kubectl_for_our_audience_is_its_namespaces_caller(
    plane: ControlPlane, tmp_path: Path
) -> None:
    namespace = plane.namespace()
    plane.service_account(namespace, "app")
    token = plane.kubectl("create", "token", "app", "-n", namespace, "--audience", AUDIENCE).strip()
    (answer,), booked = ask(tmp_path, issuer(plane), token)
    assert answer.status == 200
    assert booked == [(namespace, "app")]


def test_a_token_for_anything_else_is_refused(plane: ControlPlane, tmp_path: Path) -> None:
    namespace = plane.namespace()
    plane.service_account(namespace, "app")
    other = plane.kubectl("create", "token", "app", "-n", namespace, "--audience", "byway-control").strip()
    answers, booked = ask(tmp_path, issuer(plane), other, plane.token(namespace, "app"))
    assert [answer.status for answer in answers] == [401, 401]
    assert all("not made for the audience" in answer.json["error"]["message"] for answer in answers)
    assert booked == []


def test_a_projected_token_says_which_pod_brings_it(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    uid = plane.pod(namespace, "app-7d9f", "app")
    known = issuer(plane)
    found = Verifier(known.issuer, known.audience, known.keys).verify(
        plane.token(namespace, "app", AUDIENCE, pod="app-7d9f"), time.time()
    )
    wanted = ServiceAccount(namespace, "app", found.uid, "app-7d9f", uid, found.expires)
    assert found == wanted
    assert found.uid == plane.get("serviceaccount", namespace, "app")["metadata"]["uid"]


def test_a_token_outlives_its_service_account_as_the_guide_says(plane: ControlPlane, tmp_path: Path) -> None:
    namespace = plane.namespace()
    token = plane.token(namespace, "app", AUDIENCE)
    plane.kubectl("delete", "serviceaccount", "app", "-n", namespace)
    (answer,), _ = ask(tmp_path, issuer(plane), token)
    assert answer.status == 200


def test_the_guides_pod_is_taken_by_the_api_server(plane: ControlPlane) -> None:
    (pod,) = [yaml.safe_load(block.text) for block in blocks(GUIDE) if block.language == "yml"]
    namespace = plane.namespace()
    plane.service_account(namespace, pod["spec"]["serviceAccountName"])
    del pod["metadata"]["namespace"]
    plane.apply(yaml.safe_dump(pod), namespace)
