"""Two operators and one Lease: whatever befalls the one that leads, answers and statuses stay as they are."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

import pytest
from builders.control_plane import ApiError, Call, ControlPlane, username
from builders.steadiness import Statuses, under_load
from byway_operator.kube.lease import TERM
from canary import canary
from fakes.fleet import OPERATOR, Fleet, fleet
from fakes.machine import until
from fakes.process import provider

KEY = canary()
LEASE_S = 4
"""A story waits for it, and a busy machine must not make a leader miss it."""
MANY = 120
"""Routes: more statuses than are written at once."""
OPERATORS = f"{OPERATOR}-0", f"{OPERATOR}-1"
PROXIES = "byway-proxy-0", "byway-proxy-1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/byway-operator"


class Team:
    """A namespace with a route, and a client of it."""

    def __init__(self, plane: ControlPlane, release: Fleet, url: str) -> None:
        self.plane, self.namespace = plane, plane.namespace()
        self.plane.apply(SECRET.format(key=KEY) + "---" + ACCOUNT.format(url=url), self.namespace)
        self.route("smart")
        self.token = release.token(self.namespace)

    def route(self, name: str) -> None:
        """Applied, and on all proxies by its status's word."""
        self.plane.apply(ROUTE.format(name=name), self.namespace)
        self.plane.wait("modelroute", self.namespace, name, "condition=Programmed")


SECRET = """
apiVersion: v1
kind: Secret
metadata: {{name: fake-key, labels: {{byway.dev/credential: "true"}}}}
stringData: {{apiKey: {key}}}
"""
ACCOUNT = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {{name: fake}}
spec: {{provider: openai-compatible, baseURL: {url}, secretRef: {{name: fake-key}}}}
"""
ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: {name}}}
spec: {{endpoints: [{{name: only, providerKeyRef: {{name: fake}}, model: test/model}}]}}
"""


@pytest.fixture(scope="module")
def release(plane: ControlPlane) -> Iterator[Fleet]:
    with fleet(plane, operators=2, BYWAY_LEASE_S=str(LEASE_S)) as release:
        yield release
        refused = [call for call in plane.calls(username(release.namespace, OPERATOR)) if call.code == 403]
        assert refused == []


@pytest.fixture(scope="module")
def team(plane: ControlPlane, release: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with provider(tmp_path_factory.mktemp("provider"), "fake", keys=[KEY]) as (url, _):
        team = Team(plane, release, url)
        plane.wait("providerkey", team.namespace, "fake", "condition=Valid")
        yield team


def at_rest(release: Fleet) -> tuple[str, str]:
    """Both operators are there, and both proxies with the one that leads; who leads, and who stands by."""
    for name in OPERATORS:
        if release.processes[name].poll() is not None:
            release.operator(name)
        until(lambda name=name: release.is_ready(name), 20)
    leader = until(lambda: release.leader, 20)
    until(lambda: release.metric(leader, "byway_proxies") == len(PROXIES), 20)
    return leader, next(name for name in OPERATORS if name != leader)


def leads(release: Fleet, name: str) -> None:
    """Wait until it does, and all proxies are with it."""
    until(lambda: release.metric(name, "byway_leader") == 1, 3 * LEASE_S)
    until(lambda: release.metric(name, "byway_proxies") == len(PROXIES), 15)


def lease(release: Fleet) -> str:
    return LEASES.format(release.namespace)


def uid_of(plane: ControlPlane, path: str) -> str:
    """Empty: it is not there."""
    with suppress(ApiError):
        return str(plane.raw("GET", path)["metadata"]["uid"])
    return ""


def term_of(plane: ControlPlane, release: Fleet) -> int:
    return int(plane.raw("GET", lease(release))["metadata"]["annotations"][TERM])


def tables(release: Fleet) -> int:
    """How many have become live, on all proxies together."""
    return sum(release.said(proxy).count('"what":"a table is live"') for proxy in PROXIES)


@contextmanager
def nobody_notices(plane: ControlPlane, release: Fleet, team: Team) -> Iterator[None]:
    """No request fails, no condition of any status stops being True, and no proxy is given another table."""
    before, statuses = tables(release), Statuses(plane, team.namespace)
    with under_load(release, "smart", team.token, len(PROXIES)) as load:
        yield
        until(lambda: load.failed or load.answered > 20)
    assert load.failed == []
    assert statuses.turned() == []
    assert tables(release) == before


def test_a_leader_that_is_killed_is_followed_and_nobody_notices(
    plane: ControlPlane, release: Fleet, team: Team
) -> None:
    leader, follower = at_rest(release)
    with nobody_notices(plane, release, team):
        release.signal(leader, signal.SIGKILL)
        until(lambda: release.metric(follower, "byway_leader") == 1, 1.5 * LEASE_S)
        leads(release, follower)
    team.route("after-a-kill")
    assert release.ask("after-a-kill", team.token, 1)[0] == 200


def test_a_leader_that_is_asked_to_end_hands_over_at_once(plane: ControlPlane, release: Fleet, team: Team) -> None:
    leader, follower = at_rest(release)
    with nobody_notices(plane, release, team):
        release.signal(leader, signal.SIGTERM)
        until(lambda: release.metric(follower, "byway_leader") == 1, LEASE_S / 2)
        leads(release, follower)
        assert release.gone(leader) == 0
    assert "the lease is released" in release.said(leader)
    team.route("after-a-term")


def test_a_deleted_lease_does_not_keep_the_fleet_from_new_tables(
    plane: ControlPlane, release: Fleet, team: Team
) -> None:
    at_rest(release)
    with nobody_notices(plane, release, team):
        before = uid_of(plane, lease(release))
        plane.raw("DELETE", lease(release))
        until(lambda: uid_of(plane, lease(release)) not in ("", before), LEASE_S)
        at_rest(release)
    team.route("after-a-deletion")
    assert release.ask("after-a-deletion", team.token, 1)[0] == 200


def test_a_leader_whose_clock_is_behind_its_predecessors_is_obeyed_all_the_same(
    plane: ControlPlane, release: Fleet, team: Team
) -> None:
    ahead = int((time.time() + 3600) * 1000)
    leader, follower = at_rest(release)
    # As it hands over whose clock is an hour ahead.
    release.signal(leader, signal.SIGKILL)
    left = {"metadata": {"annotations": {TERM: str(ahead)}}, "spec": {"holderIdentity": ""}}
    plane.raw("PATCH", lease(release), left, "application/merge-patch+json")
    leads(release, follower)
    assert term_of(plane, release) == ahead + 1
    leader, follower = at_rest(release)
    with nobody_notices(plane, release, team):
        release.signal(leader, signal.SIGKILL)
        plane.raw("DELETE", lease(release))
        leads(release, follower)
    assert term_of(plane, release) == ahead + 2
    team.route("in-its-own-time")
    assert release.ask("in-its-own-time", team.token, 1)[0] == 200


def test_a_leader_that_was_stopped_beyond_its_lease_writes_nothing_more_and_ends(
    plane: ControlPlane, release: Fleet, team: Team
) -> None:
    leader, follower = at_rest(release)
    plane.apply("---".join(ROUTE.format(name=f"many-{each}") for each in range(MANY)), team.namespace)
    plane.wait("modelroute", team.namespace, f"many-{MANY - 1}", "condition=Programmed")
    # Now each has something to be told, and they are told one by one.
    before = len(patches(release, leader))
    plane.kubectl("delete", "secret", "fake-key", "-n", team.namespace)
    until(lambda: len(patches(release, leader)) > before + 10)
    release.signal(leader, signal.SIGSTOP)
    until(lambda: release.metric(follower, "byway_leader") == 1, 3 * LEASE_S)
    continued = datetime.now(UTC).isoformat()
    release.signal(leader, signal.SIGCONT)
    assert release.gone(leader) == 0
    assert "leads no longer" in release.said(leader)
    since = [call for call in release.calls(leader) if call.at > continued]
    # Whatever came of it: none so much as arrived.
    assert [call for call in since if call.verb not in ("get", "list", "watch")] == []
    leads(release, follower)
    plane.apply(SECRET.format(key=KEY), team.namespace)
    team.route("after-a-stop")


def patches(release: Fleet, operator: str) -> list[Call]:
    return [call for call in release.calls(operator) if call.verb == "patch"]
