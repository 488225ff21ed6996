"""The chart's life on a real cluster, in this order: installed as docs/install.md says, called, restarted, killed,
upgraded, uninstalled; all but the calls under open streams, of which none may break."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import yaml
from builders.cluster import Cluster, until
from builders.documents import blocks, looks_like
from builders.examples import manifests
from builders.helm import ROOT, Object

GUIDE = ROOT / "docs/install.md"
WORKLOADS = {
    "proxy": "deployment/byway-proxy",
    "operator": "deployment/byway-operator",
    "ledger": "statefulset/byway-ledger",
}
EXAMPLES = {
    "one-provider": ("team-a", ["openai/gpt-5-nano"]),
    "two-providers-one-name": ("team-a", ["smart", "anthropic/claude-haiku-4.5"]),
    "in-cluster-first": ("team-a", ["qwen"]),
    "quickstart": ("team-a", ["tiny"]),
    "shared-key": ("default", ["fast"]),
    "own-key-per-team": ("team-a", ["openai/gpt-5-nano"]),
    "data-policy": ("team-a", ["careful"]),
    "gitops": ("team-a", ["smart"]),
    "access-keys": ("team-a", ["smart"]),
    "budget": ("team-a", ["smart", "small"]),
}
"""Where each is applied, and what is called from there."""


def test_the_chart_is_installed_as_the_guide_says(cluster: Cluster) -> None:
    _as_the_guide_says(cluster, "install")
    for pod in cluster.get("pods")["items"]:
        assert [status["restartCount"] for status in pod["status"]["containerStatuses"]] == [0], pod["metadata"][
            "name"
        ]


def test_a_first_model_is_called_as_the_guide_says(cluster: Cluster) -> None:
    cluster.add_provider("team-a")
    _as_the_guide_says(cluster, "first")
    _as_the_guide_says(cluster, "call")


def test_a_call_right_after_programmed_finds_the_model(cluster: Cluster) -> None:
    cluster.add_app("team-a")
    for number in range(5):
        _new_route(cluster, f"new-{number}")


def test_every_example_is_applied_and_called_with_a_pods_own_token(cluster: Cluster) -> None:
    assert sorted(EXAMPLES) == sorted(path.parent.name for path in (ROOT / "examples").glob("*/resources.yaml"))
    cluster.add_provider("platform")
    cluster.add_app("default")
    for name, (namespace, models) in EXAMPLES.items():
        routes = _apply(cluster, name, namespace)
        for route_namespace, route in routes:
            cluster.kubectl(
                "-n", route_namespace, "wait", "--for=condition=Programmed", f"modelroute/{route}", "--timeout=30s"
            )
        for model in models:
            said = until(
                lambda model=model, namespace=namespace: _answered(cluster.call("once", model, namespace=namespace))
            )
            assert said["body"]["model"], name
    # The stories from here on ask more often than the examples' apps may.
    cluster.kubectl("-n", EXAMPLES["budget"][0], "delete", "budget", "pace")


def test_who_shows_no_token_is_not_let_in(cluster: Cluster) -> None:
    pod = cluster.get("pods", "-l", "app=app", namespace="team-a")["items"][0]["metadata"]["name"]
    said = json.loads(
        cluster.kubectl(
            "-n", "team-a", "exec", pod, "--", "env", "BYWAY_TOKEN=", "python", "/app/caller.py", "once", "qwen"
        )
    )
    assert said["status"] == 401


@pytest.mark.parametrize("room", WORKLOADS)
def test_a_rollout_restart_breaks_no_stream(cluster: Cluster, room: str) -> None:
    before = {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in cluster.pods(room)}
    with _whole_streams(cluster):
        cluster.kubectl("-n", "byway", "rollout", "restart", WORKLOADS[room])
        cluster.kubectl("-n", "byway", "rollout", "status", WORKLOADS[room], "--timeout=120s")
        _all_gone(cluster, before.values())


def test_a_kill_of_the_ledger_breaks_no_stream(cluster: Cluster) -> None:
    with _whole_streams(cluster):
        _kill_one(cluster, "ledger")


def test_a_kill_of_the_leader_breaks_no_stream_and_what_is_applied_then_is_live_soon(cluster: Cluster) -> None:
    with _whole_streams(cluster):
        leader = cluster.get("lease", "byway-operator")["spec"]["holderIdentity"]
        _kill_one(cluster, "operator", leader)
        _new_route(cluster, "after-the-kill")


def test_a_killed_proxy_takes_no_others_with_it_and_comes_back(cluster: Cluster) -> None:
    with cluster.open_streams("qwen") as came:
        _kill_one(cluster, "proxy")
        assert cluster.call("many", "qwen", "5")["failed"] == []
    # Its own are lost: what was said to the client cannot be taken back. Whoever dials it before the cluster knows
    # is refused, no more.
    cut = [fault for fault in came["broken"] if "words" in fault]
    assert 0 < len(cut) < 50, cut[:3]
    assert [fault for fault in came["broken"] if "words" not in fault and "ConnectionRefused" not in fault] == []
    assert came["whole"] >= 50


def test_an_upgrade_with_other_values_breaks_no_stream_and_keeps_the_certificates(cluster: Cluster) -> None:
    certificates = [cluster.get("secret", f"byway-{room}-tls")["data"] for room in ("operator", "ledger")]
    with _whole_streams(cluster):
        _as_the_guide_says(cluster, "upgrade")
    assert [cluster.get("secret", f"byway-{room}-tls")["data"] for room in ("operator", "ledger")] == certificates
    assert cluster.call("many", "qwen", "3")["failed"] == []


def test_the_books_have_every_attempt_that_a_provider_served(cluster: Cluster) -> None:
    """After all that: whatever was killed or restarted, nothing is booked twice and nothing is missing."""
    served = sum(_served(cluster, namespace) for namespace in ("team-a", "platform"))
    assert served > 500
    until(lambda: _booked(cluster) == served, 30)


def test_uninstalling_leaves_nothing_but_the_definitions(cluster: Cluster) -> None:
    _as_the_guide_says(cluster, "uninstall")
    kinds = "clusterrole,clusterrolebinding,role,rolebinding,pvc,secret,configmap,lease,networkpolicy"
    listed = cluster.kubectl("get", kinds, "-A", "-o", "name", "-l", "app.kubernetes.io/name=byway")
    assert listed == ""
    assert "byway" not in cluster.kubectl("get", "clusterrole,clusterrolebinding,pv", "-o", "name")


def _as_the_guide_says(cluster: Cluster, part: str) -> None:
    (block,) = [block for block in blocks(GUIDE) if block.word("cluster") == part]
    typed, shown = block.script()
    printed = cluster.shell(f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{typed}", within_s=400)
    assert looks_like(shown, printed), f"{GUIDE.name}:{block.line}\nshown:\n{shown}\nprinted:\n{printed}"


def _new_route(cluster: Cluster, name: str) -> None:
    """Applied, told to be live, and called at once: more than once, so that every proxy is asked."""
    endpoint = {"name": "vllm", "serviceRef": {"name": "vllm", "port": 8000}, "model": "Qwen/Qwen3-32B"}
    route = {
        "apiVersion": "byway.dev/v1alpha1",
        "kind": "ModelRoute",
        "metadata": {"name": name},
        "spec": {"endpoints": [endpoint]},
    }
    cluster.apply(route, namespace="team-a")
    cluster.kubectl("-n", "team-a", "wait", "--for=condition=Programmed", f"modelroute/{name}", "--timeout=60s")
    assert cluster.call("many", name, "4")["failed"] == []


def _served(cluster: Cluster, namespace: str) -> int:
    program = (
        f"import json, urllib.request as r; served = json.load(r.urlopen('http://vllm.{namespace}:8000/__fake/served'));"
        "print(sum(s['path'].endswith('/chat/completions') for s in served))"
    )
    return int(cluster.kubectl("-n", "team-a", "exec", "deploy/app", "--", "python", "-c", program))


def _booked(cluster: Cluster) -> int:
    program = (
        "import sqlite3; books = sqlite3.connect('file:/var/lib/byway/ledger.db?mode=ro', uri=True);"
        "print(books.execute('SELECT count(*) FROM attempt').fetchone()[0])"
    )
    return int(cluster.kubectl("-n", "byway", "exec", "byway-ledger-0", "--", "python", "-c", program))


@contextmanager
def _whole_streams(cluster: Cluster) -> Iterator[None]:
    with cluster.open_streams("qwen") as came:
        yield
    assert came["broken"] == []
    assert came["whole"] >= 50


def _kill_one(cluster: Cluster, room: str, name: str = "") -> None:
    """The one of that name, or any; all are ready again afterwards."""
    victim = next(pod for pod in cluster.pods(room) if pod["metadata"]["name"].startswith(name))
    began = _start_of(victim)
    cluster.end_without_grace(victim["metadata"]["name"])
    until(lambda: all(_start_of(pod) != began for pod in cluster.pods(room)))
    until(lambda: all(_ready(pod) for pod in cluster.pods(room)))


def _start_of(pod: Object) -> str:
    """Of its process, and of no other."""
    state = pod["status"]["containerStatuses"][0]
    return f"{pod['metadata']['uid']} {state.get('containerID')}"


def _ready(pod: Object) -> bool:
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])


def _all_gone(cluster: Cluster, uids: object) -> None:
    """Those that drain are gone too: only then are all their streams over."""
    old = set(uids)  # type: ignore[call-overload]  # the values of a dict
    until(lambda: not old & {pod["metadata"]["uid"] for pod in cluster.get("pods")["items"]})


def _apply(cluster: Cluster, example: str, namespace: str) -> list[tuple[str, str]]:
    """The example with its accounts at the fake provider of its namespace; the routes in it."""
    documents = list(yaml.safe_load_all(manifests(ROOT / "examples" / example)))
    for document in documents:
        document["metadata"].setdefault("namespace", namespace)
        if document["kind"] == "ProviderKey":
            document["spec"].pop("baseURL", None)
            document["spec"]["serviceRef"] = {"name": "vllm", "port": 8000}
    cluster.apply(*documents)
    return [(d["metadata"]["namespace"], d["metadata"]["name"]) for d in documents if d["kind"] == "ModelRoute"]


def _answered(said: Object) -> Object:
    assert said["status"] == 200, said
    return said
