"""A folder of files saved in one go is one change, or a few; not one for each file."""

import http.client
import re
import socket
from pathlib import Path

from fakes.machine import machine, until

FILES, MOST_COMPILES = 200, 4
KEY = """
apiVersion: byway.dev/v1alpha1
kind: ProviderKey
metadata: {name: local}
spec:
  provider: openai-compatible
  baseURL: http://127.0.0.1:9/v1
  models: [{name: acme/m, upstreamName: m}]
"""
ROUTE = """
apiVersion: byway.dev/v1alpha1
kind: ModelRoute
metadata: {{name: saved-{number}}}
spec:
  endpoints: [{{name: only, providerKeyRef: {{name: local}}, model: acme/m}}]
"""


def metric(operator: Path, name: str) -> int:
    connection = http.client.HTTPConnection("operator", timeout=5)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(5)
        connection.sock.connect(str(operator))
        connection.request("GET", "/metrics")
        found = re.search(rf"^{name} (\S+)$", connection.getresponse().read().decode(), re.MULTILINE)
    finally:
        connection.close()
    assert found is not None
    return int(float(found[1]))


def test_two_hundred_files_saved_at_once_are_a_few_compiles() -> None:
    with machine({"key.yaml": KEY}) as made:
        operator = made.state / "run/operator.sock"
        before = metric(operator, "byway_compiles_total")
        for number in range(FILES):
            made.write(f"saved-{number}.yaml", ROUTE.format(number=number))
        until(lambda: metric(operator, "byway_resources") == FILES + 1, 20)
        assert 1 <= metric(operator, "byway_compiles_total") - before <= MOST_COMPILES
