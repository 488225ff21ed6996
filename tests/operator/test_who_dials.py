"""What is made of the API server's word about a token, and of what is no token at all."""

import asyncio

import pytest
from aiohttp import ClientSession, UnixConnector
from byway_contract.stream import PATH, Pod
from byway_operator.kube.api import Reviewed
from byway_operator.kube.identity import TokenReviews, judge
from byway_operator.push.door import Stranger
from stream.parts import an_operator, compiled

PROXIES = "system:serviceaccount:byway:byway-proxy"
EXTRA = {
    "authentication.kubernetes.io/pod-name": ["byway-proxy-7d9f-x2x"],
    "authentication.kubernetes.io/pod-uid": ["5f0c"],
}


def judged(**said: object) -> Pod | Stranger:
    usual = {"authenticated": True, "username": PROXIES, "audiences": ("byway-control",), "extra": EXTRA}
    return judge(Reviewed(**{**usual, **said}), "byway-control", PROXIES)  # type: ignore[arg-type]  # a test's own


def test_a_pod_of_the_proxies_is_let_in_as_itself() -> None:
    assert judged() == Pod("byway-proxy-7d9f-x2x", "5f0c", namespace="byway")


@pytest.mark.parametrize(
    ("said", "status", "why"),
    [
        ({"authenticated": False}, 401, "audience byway-control that has not expired"),
        ({"audiences": ()}, 401, "not of audience"),
        ({"audiences": ("https://kubernetes.default.svc",)}, 401, "not of audience"),
        (
            {"username": "system:serviceaccount:team-a:byway-proxy"},
            403,
            "of system:serviceaccount:team-a:byway-proxy",
        ),
        ({"username": PROXIES + "2"}, 403, "proxies here are"),
        ({"username": ""}, 403, "proxies here are"),
        ({"extra": {}}, 403, "names no pod; mount a projected one"),
        ({"extra": {**EXTRA, "authentication.kubernetes.io/pod-uid": []}}, 403, "names no pod"),
        ({"extra": {**EXTRA, "authentication.kubernetes.io/pod-name": ["a", "b"]}}, 403, "names no pod"),
    ],
)
def test_whoever_is_not_is_told_what_to_show(said: dict[str, object], status: int, why: str) -> None:
    stranger = judged(**said)
    assert isinstance(stranger, Stranger)
    assert stranger.status == status
    assert why in stranger.message


@pytest.mark.parametrize(
    "authorization", [None, "", "Bearer", "Bearer  ", "Basic abc", "Bearer two words", "Bearer t\u00f6ken"]
)
def test_what_is_no_token_is_not_brought_before_the_api_server(authorization: str | None) -> None:
    async def story() -> None:
        identify = TokenReviews(None, "byway-control", "byway/byway-proxy", None)  # type: ignore[arg-type]  # not asked
        headers = {"Authorization": authorization} if authorization is not None else {}
        async with an_operator(identify=identify) as operator:
            operator.hub.publish(compiled("smart"))
            async with (
                ClientSession(connector=UnixConnector(str(operator.socket))) as session,
                session.get(f"http://operator{PATH}", headers=headers) as answer,
            ):
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
                assert "a projected token of audience byway-control" in await answer.text()

    asyncio.run(story())
