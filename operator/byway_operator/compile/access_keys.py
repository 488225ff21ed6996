"""An AccessKey becomes the digests by which proxies know its app. A key from a Secret goes no further than here.

Whose digest it is, is decided by age, over all namespaces: the oldest AccessKey has it. Else a tenant who read
another's digest in Git could claim its callers, and read their prompts.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from byway_contract.access_key import digest_of, is_key, label_of, label_of_digest
from byway_contract.table import AccessKey as Known
from byway_contract.table import KeyDigest

from byway_operator.compile import secrets
from byway_operator.compile.faults import NotAccepted, Unresolved
from byway_operator.compile.verdict import Condition, KeyFact
from byway_operator.resources.access_key import AccessKey, KeyOfMany
from byway_operator.resources.manifest import Key


@dataclass(frozen=True)
class DraftAccessKey:
    """What an AccessKey becomes. `known` is None while it has no key that could let anybody in."""

    key: Key
    known: Known | None
    facts: tuple[KeyFact, ...] = ()
    missing: Condition | None = None

    @property
    def id(self) -> str:
        return f"key:{self.key.namespace}/{self.key.name}"


@dataclass
class Digests:
    """Taken so far; AccessKeys come oldest first."""

    _owners: dict[str, Key] = field(default_factory=dict)

    def owner(self, digest: str, otherwise: Key) -> Key:
        return self._owners.get(digest, otherwise)

    def take(self, digest: str, key: Key) -> None:
        self._owners[digest] = key


def draft_access_key(
    key: Key, resource: AccessKey, held: secrets.Secrets, digests: Digests, current: bool
) -> DraftAccessKey:
    """Raises NotAccepted. A last good form, which is not `current`, has what of its keys no older one took."""
    found, missing = _resolved(key, resource, held)
    _without_twins(found)
    ours = [one for one in found if digests.owner(one.digest, key) == key]
    if current and len(ours) < len(found):
        raise _conflicted(key, found, digests)
    for one in ours:
        digests.take(one.digest, key)
    known = Known(
        namespace=key.namespace,
        name=key.name,
        keys=tuple(KeyDigest(one.digest, one.said.name, one.said.expires) for one in ours),
        user=resource.spec.user or "",
        allowed_models=tuple(sorted(resource.spec.allowed_models)),
    )
    facts = tuple(KeyFact(one.said.name, one.label, one.said.expires) for one in ours)
    return DraftAccessKey(key, known if ours else None, facts, missing)


@dataclass(frozen=True)
class _Found:
    index: int
    said: KeyOfMany
    digest: str
    label: str


def _resolved(key: Key, resource: AccessKey, held: secrets.Secrets) -> tuple[list[_Found], Condition | None]:
    """One key that is missing does not keep the others out: that is what several are for."""
    found, missing = [], None
    for index, said in sorted(enumerate(resource.spec.keys), key=lambda pair: pair[1].name):
        try:
            found.append(_Found(index, said, *_digest(key, said, index, held)))
        except Unresolved as unresolved:
            missing = missing or unresolved.condition
    return found, missing


def _digest(key: Key, said: KeyOfMany, index: int, held: secrets.Secrets) -> tuple[str, str]:
    """Raises Unresolved."""
    if said.secret_ref is None:
        assert said.sha256 is not None, "a rule says: one of the two"
        return said.sha256, label_of_digest(said.sha256)
    field_, read_as = f"spec.keys[{index}].secretRef", f"spec.keys[{said.name}].secretRef"
    value = secrets.credential(said.secret_ref, key.namespace, held, field_, read_as).reveal()
    if not is_key(value):
        raise Unresolved(
            "SecretKeyMissing",
            field_,
            f'{read_as}: Secret "{said.secret_ref.name}" in namespace "{key.namespace}" holds no access key in its '
            f'entry "{said.secret_ref.effective_key}"; want sk-byway- and 64 hexadecimal digits in lower case, as '
            "`byway key new` makes them",
        )
    return digest_of(value), label_of(value)


def _without_twins(found: list[_Found]) -> None:
    """Raises NotAccepted: of one key in two entries nobody could say which one's end counts."""
    first: dict[str, _Found] = {}
    for one in found:
        other = first.setdefault(one.digest, one)
        if other is not one:
            raise NotAccepted(
                "Invalid",
                f"spec.keys[{one.index}]",
                f"spec.keys[{one.said.name}]: this key is keys[{other.said.name}] already; take one of the two out",
            )


def _conflicted(key: Key, found: list[_Found], digests: Digests) -> NotAccepted:
    one, winner = next(_taken(key, found, digests))
    # What others call theirs is their own business.
    whose = str(winner) if winner.namespace == key.namespace else "an AccessKey of another namespace"
    return NotAccepted(
        "Conflicted",
        f"spec.keys[{one.index}]",
        f"spec.keys[{one.said.name}]: this key belongs to {whose}, which is older; make another: byway key new",
    )


def _taken(key: Key, found: list[_Found], digests: Digests) -> Iterator[tuple[_Found, Key]]:
    return ((one, winner) for one in found if (winner := digests.owner(one.digest, key)) != key)
