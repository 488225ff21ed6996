"""Our way to the Kubernetes API, for tests in whose loop it is to be gone without a trace."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from byway_operator.kube.api import KubeApi, connect
from fakes.sockets import Sockets
from kubernetes.aio.client.rest import RESTClientObject


@asynccontextmanager
async def kube_api(kubeconfig: Path | str) -> AsyncIterator[KubeApi]:
    """Its connections are closed when this ends, also those of calls that were cut off."""
    sockets, configuration = Sockets(), await connect(str(kubeconfig))
    tls = RESTClientObject(configuration).ssl_context
    try:
        async with KubeApi(configuration, sockets.connector(tls)) as api:
            yield api
    finally:
        await sockets.end()
