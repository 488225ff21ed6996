"""What Byway thinks of a folder: read once, compiled once, told a line for each resource. Dials nobody."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from byway_operator.compile.catalogue.catalogue import load
from byway_operator.compile.compile import compile_table
from byway_operator.compile.settings import Settings
from byway_operator.compile.verdict import Verdict
from byway_operator.resources.manifest import Key, Manifest, Place, Problem, World
from byway_operator.watch.documents import Reading, read_documents
from byway_operator.watch.inventory import Inventory
from byway_operator.watch.listing import list_files, said

from byway_cli import printing
from byway_cli.errors import CommandError

OK = "OK"
NOTHING: Mapping[Key, Manifest] = MappingProxyType({})


@dataclass(frozen=True)
class Line:
    """What is printed of one resource, or of one problem that belongs to none."""

    place: str
    resource: str
    verdict: str
    """`OK`, or the reason of the first condition that is not True."""
    refused: bool
    message: str


def read(directory: Path, namespace: str = "default") -> World:
    """The folder as it is this moment; `namespace` is that of objects that say none. Raises CommandError if there
    is no such folder.
    """
    listing = list_files(directory)
    if listing is None:
        raise CommandError(f"{directory}: no such folder; give the one your resources are in")
    inventory, unreadable = Inventory(), dict(listing.unreadable)
    for file in listing.files:
        try:
            inventory.read(file, read_documents(file, (directory / file).read_bytes(), namespace))
        except OSError as error:
            unreadable[file] = said(error)
    for file, why in unreadable.items():
        inventory.read(file, Reading(problems=(Problem(Place(file, 1), why),)))
    return inventory.world()


def judge(world: World, settings: Settings, around: Mapping[Key, Manifest] = NOTHING) -> list[Line]:
    """A line for each resource and each problem, in the order of files and lines. `around` is compiled with them
    and told nothing.
    """
    compiled = compile_table(
        {**around, **world.manifests},
        held_back={},
        refused={},
        settings=settings,
        catalogue=load(),
        surroundings=world.surroundings,
    )
    lines = [
        _line(verdict, world.manifests[key]) for key, verdict in compiled.verdicts.items() if key in world.manifests
    ]
    lines += [Line(str(problem.place), "", "Unreadable", True, problem.message) for problem in world.problems]
    return in_order(lines)


def on_one_machine(addresses: dict[str, str], allowed_cidrs: tuple[str, ...] = ()) -> Settings:
    return Settings(
        anonymous_namespace="default",
        allow_loopback=True,
        allowed_cidrs=allowed_cidrs,
        # Told no address, Services are where a cluster has them.
        service_addresses=addresses or None,
    )


def in_order(lines: Iterable[Line]) -> list[Line]:
    """Of files and lines."""
    return sorted(lines, key=_order)


def _line(verdict: Verdict, manifest: Manifest) -> Line:
    wrong = next((one for one in (verdict.accepted, verdict.resolved) if one.status != "True"), None)
    place = _place(manifest, wrong.field if wrong else "")
    refused = verdict.accepted.status == "False"
    if wrong:
        return Line(place, str(verdict.key), wrong.reason, refused, wrong.message)
    return Line(place, str(verdict.key), OK, False, _became(verdict))


def _became(verdict: Verdict) -> str:
    """What an accepted resource is good for."""
    if verdict.key.kind == "ModelRoute":
        return f"{', '.join(verdict.model_names)}: {printing.plural(len(verdict.endpoints), 'endpoint')}"
    if verdict.key.kind == "ProviderKey":
        return printing.plural(verdict.models, "model")
    return ""


def _place(manifest: Manifest, field: str) -> str:
    return str(manifest.place.of(field)) if manifest.place else "-"


def _order(line: Line) -> tuple[str, int, str]:
    file, _, number = line.place.rpartition(":")
    return file, int(number) if number.isdecimal() else 0, line.resource
