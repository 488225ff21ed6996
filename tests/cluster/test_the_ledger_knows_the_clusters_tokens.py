"""Keys as the API server publishes them, tokens as it signs them, and a ledger that never asks it anything."""

import asyncio
from pathlib import Path

from builders.control_plane import ControlPlane
from builders.kube import kube_api
from builders.tls_ledger import AUDIENCE, House
from byway_contract.records import encode_batch
from byway_operator.watch.issuer import issuer_of
from fakes.usage import batch, intent, settle, until


def test_a_projected_token_of_the_ledgers_audience_may_send_records(plane: ControlPlane, tmp_path: Path) -> None:
    namespace = plane.namespace()
    plane.pod(namespace, "proxy-0", "byway-proxy")
    tokens = {
        200: plane.token(namespace, "byway-proxy", AUDIENCE, pod="proxy-0"),
        401: plane.token(namespace, "byway-proxy", "byway-control", pod="proxy-0"),
        403: plane.token(namespace, "app", AUDIENCE),
    }

    async def story() -> None:
        house = House(tmp_path, account=f"{namespace}/byway-proxy")
        async with kube_api(plane.kubeconfig) as api:
            issuer = issuer_of(await api.read_issuer(), await api.read_signing_keys(), "byway")
        async with house.serving():
            async with house.operator(issuer=issuer) as operator:
                await until(lambda: operator.brought)
            body = encode_batch(batch(1, intent("a-1"), settle("a-1")))
            for status, token in tokens.items():
                headers = {"Authorization": f"Bearer {token}"}
                assert (await house.ask("POST", "/v1/usage", headers=headers, data=body))[0] == status

    asyncio.run(story())
