"""Who beside its own namespace may use an object, and which model names a key may be used for."""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

from byway_contract.table import EVERY_NAMESPACE

from byway_operator.resources.shared import AllowedNamespaces


def shared_with(allowed: AllowedNamespaces | None, own: str) -> tuple[str, ...]:
    """Namespaces beside its own; `*` is all. Selectors are refused before they get here."""
    match allowed.effective_from if allowed else "Same":
        case "All":
            return (EVERY_NAMESPACE,)
        case "Names" if allowed:
            return tuple(sorted(set(allowed.names) - {own}))
        case _:
            return ()


def may_use(shared: Iterable[str], owner: str, namespace: str) -> bool:
    return namespace == owner or any(name in (EVERY_NAMESPACE, namespace) for name in shared)


@lru_cache(maxsize=1024)
def allows(globs: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a model's name fits one of the globs; without any, all do. `*` stands for any letters, `/` too."""
    if not globs:
        return lambda _: True
    pattern = re.compile("|".join(".*".join(map(re.escape, glob.split("*"))) for glob in globs))
    return lambda name: pattern.fullmatch(name) is not None
