"""What the real API server says of tokens, and who gets in by it."""

import asyncio
import io
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, UnixConnector, WSServerHandshakeError
from builders.cluster_tokens import b64, unb64
from builders.control_plane import ControlPlane, username
from builders.kube import kube_api
from byway_contract.stream import (
    CLOSE_IDENTITY,
    PATH,
    SUBPROTOCOL,
    Hello,
    Pod,
    Welcome,
    decode_from_operator,
    encode,
)
from byway_operator.kube.identity import TokenReviews
from byway_process.logs import Log
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from stream.parts import an_operator, compiled

AUDIENCE = "byway-control"
Dial = Callable[[str, Pod], Awaitable[int | str]]
"""With this token, as this pod: the status of the refusal, the code of the close, or `welcome`."""


def dialled(
    plane: ControlPlane, namespace: str, story: Callable[[Dial], Awaitable[None]], kubeconfig: Path | None = None
) -> str:
    """What was logged meanwhile."""

    async def whole() -> str:
        out = io.StringIO()
        async with kube_api(kubeconfig or plane.kubeconfig) as api:
            identify = TokenReviews(api, AUDIENCE, f"{namespace}/byway-proxy", Log("operator", out=out))
            async with an_operator(identify=identify) as operator:
                operator.hub.publish(compiled("smart"))

                async def dial(token: str, pod: Pod) -> int | str:
                    headers = {"Authorization": f"Bearer {token}"}
                    connector = UnixConnector(str(operator.socket))
                    url, protocols = f"http://operator{PATH}", (SUBPROTOCOL,)
                    try:
                        async with (
                            ClientSession(connector=connector) as session,
                            session.ws_connect(url, protocols=protocols, headers=headers) as ws,
                        ):
                            await ws.send_str(encode(Hello(pod, "1")))
                            async with asyncio.timeout(5):
                                first = await ws.receive()
                            if ws.close_code is not None:
                                return ws.close_code
                            assert isinstance(decode_from_operator(first.data), Welcome)
                            return "welcome"
                    except WSServerHandshakeError as error:
                        return error.status

                await story(dial)
                return out.getvalue() + operator.log.getvalue()

    return asyncio.run(whole())


@pytest.fixture(scope="module")
def namespace(plane: ControlPlane) -> str:
    return plane.namespace()


@pytest.fixture(scope="module")
def pod(plane: ControlPlane, namespace: str) -> Pod:
    return Pod("proxy-0", plane.pod(namespace, "proxy-0", "byway-proxy"))


def test_a_pods_own_token_lets_that_pod_in_and_no_other(plane: ControlPlane, namespace: str, pod: Pod) -> None:
    token = plane.token(namespace, "byway-proxy", AUDIENCE, pod="proxy-0")

    async def story(dial: Dial) -> None:
        assert await dial(token, pod) == "welcome"
        assert await dial(token, Pod("proxy-1", pod.uid)) == CLOSE_IDENTITY
        assert await dial(token, Pod("proxy-0", "another life")) == CLOSE_IDENTITY

    assert token not in dialled(plane, namespace, story)


def test_a_token_is_reviewed_once_a_minute_and_not_at_each_dialling(
    plane: ControlPlane, namespace: str, pod: Pod
) -> None:
    token = plane.token(namespace, "byway-proxy", AUDIENCE, pod="proxy-0")
    reviewer = plane.kubeconfig_for("reviewer", namespace)
    grant(plane, namespace)

    async def story(dial: Dial) -> None:
        for _again in range(5):
            assert await dial(token, pod) == "welcome"

    dialled(plane, namespace, story, reviewer)
    calls = [call for call in plane.calls(username(namespace, "reviewer")) if call.code == 201]
    assert [(call.verb, call.resource) for call in calls] == [("create", "tokenreviews")]


def grant(plane: ControlPlane, namespace: str) -> None:
    rule = {"apiGroups": ["authentication.k8s.io"], "resources": ["tokenreviews"], "verbs": ["create"]}
    api = {"apiVersion": "rbac.authorization.k8s.io/v1"}
    name = f"{namespace}-reviewer"
    role = {**api, "kind": "ClusterRole", "metadata": {"name": name}, "rules": [rule]}
    binding = {
        **api,
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "reviewer", "namespace": namespace}],
    }
    for one in (role, binding):
        plane.apply(json.dumps(one))


def test_whoever_else_has_a_token_stays_outside(plane: ControlPlane, namespace: str, pod: Pod) -> None:
    elsewhere = plane.namespace()
    plane.pod(namespace, "app-0", "app")
    plane.pod(elsewhere, "proxy-0", "byway-proxy")
    plane.pod(namespace, "gone", "byway-proxy")
    gone = plane.token(namespace, "byway-proxy", AUDIENCE, pod="gone")
    plane.kubectl("delete", "pod", "gone", "-n", namespace, "--grace-period=0", "--force")
    good = plane.token(namespace, "byway-proxy", AUDIENCE, pod="proxy-0")
    tried = {
        "of another audience": (401, plane.token(namespace, "byway-proxy", "byway", pod="proxy-0")),
        "for the API server itself": (401, plane.token(namespace, "byway-proxy", pod="proxy-0")),
        # The API server gives a minute of grace.
        "expired": (401, signed_anew(plane, good, exp=int(time.time()) - 90)),
        "changed": (401, good[:-8] + "AAAAAAAA"),
        "garbage": (401, "x.y.z"),
        "of a pod that is gone": (401, gone),
        "of another ServiceAccount": (403, plane.token(namespace, "app", AUDIENCE, pod="app-0")),
        "of our ServiceAccount's namesake": (403, plane.token(elsewhere, "byway-proxy", AUDIENCE, pod="proxy-0")),
        "without a pod": (403, plane.token(namespace, "byway-proxy", AUDIENCE)),
    }

    async def story(dial: Dial) -> None:
        # What is refused otherwise is refused for what was changed: this is how it is signed.
        assert await dial(signed_anew(plane, good), pod) == "welcome"
        got = {what: await dial(token, pod) for what, (_, token) in tried.items()}
        assert got == {what: code for what, (code, _) in tried.items()}

    said = dialled(plane, namespace, story)
    assert not [what for what, (_, token) in tried.items() if token in said]


def test_an_api_server_that_does_not_answer_makes_no_stranger_of_a_proxy(
    plane: ControlPlane, namespace: str, pod: Pod
) -> None:
    token = plane.token(namespace, "byway-proxy", AUDIENCE, pod="proxy-0")

    async def story(dial: Dial) -> None:
        assert [await dial(token, pod) for _ in range(3)] == [503, 503, 503]

    nobody = dialled(plane, namespace, story, plane.kubeconfig_for("nobody", namespace, port=1))
    assert nobody.count("reviews no tokens") == 1
    forbidden = dialled(plane, namespace, story, plane.kubeconfig_for("nobody", namespace))
    assert 'cannot create resource \\"tokenreviews\\"' in forbidden
    assert "a stranger dialled" not in nobody + forbidden


def signed_anew(plane: ControlPlane, token: str, **claims: object) -> str:
    """The same token with these claims changed, by the cluster's own key."""
    header, body, _ = token.split(".")
    text = f"{header}.{b64(json.dumps(json.loads(unb64(body)) | claims))}"
    key = serialization.load_pem_private_key((plane.folder / "sa.key").read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"
