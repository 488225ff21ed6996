"""`kubectl byway status`: how many resources there are, which of them are not well and why, and the proxies."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from byway_operator.kube.api import KubeError
from byway_operator.watch.objects import ready_pods

from byway_cli import printing
from byway_cli.errors import CommandError
from byway_cli.kube.options import Context, Namespace, Release
from byway_cli.kube.session import Session, session
from byway_cli.kube.standings import Count, Item, Trouble, count, proxies_told, troubles
from byway_cli.options import Form
from byway_cli.printing import Output

KINDS = {
    "modelroutes": "ModelRoute",
    "providerkeys": "ProviderKey",
    "budgets": "Budget",
    "accesskeys": "AccessKey",
}
PROXY_SERVICE = "byway-proxy"


@dataclass
class Standing:
    """Of a namespace, or of all."""

    where: str
    counts: list[Count]
    troubles: list[Trouble]
    proxies: str
    notes: list[str]


def status(
    namespace: Namespace = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of every namespace.")] = False,
    context: Context = None,
    output: Form = Output.table,
    release: Release = "byway",
) -> None:
    """Say how many resources there are, what is not well and why.

    Needs no right but to list Byway's kinds; kinds that may not be listed are named. Exit code 1 if something is
    not Ready.
    """
    standing = asyncio.run(_standing(namespace, everywhere, context, release))
    if output is Output.table:
        _print(standing, everywhere)
    else:
        printing.document(asdict(standing), output)
    if any(one.ready < one.total for one in standing.counts):
        raise typer.Exit(1)


async def _standing(namespace: str | None, everywhere: bool, context: str | None, release: str) -> Standing:
    async with session(context, namespace) as asking:
        await asking.kinds()
        where = None if everywhere else asking.namespace
        standing = Standing(f"namespace {where}" if where else "all namespaces", [], [], "", [])
        routes: Sequence[Item] = ()
        for plural, kind in KINDS.items():
            items = await _list(asking, plural, where, standing)
            if items is not None:
                standing.counts.append(count(kind, items))
                standing.troubles += troubles(kind, items)
                routes = items if kind == "ModelRoute" else routes
        if not standing.counts:
            raise CommandError(
                f"no right to list Byway's kinds in {standing.where}; have somebody bind you the ClusterRole view"
                + (
                    ", or name a namespace of yours with -n"
                    if where is None
                    else f" there: kubectl create rolebinding … --clusterrole=view -n {where}"
                )
            )
        standing.proxies = await _proxies(asking, release, routes, standing)
        return standing


async def _list(asking: Session, plural: str, where: str | None, standing: Standing) -> Sequence[Item] | None:
    try:
        return (await asking.api.list_resources(plural, where)).items
    except KubeError as error:
        if error.status not in (403, 404):
            raise
        lacks = f"no right to list {plural} in {standing.where}" if error.status == 403 else f"no {plural} here"
        standing.notes.append(f"{lacks}: they are not counted")
        return None


async def _proxies(asking: Session, release: str, routes: Sequence[Item], standing: Standing) -> str:
    try:
        slices = (await asking.api.list_endpoint_slices(release, PROXY_SERVICE)).items
    except KubeError as error:
        if error.status != 403:
            raise
        standing.notes.append(
            f"no right to list endpointslices in namespace {release}: of the proxies is told what routes say"
        )
        told = proxies_told(routes)
        return f"{told} hold the latest of these routes" if told else "nothing is known of them"
    ready = frozenset[str]().union(*(ready_pods(one, None) for one in slices))
    if not slices:
        return f"no Service {PROXY_SERVICE} in namespace {release}; --release-namespace says another"
    return f"{len(ready)} ready"


def _print(standing: Standing, everywhere: bool) -> None:
    rows = [[one.kind, str(one.total), str(one.ready)] for one in standing.counts]
    printing.table(["KIND", "TOTAL", "READY"], rows)
    print(f"\nproxies: {standing.proxies}")
    if standing.troubles:
        print()
        head = ["RESOURCE", "READY", "REASON", "MESSAGE"]
        printing.table(head, [_row(one, everywhere) for one in standing.troubles])
    for note in standing.notes:
        printing.note(note)


def _row(trouble: Trouble, everywhere: bool) -> list[str]:
    name = f"{trouble.namespace}/{trouble.name}" if everywhere else trouble.name
    return [f"{trouble.kind} {name}", trouble.ready, trouble.reason, trouble.message]
