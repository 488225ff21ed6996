"""The control plane that the other tests here stand on keeps its promises."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders.control_plane import ControlPlane, username
from fakes.faults import FaultProxy, Faults

TESTS = Path(__file__).parents[1]


def test_all_four_kinds_are_established(plane: ControlPlane) -> None:
    crds = plane.raw("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions")["items"]
    established = {
        crd["spec"]["names"]["kind"]
        for crd in crds
        for condition in crd["status"]["conditions"]
        if (condition["type"], condition["status"]) == ("Established", "True")
    }
    assert established >= {"ModelRoute", "ProviderKey", "Budget", "AccessKey"}


def test_a_token_bound_to_a_pod_says_which_pod_it_is(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    uid = plane.pod(namespace, "proxy-0", "byway-proxy")
    token = plane.token(namespace, "byway-proxy", "byway-control", pod="proxy-0")
    review = {"spec": {"token": token, "audiences": ["byway-control"]}}
    status = plane.raw("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert status["authenticated"]
    assert status["user"]["username"] == username(namespace, "byway-proxy")
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["proxy-0"]
    assert status["user"]["extra"]["authentication.kubernetes.io/pod-uid"] == [uid]


def test_a_service_account_has_no_rights_but_those_given_and_its_calls_are_on_record(plane: ControlPlane) -> None:
    namespace = plane.namespace()
    config = plane.kubeconfig_for("nobody", namespace)
    said = plane.kubectl_says("get", "secrets", kubeconfig=config)
    assert f'User "{username(namespace, "nobody")}" cannot list resource "secrets"' in said.stderr
    calls = [(c.verb, c.resource, c.namespace, c.code) for c in plane.calls(username(namespace, "nobody"))]
    assert ("list", "secrets", namespace, 403) in calls


def test_a_client_certificate_brings_its_groups(plane: ControlPlane) -> None:
    assert "system:masters" in plane.kubectl("auth", "whoami")


def test_a_bad_network_can_be_put_between_it_and_a_client(plane: ControlPlane) -> None:
    async def story() -> None:
        async with FaultProxy(plane.port) as network:
            config = plane.kubeconfig_for("operator", plane.namespace(), port=network.port)
            said = await asyncio.to_thread(plane.kubectl, "auth", "whoami", kubeconfig=config)
            assert "operator" in said
            network.now = Faults(refuse=True)
            said = (await asyncio.to_thread(plane.kubectl_says, "auth", "whoami", kubeconfig=config)).stderr
            assert "reset" in said or "EOF" in said

    asyncio.run(story())


def test_it_ends_when_the_test_run_is_killed(plane: ControlPlane) -> None:
    program = (
        "import os, sys; from pathlib import Path; from builders.control_plane import ControlPlane\n"
        f"with ControlPlane.up(Path({str(plane.binaries)!r})) as plane:\n"
        "    print(plane.folder, *plane.pids().values(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        folder, *pids = run.stdout.readline().split()
        run.kill()
    try:
        deadline = time.monotonic() + 5
        while any(_runs(int(pid)) for pid in pids):
            assert time.monotonic() < deadline
    finally:
        shutil.rmtree(folder)


@pytest.mark.skipif(bool(os.environ.get("KUBEBUILDER_ASSETS")), reason="those have no controller manager")
def test_with_its_controllers_namespaces_have_accounts_and_end(plane: ControlPlane) -> None:
    plane.controllers()
    namespace = plane.namespace()
    plane.wait("namespace", "default", namespace, "jsonpath={.status.phase}=Active")
    plane.kubectl("wait", "serviceaccount/default", "-n", namespace, "--for=create", "--timeout=10s")
    plane.kubectl("delete", "namespace", namespace, "--timeout=20s")


def _runs(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False
