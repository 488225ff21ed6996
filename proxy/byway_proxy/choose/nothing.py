"""Why nobody can serve a request: the errors of choosing, with the words of `error.availability`."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from byway_proxy.choose.target import LeftOut, Reason, Rejected
from byway_proxy.choose.wanted import Wanted

Code = Literal["model_not_found", "no_endpoints", "constraint_filtered", "privacy_restricted"]

EXCLUDED_BY: dict[Reason, str] = {
    "only": "allowed_providers",
    "ignore": "allowed_providers",
    "order": "allowed_providers",
    "data_collection": "data_policy:training",
    "zdr": "data_policy:zdr",
    "policy_training": "data_policy:training",
    "policy_retention": "data_policy:zdr",
    "policy_region": "data_region",
    "floor_training": "data_policy:training",
    "floor_retention": "data_policy:zdr",
    "floor_region": "data_region",
    "floor_models": "allowed_models",
    "floor": "allowed_models",
}
"""Where a client's word is not ours."""

FIELDS: dict[Reason, str] = {
    "only": "provider.only",
    "ignore": "provider.ignore",
    "order": "provider.order",
    "data_collection": "provider.data_collection",
    "zdr": "provider.zdr",
    "max_price": "provider.max_price",
    "require_parameters": "provider.require_parameters",
    "policy_training": "dataPolicy.training",
    "policy_retention": "dataPolicy.maxRetentionDays",
    "policy_region": "dataPolicy.regions",
    "floor_training": "floor.dataPolicy.training",
    "floor_retention": "floor.dataPolicy.maxRetentionDays",
    "floor_region": "floor.dataPolicy.regions",
    "floor_models": "floor.allowedModels",
    "context_length": "messages",
    "modality": "messages",
}
"""What to change: a field of the request, of the ModelRoute, or of the platform's floor; else the reason's own name
is the field's."""

PRIVACY: tuple[Reason, ...] = (
    *("policy_training", "policy_retention", "policy_region"),
    *("floor_training", "floor_retention", "floor_region"),
)
"""Nothing that the request says could change these."""


class Nothing(Exception):
    """Nobody can serve this, and trying again will not help."""

    def __init__(
        self,
        status: int,
        code: Code,
        message: str,
        requested: tuple[str, ...],
        *,
        nearest: tuple[str, ...] = (),
        left_out: tuple[LeftOut, ...] = (),
        constraint: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.requested = requested
        self.nearest = nearest
        self.left_out = left_out
        self.constraint = constraint
        """(field, detail) of what excluded most."""

    @property
    def excluded_by(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(EXCLUDED_BY.get(each.reason, each.reason) for each in self._telling))

    @property
    def affected_providers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(each.provider for each in self._telling if each.provider))

    @property
    def _telling(self) -> Sequence[LeftOut]:
        """Endpoints, if there are any: what has none could not have served in any case."""
        return [each for each in self.left_out if each.endpoint_id] or self.left_out


def unknown(wanted: Wanted, near: tuple[str, ...]) -> Nothing:
    name = wanted.models[0][:200]
    hint = f"; did you mean {' or '.join(f'{n!r}' for n in near)}?".replace("'", '"') if near else "."
    message = f'no model named "{name}" here{hint} GET /v1/models lists all'
    return Nothing(400, "model_not_found", message, wanted.models, nearest=near)


def rejected(wanted: Wanted, target: Rejected) -> Nothing:
    message = f'model "{target.name}" is ModelRoute "{target.route_id}", which serves nothing: {target.reason}'
    out = (LeftOut(target.name, "", "", "rejected", target.reason),)
    return Nothing(404, "no_endpoints", message, wanted.models, left_out=out)


def not_allowed(wanted: Wanted, out: list[LeftOut]) -> Nothing:
    """Told alike of names that there are and of names that there are not."""
    allowed = ", ".join(wanted.allowed_models[:10]) + (", …" if len(wanted.allowed_models) > 10 else "")
    message = f'this access key may not call "{wanted.models[0][:200]}"; its allowedModels: {allowed}'
    constraint = ("allowedModels", f"names that fit {allowed}")
    return Nothing(403, "constraint_filtered", message, wanted.models, left_out=tuple(out), constraint=constraint)


def no_endpoints(wanted: Wanted, out: list[LeftOut]) -> Nothing:
    why = "; ".join(f"{each.provider or each.model}: {each.detail}" for each in out[:3])
    message = f'model "{wanted.models[0]}" has no endpoints just now' + (f": {why}" if why else "")
    return Nothing(404, "no_endpoints", message, wanted.models, left_out=tuple(out))


def all_filtered(wanted: Wanted, everything: list[LeftOut]) -> Nothing:
    """Names the reason that excluded most endpoints; of equals the one met first."""
    out = [each for each in everything if each.endpoint_id]
    reason = Counter(each.reason for each in out).most_common(1)[0][0]
    field, detail = FIELDS.get(reason, reason), _detail(reason, out)
    message = f'no endpoint of model "{wanted.models[0]}" can serve this request; {field}: {detail}'
    code: Code = "privacy_restricted" if all(o.reason in PRIVACY for o in out) else "constraint_filtered"
    return Nothing(404, code, message, wanted.models, left_out=tuple(everything), constraint=(field, detail))


def _detail(reason: Reason, out: list[LeftOut]) -> str:
    details = dict.fromkeys(each.detail for each in out if each.reason == reason)
    return "; ".join(list(details)[:3])
