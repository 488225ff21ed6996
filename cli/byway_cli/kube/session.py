"""One command's talk with a cluster: who asks, in which namespace; an answer that ends it says the way out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from byway_operator.kube.api import KubeError

from byway_cli.errors import CommandError
from byway_cli.kube.calls import CRDS_MISSING, OwnRights, said, way
from byway_cli.kube.reading import Platform, Seen, look


@dataclass(frozen=True)
class Session:
    api: OwnRights
    namespace: str
    """The one that is asked about."""

    async def look(
        self, namespaces: Sequence[str], platform: Platform, authors: frozenset[str], named: Sequence[str] = ()
    ) -> Seen:
        return await look(self.api, namespaces, platform, authors, named)

    async def kinds(self) -> frozenset[str]:
        """Those of ours that the cluster knows. Raises CommandError if it knows none."""
        try:
            return await self.api.our_kinds()
        except KubeError as error:
            if error.status == 404:
                raise CommandError(CRDS_MISSING) from error
            raise


@asynccontextmanager
async def session(context: str | None, namespace: str | None) -> AsyncIterator[Session]:
    """Raises CommandError."""
    found = await way(context)
    try:
        async with OwnRights(found.configuration) as api:
            yield Session(api, namespace or found.namespace)
    except KubeError as error:
        raise said(error, str(found.configuration.host)) from error
