"""Who beside its own namespace may use an object."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from byway_contract.table import EVERY_NAMESPACE

from byway_operator.compile.faults import NotAccepted
from byway_operator.resources.shared import AllowedNamespaces, LabelSelector


@dataclass(frozen=True)
class Neighbours:
    """The namespaces there are, with their labels: what a Selector chooses from."""

    labels: Mapping[str, Mapping[str, str]]
    _chosen: dict[str, frozenset[str]] = field(default_factory=dict)
    """By what a selector says: thousands of objects may say the same."""

    def shared_with(self, allowed: AllowedNamespaces | None, own: str) -> tuple[str, ...]:
        """Namespaces beside its own; `*` is all. Raises NotAccepted where nobody's labels are known."""
        match allowed.effective_from if allowed else "Same":
            case "All":
                return (EVERY_NAMESPACE,)
            case "Names" if allowed:
                return tuple(sorted(set(allowed.names) - {own}))
            case "Selector" if allowed and allowed.selector is not None:
                at = "spec.allowedNamespaces.selector"
                return tuple(sorted(self.chosen(allowed.selector, at, "from: Names") - {own}))
            case _:
                return ()

    def chosen(self, selector: LabelSelector, at: str, instead: str) -> frozenset[str]:
        """`at` is its field, `instead` what an author can write in its place. Raises NotAccepted where nobody's
        labels are known."""
        if not self.labels:
            # It would reach nobody, ever: that is not what somebody meant who wrote it.
            raise NotAccepted(
                "NotPermitted",
                at,
                f"{at}: no namespace's labels are known here; a folder needs documents of kind: Namespace, a "
                f"cluster the operator's right to list Namespaces; or write {instead}",
            )
        said = selector.model_dump_json()
        if said not in self._chosen:
            self._chosen[said] = frozenset(name for name, labels in self.labels.items() if selector.fits(labels))
        return self._chosen[said]


def may_use(shared: Iterable[str], owner: str, namespace: str) -> bool:
    return namespace == owner or any(name in (EVERY_NAMESPACE, namespace) for name in shared)
