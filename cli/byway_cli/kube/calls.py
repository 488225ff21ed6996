"""The calls that `kubectl byway` makes beside the operator's, and as whom: whoever the kubeconfig says.

Every user who is known to a cluster may read its discovery and OpenAPI documents; all else takes a right, and what
there is none for is said aloud where it matters.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byway_operator.kube.api import GROUP, VERSION, KubeApi, KubeError, Object, connect
from kubernetes.aio import config
from kubernetes.aio.client import Configuration

from byway_cli.errors import CommandError

FIELD_MANAGER = "kubectl-byway"
CRDS_MISSING = (
    "this cluster does not know Byway's kinds; whoever runs it installs the chart, or the definitions alone: "
    "byway crds | kubectl apply --server-side -f -"
)
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class OwnRights(KubeApi):
    """What a person may do."""

    async def our_kinds(self) -> frozenset[str]:
        """Those that the cluster knows, by name: `ModelRoute`. 404: none."""
        found = await self._call("GET", f"/apis/{GROUP}/{VERSION}")
        return frozenset(str(one["kind"]) for one in found.get("resources") or ())

    async def our_schemas(self) -> Object:
        """As the cluster publishes them: a document of OpenAPI 3."""
        return await self._call("GET", f"/openapi/v3/apis/{GROUP}/{VERSION}")

    async def read_namespace(self, name: str) -> Object:
        return await self._call("GET", f"/api/v1/namespaces/{name}")

    async def try_apply(self, plural: str, namespace: str, name: str, body: Object) -> Object:
        """A server-side apply that changes nothing. The server refuses whatever it would refuse."""
        path = f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{plural}/{name}"
        query = {"fieldManager": FIELD_MANAGER, "force": "true", "dryRun": "All", "fieldValidation": "Strict"}
        return await self._call("PATCH", path, query, body, "application/apply-patch+yaml")


@dataclass(frozen=True)
class Way:
    """To a cluster, and as whom."""

    configuration: Configuration
    namespace: str
    """That of the context."""


async def way(context: str | None) -> Way:
    """As kubectl finds it: $KUBECONFIG, ~/.kube/config, or a pod's own ServiceAccount. Raises CommandError."""
    files = os.environ.get("KUBECONFIG") or str(Path.home() / ".kube/config")
    if not context and "KUBERNETES_SERVICE_HOST" in os.environ and not any(map(os.path.exists, _split(files))):
        return Way(await _pod(), _pods_namespace())
    configuration = Configuration()
    try:
        contexts, current = config.list_kube_config_contexts(files)  # type: ignore[no-untyped-call]  # not typed
        chosen = _named(contexts, context) if context else current
        # Never persisted: a renewed token may stay in memory, and the file is the person's.
        loading = config.load_kube_config(files, context, configuration, persist_config=False)  # type: ignore[no-untyped-call]  # not typed
        await loading
    except (config.ConfigException, OSError, TypeError, KeyError) as error:
        raise CommandError(
            f"no way to a cluster ({error}); say which with --context or KUBECONFIG, as for kubectl"
        ) from error
    return Way(configuration, str((chosen.get("context") or {}).get("namespace") or "default"))


def said(error: KubeError, server: str) -> CommandError:
    """An answer that ends the command, with the way out."""
    if error.status == 0:
        return CommandError(
            f"no answer from {server} ({error.message or error.reason}); is the cluster up, and is it the one you "
            "mean? kubectl config current-context says which"
        )
    if error.status == 401:
        return CommandError(f"{server} does not know you (401): log in again as you do for kubectl")
    return CommandError(f"{server} answered {error}")


async def _pod() -> Configuration:
    try:
        return await connect(None)
    except KubeError as error:
        raise CommandError(f"{error.reason}: {error.message}") from error


def _pods_namespace() -> str:
    return _POD.read_text().strip() if _POD.exists() else "default"


def _named(contexts: list[dict[str, Any]], name: str) -> dict[str, Any]:
    for one in contexts:
        if one["name"] == name:
            return one
    known = ", ".join(str(one["name"]) for one in contexts) or "none"
    raise CommandError(f"no context {name!r} in the kubeconfig; there are: {known}")


def _split(files: str) -> list[str]:
    return [file for file in files.split(os.pathsep) if file]
