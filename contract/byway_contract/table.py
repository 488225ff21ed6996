"""The table: what the operator compiled and the proxies obey.

A table is sections of objects, each object known by its canonical bytes (JSON, keys sorted, no times in it).
Its hash is over the objects' hashes, so the same resources give the same hash everywhere; a receiver keeps the
bytes it was given and never encodes anew, because an older build would drop the fields it does not know.

`decode` is the one loader: the operator runs it on a table before it publishes it, the proxy on what arrives.

Fields are only ever added, each with a default; a default is left out of the bytes, so a new field changes no
old object's hash.
"""

import hashlib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args

import msgspec
from msgspec import Meta, Raw

from byway_contract.budget import Budget
from byway_contract.money import Price
from byway_contract.secret import Secret

SCHEMA = 1

Count = Annotated[int, Meta(ge=0, le=2**53)]
Millis = Annotated[int, Meta(ge=1, le=24 * 3600 * 1000)]
EVERY_NAMESPACE = "*"


# What comes of JSON has no cycles: the garbage collector need not walk through thousands of routes.
class _Object(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """An object of a section. Frozen, and silent about fields that a newer operator added."""


class Handling(_Object, frozen=True):
    """What becomes of prompts. The defaults are the worst: whoever says nothing is not believed to be better."""

    may_train: bool = True
    retention_days: Count | None = None
    """None: unknown, which counts as for ever."""
    regions: tuple[str, ...] = ()
    """Empty: unknown."""


class Account(_Object, frozen=True):
    """Where requests go and as whom: a ProviderKey (id `namespace/name`) or a Service in the cluster
    (id `svc:namespace/name:port`)."""

    namespace: str
    name: str
    provider: str
    """The slug of `provider.order|only|ignore`."""
    display_name: str
    """`provider` in an answer."""
    base_url: str
    dialect: str = "openai"
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    """`bearer`: Authorization: Bearer …; `api-key`: that header, as Azure wants it."""
    credential: str | None = None
    """Id in `credentials`; None is keyless."""
    headers: dict[str, str] = {}
    ca_bundle: str | None = None
    shared_with: tuple[str, ...] = ()
    """Namespaces beside its own that may use it; `*` is all."""
    max_concurrent: Count | None = None
    """For the whole fleet."""
    requests_per_minute: Count | None = None
    """For the whole fleet, as is the next."""
    tokens_per_minute: Count | None = None
    may_train: bool = True
    retention_days: Count | None = None
    """None: unknown, which counts as for ever."""
    regions: tuple[str, ...] = ()
    vouched: Handling | None = None
    """What of the three above counts before a floor, where they are a tenant's own word; None: all of it."""
    in_cluster: bool = False
    quirks: tuple[str, ...] = ()
    """Known deviations of the provider, each a word of `dialects`."""
    leaving: Literal["stops", "streams", "bills"] = "stops"
    """Whether the provider's bill ends when nobody waits for its answer: always, for streams alone, never."""
    verify: str = "/models"
    """Path, below `base_url`, of the cheapest GET that wants the credential. Empty: there is none."""
    verify_headers: dict[str, str] = {}
    """For that call, in place of what `auth` says; `{credential}` stands for the credential."""


class Endpoint(_Object, frozen=True):
    """One way to reach one model. Id: `<account id>:<upstream model>`."""

    account: str
    model: str
    """The public name: `author/model`, or the upstream's own where no catalogue knows it."""
    upstream_model: str
    price: Price | None = None
    """None is unpriced, which is not 0: it sorts last."""
    price_origin: str = "Unpriced"
    price_date: str = ""
    list_price: Price | None = None
    """The catalogue's, where `price` is a tenant's own word: the platform's budgets count the larger."""
    context_length: Count | None = None
    max_output_tokens: Count | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    features: tuple[str, ...] | None = None
    """Of FEATURES; None is unknown, which excludes nothing."""
    by_name: bool = True
    """Callable as `model` by whoever may use the account; False: only through a route that names it."""
    vouched: bool = True
    """Whether `model` is more than a tenant's own word. What is not is no model that a floor allows."""


FEATURES = ("tools", "structured_outputs", "json_object", "reasoning", "temperature", "attachments", "logprobs")


class Model(_Object, frozen=True):
    """What the catalogue says of a model, for `GET /models`. Id: `author/model`."""

    name: str
    created: Count = 0
    """Seconds since 1970; 0 is unknown."""
    description: str = ""
    context_length: Count | None = None
    max_output_tokens: Count | None = None
    input_modalities: tuple[str, ...] = ("text",)
    output_modalities: tuple[str, ...] = ("text",)
    features: tuple[str, ...] | None = None
    knowledge_cutoff: str | None = None
    open_weights: bool | None = None


class Timeouts(_Object, frozen=True):
    """Milliseconds; None is the proxy's own setting."""

    connect: Millis | None = None
    first_token: Millis | None = None
    idle: Millis | None = None
    request: Millis | None = None


class DataPolicy(_Object, frozen=True):
    """Demands on whoever sees the request. Fail closed: what is unknown does not satisfy."""

    deny_training: bool = False
    max_retention_days: Count | None = None
    regions: tuple[str, ...] = ()


class RouteEndpoint(_Object, frozen=True):
    """A member of a route. `missing` says why it has no endpoint just now; exactly one of the two is set."""

    name: str
    endpoint: str | None = None
    missing: str | None = None
    order: Count = 0
    weight: Count | None = None
    max_concurrent: Count | None = None
    """For the whole fleet, in this route."""


Strategy = Literal["Balanced", "Cost", "Latency", "Throughput", "Availability", "Weighted"]


NO_DEFAULTS = Raw(b"{}")


class Route(_Object, frozen=True):
    """A choice of endpoints under names of our own. Id: `namespace/name`."""

    namespace: str
    name: str
    model_names: tuple[str, ...]
    display_name: str = ""
    endpoints: tuple[RouteEndpoint, ...] = ()
    strategy: Strategy = "Balanced"
    fallback_models: tuple[str, ...] = ()
    timeouts: Timeouts = Timeouts()
    max_attempts: Count | None = None
    defaults: Raw = NO_DEFAULTS
    """Request fields for where the caller is silent: a JSON object. (Not `Raw | None`: msgspec decodes that as None
    alone.)"""
    max_output_tokens: Count | None = None
    policy: DataPolicy | None = None
    shared_with: tuple[str, ...] = ()
    rejected: str | None = None
    """Why this route serves nothing. It keeps its names all the same: they never fall through to others."""


class Tenancy(_Object, frozen=True, tag_field="kind", tag="tenancy"):
    """Who is trusted (id `tenancy` in `policies`)."""

    trusted_namespaces: tuple[str, ...] = ()
    authors: tuple[str, ...] = ()
    """Namespaces of routes that are also authors in the catalogue: `author/model` is never one of their routes."""


class Floor(_Object, frozen=True, tag_field="kind", tag="floor"):
    """What binds callers of some namespaces, whatever routes and requests say (ids `floor:…` in `policies`)."""

    namespaces: tuple[str, ...]
    """`*` is all that no other floor names."""
    policies: tuple[DataPolicy, ...] = ()
    """All bind."""
    allowed_models: tuple[tuple[str, ...], ...] = ()
    """Globs of public names; a model has to fit one of each."""
    require_budget: bool = False
    """No service without a Budget in US dollars that is enforced."""
    closed: str | None = None
    """Why nothing at all is served: nobody can tell what the floor demands."""


class Anonymous(_Object, frozen=True, tag_field="kind", tag="anonymous"):
    """Whoever brings no credential is this namespace (id `anonymous` in `callers`). Without it: 401."""

    namespace: str


class SigningKey(_Object, frozen=True):
    """A public key, as its JWK's members have it. An unknown `kty` or `crv` is passed over by whoever verifies."""

    kty: Literal["RSA", "EC"]
    kid: str
    alg: str = ""
    n: str = ""
    e: str = ""
    crv: str = ""
    x: str = ""
    y: str = ""


class Issuer(_Object, frozen=True, tag_field="kind", tag="issuer"):
    """A cluster whose ServiceAccount tokens for our audience are callers: namespace and ServiceAccount are in them
    (id `serviceaccounts` in `callers`)."""

    issuer: str
    audience: str
    keys: tuple[SigningKey, ...]
    """Sorted by `kid`."""


class KeyDigest(_Object, frozen=True):
    """One of an access key's live keys, by what cannot be turned back into it."""

    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
    name: str = ""
    """Within its AccessKey."""
    expires: Count | None = None
    """Seconds since 1970: from then on it lets nobody in. None: never."""


class AccessKey(_Object, frozen=True, tag_field="kind", tag="access-key"):
    """An app's credential at us (ids `key:namespace/name` in `callers`). The table never holds the key itself."""

    namespace: str
    name: str
    keys: tuple[KeyDigest, ...]
    """Any of them is accepted. No two AccessKeys of a table have one digest."""
    user: str = ""
    """Whose spend it is."""
    allowed_models: tuple[str, ...] = ()
    """Globs of names as callers write them; empty is all."""


Identity = Anonymous | Issuer | AccessKey
"""How a caller is known."""


class Egress(_Object, frozen=True, tag_field="kind", tag="egress"):
    """Addresses that providers' own URLs may lead to although they are private (id `egress` in `policies`)."""

    allowed: tuple[str, ...] = ()
    """CIDRs, sorted: what the cluster's admin listed."""
    loopback: bool = False
    """On one machine alone."""


class Fees(_Object, frozen=True, tag_field="kind", tag="fees"):
    """What the platform asks beside what models cost, in millionths (id `fees` in `policies`). What is limited for
    them stands among the budgets."""

    byok_ppm: int = 0
    """On what a caller's own provider key pays for,"""
    platform_ppm: int = 0
    """and on what the platform's pay for."""


class Credential(_Object, frozen=True):
    """The company's credential at a provider. Id: the account's."""

    value: Secret


def way(account: Account, credential: Credential | None) -> tuple[object, ...]:
    """What a provider's word of a credential holds for: with any of this another, it has to be asked anew."""
    return (
        credential, account.base_url, account.auth, account.headers, account.ca_bundle, account.in_cluster,
        account.verify, account.verify_headers,
    )  # fmt: skip


SectionName = Literal["accounts", "budgets", "callers", "credentials", "endpoints", "models", "policies", "routes"]
SECTIONS: tuple[SectionName, ...] = get_args(SectionName)

TableObject = Account | Endpoint | Model | Route | Tenancy | Floor | Egress | Fees | Identity | Credential | Budget
TYPES: dict[SectionName, Any] = {
    "accounts": Account,
    "budgets": Budget,
    "callers": Identity,
    "credentials": Credential,
    "endpoints": Endpoint,
    "models": Model,
    "policies": Tenancy | Floor | Egress | Fees,
    "routes": Route,
}

Sections = Mapping[SectionName, Mapping[str, Raw]]
"""A table as it travels: section → id → canonical bytes."""

_encoder = msgspec.json.Encoder(order="sorted")
_decoders = {section: msgspec.json.Decoder(kind) for section, kind in TYPES.items()}


class TableError(ValueError):
    """A table that cannot be obeyed. `path` is `section/id` of the object at fault."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


class Table(msgspec.Struct, frozen=True):
    """A decoded table. `raw` is what arrived; the other fields are the same objects, typed."""

    hash: str
    raw: Sections
    accounts: Mapping[str, Account]
    callers: Mapping[str, Identity]
    credentials: Mapping[str, Credential]
    endpoints: Mapping[str, Endpoint]
    models: Mapping[str, Model]
    policies: Mapping[str, Tenancy | Floor | Egress | Fees]
    routes: Mapping[str, Route]
    budgets: Mapping[str, Budget]

    @property
    def anonymous(self) -> str | None:
        """The namespace of whoever brings no credential; None: nobody comes in without one."""
        found = self.callers.get("anonymous")
        return found.namespace if isinstance(found, Anonymous) else None

    @property
    def issuer(self) -> Issuer | None:
        found = self.callers.get("serviceaccounts")
        return found if isinstance(found, Issuer) else None

    @property
    def access_keys(self) -> tuple[AccessKey, ...]:
        return tuple(identity for identity in self.callers.values() if isinstance(identity, AccessKey))

    @property
    def tenancy(self) -> Tenancy:
        found = self.policies.get("tenancy")
        return found if isinstance(found, Tenancy) else Tenancy()

    @property
    def trusted_namespaces(self) -> tuple[str, ...]:
        return self.tenancy.trusted_namespaces

    @property
    def floors(self) -> tuple[Floor, ...]:
        return tuple(policy for policy in self.policies.values() if isinstance(policy, Floor))

    @property
    def fees(self) -> Fees:
        found = self.policies.get("fees")
        return found if isinstance(found, Fees) else Fees()

    @property
    def egress(self) -> Egress:
        found = self.policies.get("egress")
        return found if isinstance(found, Egress) else Egress()


def canonical(thing: TableObject) -> Raw:
    """The bytes by which an object is known: JSON, keys sorted, defaults left out."""
    return Raw(_encoder.encode(thing))


def object_hash(raw: Raw) -> str:
    return hashlib.sha256(raw).hexdigest()


def table_hash(sections: Sections) -> str:
    """SHA-256 over the sorted (section, id, sha256(bytes)); lower-case hex."""
    return hash_of_hashes(
        (section, name, object_hash(raw)) for section, objects in sections.items() for name, raw in objects.items()
    )


def hash_of_hashes(objects: Iterable[tuple[str, str, str]]) -> str:
    whole = hashlib.sha256()
    for section, name, digest in sorted(objects):
        whole.update(f"{section}\0{name}\0{digest}\n".encode())
    return whole.hexdigest()


def decode_object(section: SectionName, name: str, raw: Raw) -> TableObject:
    """Raises TableError if the bytes are not such an object."""
    try:
        decoded: TableObject = _decoders[section].decode(raw)
        return decoded
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TableError(f"{section}/{name}", str(error)) from error


def assemble(sections: Sections, objects: Mapping[SectionName, Mapping[str, TableObject]], digest: str) -> Table:
    """A table from objects that are decoded already, its references checked. Raises TableError."""
    table = Table(
        hash=digest,
        raw=sections,
        # Each section holds its own type: `decode_object` saw to it.
        **{section: dict(objects.get(section, {})) for section in SECTIONS},  # type: ignore[arg-type]
    )
    _check_references(table)
    return table


def decode(sections: Sections) -> Table:
    """The whole of loading, at once. Raises TableError naming the object that is at fault."""
    unknown = set(sections) - set(SECTIONS)
    if unknown:
        raise TableError(min(unknown), "no such section in schema 1")
    objects = {
        section: {name: decode_object(section, name, raw) for name, raw in members.items()}
        for section, members in sections.items()
    }
    return assemble(sections, objects, table_hash(sections))


def _check_references(table: Table) -> None:
    for name, account in table.accounts.items():
        if account.credential is not None and account.credential not in table.credentials:
            raise TableError(f"accounts/{name}", f"no credential {account.credential!r} in this table")
    for name, endpoint in table.endpoints.items():
        if endpoint.account not in table.accounts:
            raise TableError(f"endpoints/{name}", f"no account {endpoint.account!r} in this table")
    for name, route in table.routes.items():
        for member in route.endpoints:
            if member.endpoint is not None and member.endpoint not in table.endpoints:
                raise TableError(f"routes/{name}", f"no endpoint {member.endpoint!r} in this table")
