"""Find the credential that a ProviderKey or an AccessKey names. No message here holds a value."""

from collections.abc import Mapping

from byway_contract.secret import Secret as Hidden

from byway_operator.compile.faults import Unresolved
from byway_operator.compile.verdict import Condition
from byway_operator.resources.manifest import Key
from byway_operator.resources.provider_key import SecretRef
from byway_operator.resources.secret import CREDENTIAL_LABEL, Secret

Secrets = Mapping[Key, Secret | Condition]
"""Every Secret there is; a condition stands for one that cannot be read."""

_WHERE_THE_LABEL_GOES = (
    f'{CREDENTIAL_LABEL}: "true" among its labels (ExternalSecret: target.template.metadata.labels; '
    "SealedSecret: spec.template.metadata.labels; Kustomize: generatorOptions.labels)"
)


def credential(
    ref: SecretRef, namespace: str, secrets: Secrets, field: str = "spec.secretRef", read_as: str = "spec.secretRef"
) -> Hidden:
    """`field` is where the reference stands, `read_as` the same as people read it. Raises Unresolved."""
    try:
        return _credential(ref, namespace, secrets)
    except _Missing as missing:
        raise Unresolved(missing.reason, field, f"{read_as}: {missing}") from None


class _Missing(Exception):
    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


def _credential(ref: SecretRef, namespace: str, secrets: Secrets) -> Hidden:
    secret = secrets.get(Key("Secret", namespace, ref.name))
    named = f'Secret "{ref.name}" in namespace "{namespace}"'
    if secret is None:
        raise _Missing("SecretNotFound", f"no {named}; create it, labelled {CREDENTIAL_LABEL}=true")
    if isinstance(secret, Condition):
        raise _Missing("SecretKeyMissing", f"{named} cannot be read: {secret.message}")
    if not secret.labelled:
        raise _Missing("SecretNotLabelled", f"{named} is not marked as a credential; put {_WHERE_THE_LABEL_GOES}")
    value = secret.credential(ref.effective_key)
    if value is None:
        raise _Missing("SecretKeyMissing", f"{named} has {_what_instead(secret, ref.effective_key)}")
    return value


def _what_instead(secret: Secret, wanted: str) -> str:
    entries = sorted(secret.entries())
    if wanted in entries:
        return f'nothing readable in its entry "{wanted}"; want the bare credential as text'
    if not entries:
        return f'no entry "{wanted}", nor any other; add it'
    return f'no entry "{wanted}", but {", ".join(entries)}; add it, or name another with secretRef.key'
