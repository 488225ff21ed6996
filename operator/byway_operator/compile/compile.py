"""Compile resources into the table that the proxies obey, and tell each resource what became of it.

A pure function of its arguments: the same resources in any order give the same bytes, on any replica. One bad
object never touches another. What is not accepted (rejected, unreadable just now, or refused by a proxy) serves on
in its last good form, which is an argument; without one a route keeps its names and answers with the reason, and a
key is gone. What is missing, withdrawn or deleted takes effect at once.

    attempt --unfit--> bar those forms, attempt again --…--> table.decode, as the proxy will --unfit--> again

Every turn bars a form of some object, current or last good, so there are at most twice as many turns as objects.
"""

from collections.abc import Mapping

from byway_contract.table import SectionName, Table, TableError, decode

from byway_operator.compile.attempt import Attempt, Barred, attempt
from byway_operator.compile.budgets import hash_of, in_order
from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.settings import Settings
from byway_operator.compile.standing import Reader, Readings
from byway_operator.compile.verdict import Compiled, Condition, Refusal
from byway_operator.compile.verdicts import verdicts
from byway_operator.resources.manifest import Key, Manifest, Surroundings

NEVER_PERSISTED = frozenset({"Secret"})
"""Kinds whose last good forms may be held in memory only."""
NOTHING_AROUND = Surroundings()


def compile_table(
    world: Mapping[Key, Manifest],
    *,
    held_back: Mapping[Key, Manifest],
    refused: Mapping[Key, Refusal],
    settings: Settings,
    catalogue: Catalogue,
    surroundings: Surroundings = NOTHING_AROUND,
    readings: Readings | None = None,
) -> Compiled:
    """`held_back` are last good forms: the `good` of a compile whose table went live. `refused` is what proxies
    said of forms that were sent, and counts for a form of the same fingerprint only. `readings` are those of the
    last compile with these settings, and are those of this one afterwards: they make it quicker, and nothing else.
    """
    reader, barred = Reader(settings.strict, before=readings or Readings()), Barred()
    while True:
        made = attempt(world, held_back, barred, reader, settings, catalogue, surroundings)
        unfit = made.unfit or _refused(made, refused)
        table = None
        if not unfit:
            table, unfit = _decoded(made)
        assert unfit.keys().isdisjoint(barred), "an unfit form was compiled again"
        barred |= unfit
        if table is not None:
            if readings is not None:
                readings.parsed = reader.now.parsed
            return _compiled(made, table, held_back, reader)


def _refused(made: Attempt, refused: Mapping[Key, Refusal]) -> Barred:
    """Forms that a proxy has seen already, and refused."""
    unfit = Barred()
    for key in sorted(refused.keys() & made.standings.keys()):
        standing, refusal = made.standings[key], refused[key]
        if standing.resource is not None and refusal.fingerprint == made.assembly.fingerprint(key):
            message = f"a proxy refused this form: {refusal.message}"
            unfit[key, standing.form] = Condition("False", "RejectedByProxy", message)
    return unfit


def _decoded(made: Attempt) -> tuple[Table | None, Barred]:
    """The table as a proxy will read it, or whose fault it is that none would."""
    try:
        return decode(made.assembly.sections()), Barred()
    except TableError as error:
        section, _, name = error.path.partition("/")
        owners = made.assembly.owners().get((_section(section), name), ())
        at_fault = [key for key in owners if made.standings[key].resource is not None]
        if not at_fault:
            raise
        why = Condition("False", "Invalid", f"no proxy could obey what it compiles to: {error.message}")
        return None, {(key, made.standings[key].form): why for key in at_fault}


def _section(name: str) -> SectionName:
    return name  # type: ignore[return-value]  # a TableError's path begins with a section of the table it refuses


def _compiled(made: Attempt, table: Table, held_back: Mapping[Key, Manifest], reader: Reader) -> Compiled:
    good = {
        key: standing.manifest if standing.form == "current" else held_back[key]
        for key, standing in made.standings.items()
        if standing.form == "current" or key in held_back
    }
    limits = in_order(made.budgets.values(), made.fees.limits)
    return Compiled(
        sections=table.raw,
        hash=table.hash,
        verdicts=verdicts(made),
        good=good,
        owners=made.assembly.owners(),
        limits=limits,
        limits_hash=hash_of(limits),
        defects=reader.defects,
    )
