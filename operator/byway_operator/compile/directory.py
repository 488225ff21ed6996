"""Who may use which account, and who has a model: what a route's members are looked up in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from byway_contract.table import Endpoint

from byway_operator.compile.accounts import DraftAccount
from byway_operator.compile.catalogue.catalogue import Catalogue
from byway_operator.compile.faults import Unresolved
from byway_operator.compile.sharing import may_use
from byway_operator.compile.verdict import Condition
from byway_operator.resources.manifest import Key
from byway_operator.resources.model_route import ProviderKeyRef


@dataclass(frozen=True)
class Found:
    """An account's endpoint for a model. Its own: the namespace that asks owns the account."""

    account: DraftAccount
    endpoint: Endpoint
    own: bool

    @property
    def id(self) -> str:
        return self.account.endpoint_id(self.endpoint.upstream_model)


@dataclass(frozen=True)
class Directory:
    accounts: Mapping[Key, DraftAccount]
    rejected: Mapping[Key, Condition]
    """ProviderKeys that serve nothing, and why."""
    trusted: tuple[str, ...]
    catalogue: Catalogue
    _usable: dict[str, tuple[DraftAccount, ...]] = field(default_factory=dict)

    def by_ref(self, ref: ProviderKeyRef, namespace: str, field: str, said: str) -> DraftAccount:
        """The account a route of `namespace` names. Raises Unresolved."""
        key = Key("ProviderKey", ref.namespace or namespace, ref.name)
        account = self.accounts.get(key)
        if key.namespace != namespace and (
            account is None or not may_use(account.account.shared_with, key.namespace, namespace)
        ):
            # Whether it exists is nobody's business who may not use it.
            raise Unresolved(
                "RefNotPermitted",
                field,
                f'{said}: namespace "{key.namespace}" shares no ProviderKey "{key.name}" with "{namespace}"; '
                "its owner can, with spec.allowedNamespaces",
            )
        if account is None:
            raise Unresolved("ProviderKeyNotFound", field, f"{said}: {self._why_not(key)}")
        return account

    def named(self, account: DraftAccount, model: str, field: str, said: str) -> Found:
        """An account's endpoint for a model, by its public or upstream name, or passed through.

        Raises Unresolved.
        """
        own_name = account.upstreams.get(model, model)
        if own_name in account.models:
            return Found(account, account.models[own_name], True)
        if own_name in account.listed or not account.allows(model):
            raise Unresolved(
                "ModelNotAllowed",
                field,
                f'{said}: allowedModels of ProviderKey "{account.id}" does not let "{model}" through',
            )
        return Found(account, account.passed_through(model), True)

    def offering(self, model: str, namespace: str) -> Iterator[Found]:
        """Every endpoint of a public name that the namespace may use by that name, own keys first."""
        for account in self.usable(namespace):
            if model in account.models:
                yield Found(account, account.models[model], account.key.namespace == namespace)

    def usable(self, namespace: str) -> tuple[DraftAccount, ...]:
        """Own accounts, then those that trusted namespaces share."""
        if namespace not in self._usable:
            own = [account for key, account in self.accounts.items() if key.namespace == namespace]
            shared = [
                account
                for key, account in self.accounts.items()
                if key.namespace != namespace
                and key.namespace in self.trusted
                and may_use(account.account.shared_with, key.namespace, namespace)
            ]
            self._usable[namespace] = (
                *sorted(own, key=lambda account: account.key),
                *sorted(shared, key=lambda account: account.key),
            )
        return self._usable[namespace]

    def nobody_has(self, model: str, namespace: str, field: str, said: str) -> Unresolved:
        """Why no key of a namespace offers a model: it is kept back, or nobody has it."""
        for account in self.usable(namespace):
            if model in account.listed:
                return Unresolved(
                    "ModelNotAllowed",
                    field,
                    f'{said}: allowedModels of ProviderKey "{account.id}" does not let "{model}" through',
                )
        sellers = sorted(slug for slug, names in self.catalogue.upstreams.items() if model in names)
        out = f"a key for {' or '.join(sellers[:3])} would" if sellers else "GET /v1/models lists what there is"
        what = f'no ProviderKey that "{namespace}" may use has "{model}"'
        return Unresolved("ProviderKeyNotFound", field, f"{said}: {what}; {out}")

    def _why_not(self, key: Key) -> str:
        why = self.rejected.get(key)
        if why is not None:
            return f'ProviderKey "{key.name}" is not accepted ({why.reason}); see its status'
        return f'no ProviderKey "{key.name}" in namespace "{key.namespace}"; create it or mend the name'
