"""The commands as a person types them; those that ask a running Byway ask one that speaks its protocol."""

import contextlib
import http.server
import json
import os
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from byway_cli.get import kind_of, table
from byway_cli.up import layout
from byway_cli.up.layout import Layout, Running, RunningProxy
from byway_cli.up.up import Wish, plans

ROUTE = {
    "apiVersion": "byway.dev/v1alpha1",
    "kind": "ModelRoute",
    "metadata": {"name": "tiny", "namespace": "default", "creationTimestamp": "2026-11-24T12:00:00Z"},
    "spec": {"endpoints": [{"name": "left", "model": "local/tiny"}]},
    "status": {
        "conditions": [{"type": "Accepted", "status": "True"}, {"type": "Ready", "status": "False"}],
        "endpointsAvailable": "1/2",
        "firstTokenP50": "12ms",
        "proxies": "2/2",
    },
}
NOON = 1_795_521_600.0

SUM = {
    "key": {"route": "default/tiny"},
    "requests": 3,
    "attempts": 4,
    "prompt_tokens": 90,
    "completion_tokens": 60,
    "cost": "0.000492",
    "billed": "0.0004",
    "absorbed": "0.000092",
}
ANSWERS = {
    "/v1/resources?kind=ModelRoute": {"items": [ROUTE]},
    "/v1/resources?kind=ModelRoute&name=tiny": {"items": [ROUTE]},
    "/v1/resources?kind=ProviderKey": {"items": []},
    "/v1/resources?kind=ModelRoute&name=smart": {"items": []},
    "/v1/usage?by=route": {"rows": [SUM]},
    "/v1/explain?model=tiny": {
        "candidates": [
            {"place": 1, "endpoint": "default/left:tiny", "provider": "left", "price": "", "why": "first"}
        ],
        "left_out": [{"endpoint": "default/right:tiny", "reason": "resting", "detail": "for 3 s"}],
    },
}


def test_get_prints_the_columns_of_kubectl(home: Path) -> None:
    with _running(home, "quickstart"):
        printed = _byway(home, "get", "mr").stdout.splitlines()
    assert printed[0].split() == ["NAME", "READY", "ENDPOINTS", "TTFT", "PROGRAMMED", "AGE"]
    assert printed[1].split()[:5] == ["tiny", "False", "1/2", "12ms", "2/2"]


def test_one_resource_as_yaml_is_the_resource_itself(home: Path) -> None:
    with _running(home, "quickstart"):
        printed = _byway(home, "get", "modelroute", "tiny", "-o", "yaml").stdout
    assert printed.startswith("apiVersion: byway.dev/v1alpha1\nkind: ModelRoute\nmetadata:\n  name: tiny\n")


def test_all_of_a_kind_as_json_is_a_list(home: Path) -> None:
    with _running(home, "quickstart"):
        printed = json.loads(_byway(home, "get", "modelroutes", "-o", "json").stdout)
    assert printed == {"apiVersion": "v1", "kind": "List", "items": [ROUTE]}


def test_a_name_that_is_not_there_is_said(home: Path) -> None:
    with _running(home, "quickstart"):
        ended = _byway(home, "get", "modelroutes", "smart")
    assert ended.returncode == 1
    assert "no ModelRoute named 'smart'" in ended.stderr


def test_usage_and_explain_print_what_the_ledger_and_a_proxy_answer(home: Path) -> None:
    with _running(home, "quickstart"):
        spent = _byway(home, "usage", "--by", "route").stdout
        explained = _byway(home, "explain", "tiny").stdout
    assert spent.splitlines() == [
        "ROUTE          REQUESTS   ATTEMPTS   PROMPT-TOKENS   COMPLETION-TOKENS   COST        BILLED    ABSORBED",
        "default/tiny   3          4          90              60                  $0.000492   $0.0004   $0.000092",
    ]
    assert "1       default/left:tiny   left" in explained
    assert "default/right:tiny   resting   for 3 s" in explained


def test_nothing_running_is_said_with_the_way_out(home: Path) -> None:
    ended = _byway(home, "get", "modelroutes")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "start one with `byway up DIR`" in ended.stderr


def test_two_that_run_have_to_be_told_apart(home: Path) -> None:
    with _running(home, "one"), _running(home, "other"):
        ended = _byway(home, "get", "modelroutes")
        told = _byway(home, "get", "modelroutes", "--state", str(home / "byway/one"))
    assert "2 are up (" in ended.stderr
    assert "--dir or --state" in ended.stderr
    assert told.returncode == 0


def test_a_kind_that_is_misspelt_is_guessed() -> None:
    assert kind_of("PK") == "ProviderKey"
    with pytest.raises(Exception, match="did you mean modelroutes"):
        kind_of("modelrouts")


def test_a_provider_key_is_shown_with_its_health() -> None:
    conditions = [{"type": "Valid", "status": "True"}]
    status = {"conditions": conditions, "models": 47, "lastUsed": "2026-11-24T11:59:50Z", "errorRate": "0%"}
    item = {"kind": "ProviderKey", "metadata": {"name": "a"}, "spec": {"provider": "openai"}, "status": status}
    header, row = table("ProviderKey", [item], NOON)
    assert header == ["NAME", "PROVIDER", "VALID", "MODELS", "LAST-USED", "ERRORS", "AGE"]
    assert row[:-1] == ["a", "openai", "True", "47", "10s", "0%"]


def test_a_port_that_somebody_has_is_refused_with_the_way_out(home: Path) -> None:
    (home / "resources").mkdir()
    with socket.socket() as other:
        # Even one that would share it.
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        ended = _byway(home, "up", str(home / "resources"), "--port", str(other.getsockname()[1]))
    assert ended.returncode == 1
    assert "Address already in use; give another --port" in ended.stderr


def test_a_service_that_is_written_wrongly_is_refused(home: Path) -> None:
    ended = _byway(home, "up", str(home), "--service", "vllm=127.0.0.1:8000", "--state", str(home / "s"))
    assert ended.returncode == 1
    assert "--service vllm=127.0.0.1:8000: want namespace/name:port=host:port" in ended.stderr


def test_each_process_is_told_where_the_others_are_and_nothing_of_this_shell(tmp_path: Path) -> None:
    house = Layout(tmp_path / "state", tmp_path / "memory")
    wish = Wish(tmp_path, 2, 8080, {"a/b:1": "c:2"}, 5.0)
    shell = {"PATH": "/bin", "BYWAY_SOCKET": "not mine"}
    [ledger], [operator], proxies = plans(wish, house, [7001, 7002], shell)
    assert ledger.environment == {
        "PATH": "/bin",
        "BYWAY_SOCKET": str(house.run / "ledger.sock"),
        "BYWAY_DATABASE": str(house.state / "ledger/ledger.sqlite"),
    }
    assert operator.environment["BYWAY_PROXIES"] == "2"
    assert operator.environment["BYWAY_SERVICES"] == "a/b:1=c:2"
    assert [proxy.environment["BYWAY_LISTEN"] for proxy in proxies] == ["127.0.0.1:8080"] * 2
    assert proxies[1].environment["BYWAY_ADMIN"] == "127.0.0.1:7002"
    assert proxies[1].environment["BYWAY_KEEP"] == str(house.memory / "proxy-1")
    assert proxies[1].environment["BYWAY_CONTROL"] == operator.environment["BYWAY_SOCKET"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


def _byway(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "XDG_STATE_HOME": str(home), "COLUMNS": "80"}
    whole = [sys.executable, "-m", "byway_cli.main", *arguments]
    return subprocess.run(whole, env=environment, capture_output=True, text=True, timeout=20)


@contextlib.contextmanager
def _running(home: Path, name: str) -> Iterator[None]:
    """What a `byway up` leaves for others to find, and its three sockets."""
    house = Layout(home / "byway" / name, home / "memory" / name)
    layout.make(house)
    with contextlib.ExitStack() as open_together:
        open_together.enter_context(layout.held(house))
        for process in ("ledger", "operator", "proxy-0"):
            open_together.enter_context(_answering(house.socket(process)))
        layout.write_running(house, Running(os.getpid(), name, 8080, (RunningProxy("proxy-0", 1, 1),)))
        yield


class _Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = ANSWERS.get(self.path)
        body = json.dumps(found or {"error": {"message": "no such thing"}}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@contextlib.contextmanager
def _answering(path: Path) -> Iterator[None]:
    with _Server(str(path), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
