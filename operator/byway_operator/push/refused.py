"""What proxies refused, laid at the door of whoever it was made from: the next compile does without it. Pure."""

from collections.abc import Mapping
from types import MappingProxyType

from byway_contract.stream import Nack

from byway_operator.compile.verdict import Compiled, ObjectId, Refusal
from byway_operator.resources.manifest import Key

Refusals = Mapping[Key, Refusal]
NOTHING: Refusals = MappingProxyType({})


def held_back(refusals: Refusals, compiled: Compiled, nack: Nack) -> Refusals:
    """With this refusal; the same mapping if it names no object that we know."""
    owners = compiled.owners.get(_object_id(nack.path), ())
    held = {
        key: Refusal(compiled.verdicts[key].fingerprint, nack.message) for key in owners if key in compiled.verdicts
    }
    return MappingProxyType({**refusals, **held}) if held else refusals


def remembered(refusals: Refusals, compiled: Compiled) -> Refusals:
    """Without those of resources that are gone; the same mapping if there are none."""
    kept = {key: refusal for key, refusal in refusals.items() if key in compiled.verdicts}
    return MappingProxyType(kept) if len(kept) < len(refusals) else refusals


def _object_id(path: str) -> ObjectId:
    section, _, name = path.partition("/")
    return section, name  # type: ignore[return-value]  # a section we do not know owns nothing
