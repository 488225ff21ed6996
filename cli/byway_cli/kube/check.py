"""`kubectl byway check DIR`: as `byway check`, with what the cluster has around it and by what the cluster takes.

Each manifest is given to the server to apply without changing anything, where the caller may; where not, it is held
against the schema that the server publishes; where even that fails, it is said.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from byway_operator.kube.api import KubeError, Object
from byway_operator.resources.manifest import Key, Manifest, Surroundings, World

from byway_cli import printing
from byway_cli.check import print_lines
from byway_cli.kube.options import Context, Namespace, Release, Trusted
from byway_cli.kube.reading import Platform, Seen, named_in
from byway_cli.kube.schema import faults, schema_of
from byway_cli.kube.session import Session, session
from byway_cli.options import AllowedCidrs, Form, allowed_cidrs
from byway_cli.printing import Output

if TYPE_CHECKING:
    from byway_cli.verdicts import Line

PLURALS = {
    "ModelRoute": "modelroutes",
    "ProviderKey": "providerkeys",
    "Budget": "budgets",
    "AccessKey": "accesskeys",
}
REFUSED = "RefusedByCluster"
UNDECLARED = "field not declared in schema"
"""What the server says, as a fault of its own (500), of a field that its definition lacks."""


def check(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The folder your resources are in.")],
    namespace: Namespace = None,
    context: Context = None,
    output: Form = Output.table,
    release: Release = "byway",
    trusted: Trusted = None,
    allow_cidr: AllowedCidrs = None,
) -> None:
    """Judge a folder of resources as it would be in this cluster. Changes nothing.

    A line for each resource; exit code 1 if any of them, or any file, would be refused by Byway or by the cluster.
    What DIR refers to and does not hold is looked for in the cluster. Secrets are not read: one that is not in DIR
    is taken to be there.
    """
    platform = Platform(release, tuple(trusted or (release,)))
    lines, notes = asyncio.run(_judged(directory, namespace, context, platform, allowed_cidrs(allow_cidr)))
    for note in notes:
        printing.note(note)
    print_lines(directory, lines, output)


async def _judged(
    directory: Path, namespace: str | None, context: str | None, platform: Platform, cidrs: tuple[str, ...]
) -> tuple[list["Line"], list[str]]:
    from byway_operator.compile.catalogue.catalogue import load

    from byway_cli.kube.judging import listed_in, refused_in, secrets_for, settings_of
    from byway_cli.verdicts import in_order, judge, read

    async with session(context, namespace) as asking:
        world = read(directory, asking.namespace)
        await asking.kinds()
        seen, notes = await _around(asking, world, platform, load().authors)
        standing = {**seen.manifests, **refused_in(seen)}
        around = {key: one for key, one in standing.items() if key not in world.manifests}
        around |= dict(secrets_for({**around, **world.manifests}, seen.told))
        labels = {**seen.labels, **world.surroundings.namespaces}
        settings = settings_of(platform, (*cidrs, *listed_in(seen)), strict=True)
        lines = judge(replace(world, surroundings=Surroundings(labels)), settings, around)
        judges = Judges(asking)
        for key, manifest in world.manifests.items():
            if key.kind in PLURALS and manifest.broken is None and (said := await judges.say(manifest)):
                lines = [_refused(line, said) if line.resource == str(key) else line for line in lines]
        return in_order(lines), notes + judges.notes()


async def _around(
    asking: Session, world: World, platform: Platform, authors: frozenset[str]
) -> tuple[Seen, list[str]]:
    """What the cluster has, of the namespaces that matter to the folder."""
    homes = {key.namespace for key in world.manifests if key.kind in PLURALS}
    named = homes | {name for name in named_in(world.manifests) if name not in authors}
    seen = await asking.look((), platform, authors, sorted(named))
    notes = [
        f"no right to list {' and '.join(kinds)} in namespace {unread}: only what is in DIR is known of it"
        for unread, kinds in sorted(seen.unread.items())
    ]
    if seen.floor_unread:
        notes.append(f"no right to read the platform's floor in namespace {platform.release}: it may refuse more")
    return seen, notes


def _refused(line: "Line", said: str) -> "Line":
    """What we refuse ourselves is said by us."""
    return line if line.refused else replace(line, verdict=REFUSED, refused=True, message=said)


@dataclass
class Judges:
    """The server, then its schema."""

    asking: Session
    _schemas: Object | None = None
    _untried: dict[str, list[Key]] | None = None
    """Why the server did not judge, and whom."""

    async def say(self, manifest: Manifest) -> str:
        """Why the cluster would not take it; empty: it would, as far as can be known."""
        key = manifest.key
        body = {**manifest.body, "metadata": {**manifest.body["metadata"], "namespace": key.namespace}}
        body.pop("status", None)
        try:
            await self.asking.api.try_apply(PLURALS[key.kind], key.namespace, key.name, body)
            return ""
        except KubeError as error:
            if error.status in (400, 422) or UNDECLARED in error.message:
                return error.message
            if error.status not in (403, 404):
                raise
            why = (
                f"no right to apply {PLURALS[key.kind]} in namespace {key.namespace}"
                if error.status == 403
                else f"there is no namespace {key.namespace} yet"
            )
            return await self._by_schema(manifest, why)

    def notes(self) -> list[str]:
        return [
            f"{why}: {printing.plural(len(keys), 'manifest')} held against the cluster's schema alone"
            for why, keys in (self._untried or {}).items()
        ]

    async def _by_schema(self, manifest: Manifest, why: str) -> str:
        schema = schema_of(await self._published(), manifest.key.kind)
        if schema is None:
            return f"the cluster knows no kind {manifest.key.kind}: its definitions are of another version"
        self._untried = self._untried or {}
        self._untried.setdefault(why, []).append(manifest.key)
        spec: Mapping[str, object] = manifest.body.get("spec") or {}
        return "; ".join(faults(spec, schema))

    async def _published(self) -> Object:
        if self._schemas is None:
            self._schemas = await self.asking.api.our_schemas()
        return self._schemas
