"""Money, tokens and requests set aside: what the operator limits, and what a proxy may spend of it.

    operator  PUT  /v1/limits         Limits        → Limited | Stale
    operator  POST /v1/close-source   Closing       → Closed
    operator  GET  /v1/counters                     → Counters
    proxy     POST /v1/grants         Ask           → Grants | Fenced
    proxy     POST /v1/hello          Hello         → Welcome | Fenced | Gap

A *grant* is a slice of a limit that is counted as spent from the moment it is given. A proxy puts its holds inside
its grants and says in its log what each attempt drew from which grant (`legs` of a SETTLE; also where it is 0, for
that is how the ledger knows that a limit was asked). What it does not need it gives back with a RELEASE record, so
that giving back is booked exactly once like everything else. A grant's `use_for_s` ends new holds, never the grant:
what was not given back stays counted until its log says what became of it (`Hello`), or somebody who knows declares
the log lost (`Closing`).

Amounts are whole: nanodollars, tokens or requests.
"""

from typing import Annotated, Literal, Protocol

import msgspec
from msgspec import Meta

from byway_contract.globs import allows
from byway_contract.money import MOST
from byway_contract.periods import Period
from byway_contract.records import CLOSED_EPOCH, Amount, Id, Intent, Settle

LIMITS_PATH = "/v1/limits"
GRANTS_PATH = "/v1/grants"
HELLO_PATH = "/v1/hello"
CLOSE_PATH = "/v1/close-source"
COUNTERS_PATH = "/v1/counters"

MOST_LIMITS = 20_000
MOST_WANTS = 100

Unit = Literal["nanodollars", "tokens", "requests"]
Per = Literal["Namespace", "ServiceAccount", "AccessKey", "User", "Caller"]
"""`Caller`: the access key, or else the service account, or else the namespace."""
Purpose = Literal["limit", "credits", "allowance", "free"]
"""`credits`: what a namespace bought, counting what it owes the platform. `allowance`: runs on callers' own
provider keys that are free of a fee; it refuses nobody. `free`: requests to models that cost nothing."""
Positive = Annotated[int, Meta(ge=1, le=2**63 - 1)]
Count = Annotated[int, Meta(ge=1, lt=CLOSED_EPOCH)]


class Who(Protocol):
    """What decides which limits an attempt fits: an INTENT says it, and so does whoever is about to write one."""

    @property
    def namespace(self) -> str: ...
    @property
    def service_account(self) -> str: ...
    @property
    def access_key(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def model(self) -> str: ...


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which attempts count: AND across the fields, OR within one; an empty field says nothing."""

    namespaces: tuple[str, ...] = ()
    service_accounts: tuple[str, ...] = ()
    """`namespace/name`, as are access keys and accounts."""
    access_keys: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    """Proven ones."""
    accounts: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    """Globs."""

    def fits(self, intent: Who) -> bool:
        return (
            (not self.namespaces or intent.namespace in self.namespaces)
            and (not self.service_accounts or service_account_of(intent) in self.service_accounts)
            and (not self.access_keys or access_key_of(intent) in self.access_keys)
            and (not self.users or intent.user_id in self.users)
            and (not self.accounts or intent.account in self.accounts)
            and allows(self.models)(intent.model)
        )


class TopUp(msgspec.Struct, frozen=True, omit_defaults=True):
    """Raises a limit for a while."""

    amount: Positive
    until: float
    """Seconds since 1970, by the ledger's clock."""
    subject: str | None = None
    """Whose counter it raises; None: every one of the limit."""


class Limit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of a budget's `limits`, in one unit."""

    budget: Id
    """`namespace/name`."""
    period: Period
    unit: Unit
    amount: Amount
    time_zone: str = "UTC"
    per: Per | None = None
    """A counter each; without, one for all."""
    match: Match = Match()
    top_ups: tuple[TopUp, ...] = ()
    dearest: bool = False
    """Of money: counts `reckoned` of a SETTLE where that is more than `billed`."""
    purpose: Purpose = "limit"
    fee_ppm: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Of credits: what buying them costs on top, in millionths,"""
    fee_minimum: Amount = 0
    """and at least."""

    @property
    def id(self) -> str:
        return f"{self.budget}/{self.period}/{self.unit}"

    def subject(self, intent: Who) -> str:
        """Whose counter an attempt is counted on."""
        return subject(self.per, intent)

    def counts(self, intent: Intent, settle: Settle) -> int:
        return weight(self.unit, self.dearest, intent, settle, self.purpose)

    def worth(self, subject: str, now: float) -> int:
        """What it amounts to for a subject, with the top-ups of the moment."""
        more = sum(up.amount for up in self.top_ups if now < up.until and up.subject in (None, subject))
        return min(self.amount + more, MOST)

    def same_counters(self, other: "Limit") -> bool:
        """Whether both count the same attempts on the same counters; the amount may differ."""
        return (self.id, self.time_zone, self.per, self.match, self.dearest, self.purpose) == (
            other.id, other.time_zone, other.per, other.match, other.dearest, other.purpose,
        )  # fmt: skip


def subject(per: Per | None, who: Who) -> str:
    match per:
        case "Namespace":
            return who.namespace
        case "ServiceAccount":
            return service_account_of(who)
        case "AccessKey":
            return access_key_of(who)
        case "User":
            return who.user_id
        case "Caller":
            return access_key_of(who) or service_account_of(who) or who.namespace
    return ""


def weight(unit: Unit, dearest: bool, intent: Intent, settle: Settle, purpose: Purpose = "limit") -> int:
    """What an attempt that ended weighs in a limit of this unit, as the caller pays for it.

    A failed attempt costs the caller nothing. A request is counted with its first attempt.
    """
    if purpose == "credits":
        return charge(intent, settle)
    if purpose == "allowance":
        return int(intent.byok and settle.outcome in ANSWERED)
    match unit:
        case "nanodollars":
            return max(settle.billed, settle.reckoned) if dearest else settle.billed
        case "tokens":
            return 0 if settle.outcome == "failed" else settle.usage.prompt + settle.usage.completion
        case "requests":
            return int(intent.attempt_no == 1)


ANSWERED = ("ok", "client_cancel", "upstream_cut")


def charge(intent: Intent, settle: Settle) -> int:
    """What the caller owes the platform: nothing for a run that its own provider key paid, but for the fee."""
    return min(MOST, (0 if intent.byok else settle.billed) + settle.fee)


class Limits(msgspec.Struct, frozen=True):
    """All there are; a limit that is not among them is no longer one. Nothing ever forgets what was spent."""

    term: Annotated[int, Meta(ge=0, le=2**62)]
    generation: Annotated[int, Meta(ge=0, le=2**62)]
    """Counts within the term; older than what the ledger has, they are refused."""
    hash: Id
    limits: Annotated[tuple[Limit, ...], Meta(max_length=MOST_LIMITS)]


class Limited(msgspec.Struct, frozen=True):
    """These are in force, on the disk."""

    term: int
    generation: int
    hash: str
    opened: int = 0
    """Limits that began to count, each from what its window had booked already."""


class Stale(msgspec.Struct, frozen=True):
    """409: newer limits are in force."""

    term: int
    generation: int
    stale: bool = True


class Want(msgspec.Struct, frozen=True, omit_defaults=True):
    limit: Id
    """Its `id`."""
    need: Positive
    """Less is of no use: what a waiting request holds at worst."""
    want: Amount = 0
    """What would last for a while."""
    subject: str = ""


class Ask(msgspec.Struct, frozen=True, omit_defaults=True):
    """Repeat it until it is answered, under the same number: it is obeyed once.

    An ask that nobody waits for any more is repeated all the same, or its grants lie idle until the next `Hello`.
    """

    source: Id
    epoch: Count
    ask: Count
    """Counts in the epoch, from 1. Several may be under way."""
    done: Annotated[int, Meta(ge=0)] = 0
    """All up to and including this one have been answered."""
    wants: Annotated[tuple[Want, ...], Meta(max_length=MOST_WANTS)] = ()
    renew: Annotated[tuple[str, ...], Meta(max_length=1000)] = ()
    """Grants that are still of use."""


class Granted(msgspec.Struct, frozen=True, omit_defaults=True):
    grant: str
    limit: str
    amount: int
    use_for_s: float
    """No new hold later than this after the ask was *sent*, by a monotonic clock. Settling has no such end."""
    start: int
    """Of the window it is counted in, whatever the time is when it is spent."""
    low_water: int = 0
    """With less than this left, ask for more. 0: near the end each request asks for itself."""
    subject: str = ""
    limited: int = 0
    """What the limit amounts to now, with its top-ups,"""
    used: int = 0
    """and what of it is spent, set aside or stranded, this grant included: what a downgrade goes by."""


class Denied(msgspec.Struct, frozen=True, omit_defaults=True):
    """`spent`: nothing is left; `too_much`: less than `need` is; `unknown`: no such limit here (yet)."""

    limit: str
    reason: Literal["spent", "too_much", "unknown"]
    subject: str = ""
    left: int = 0
    """What could be asked for now."""
    returning: int = 0
    """What others hold in grants, now recalled: worth a second ask before anybody is refused."""
    amount: int = 0
    spent: int = 0
    resets_at: int | None = None


class Renewed(msgspec.Struct, frozen=True):
    grant: str
    use_for_s: float
    """0: its window or its limit has ended; hold nothing more in it, and give the rest back."""


class Grants(msgspec.Struct, frozen=True, omit_defaults=True):
    ask: int
    given: tuple[Granted, ...] = ()
    denied: tuple[Denied, ...] = ()
    renewed: tuple[Renewed, ...] = ()
    recall: tuple[str, ...] = ()
    """Give back what no open hold needs of these; somebody else needs it."""


class Answered(msgspec.Struct, frozen=True):
    """409: this ask was said to be answered; it does nothing any more."""

    ask: int
    answered: bool = True


class Hello(msgspec.Struct, frozen=True):
    """A log was opened anew, and everything older than this opening is settled in it and booked up to `seq`."""

    source: Id
    epoch: Count
    seq: Annotated[int, Meta(ge=0, le=2**62)]
    unsure: bool = False
    """The machine lost its power meanwhile, and with it perhaps the last records: what its grants still held may
    have been spent, so it is charged."""


class Welcome(msgspec.Struct, frozen=True):
    """Older openings are fenced, and what their grants still held is back in its limits."""

    epoch: int
    released: int = 0
    """Grants, or"""
    stranded: int = 0
    """what of them was charged."""


class Closing(msgspec.Struct, frozen=True):
    """A log is lost with its disk: whoever sends this has made sure of it."""

    source: Id
    why: Annotated[str, Meta(max_length=500)] = ""


class Unaccounted(msgspec.Struct, frozen=True):
    """What a lost log held in a limit: charged, for nobody can say any more what was spent of it."""

    source: str
    limit: str
    subject: str
    start: int
    amount: int
    at: float
    why: str


class Closed(msgspec.Struct, frozen=True):
    unaccounted: tuple[Unaccounted, ...] = ()


class Counter(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a limit stands in one window, for one subject."""

    limit: str
    subject: str
    start: int
    end: int | None
    amount: int | None
    """With its top-ups; None: the limit is gone, but not what was counted."""
    spent: int = 0
    reserved: int = 0
    """In grants."""
    stranded: int = 0
    """Unaccounted."""
    metered: int = 0
    """Attempts that drew from a grant."""
    unmetered: int = 0
    """Attempts that fit the limit and drew from none: counted all the same, once they were booked."""
    overrun: int = 0
    """What attempts cost beyond their holds."""


class Counters(msgspec.Struct, frozen=True):
    counters: list[Counter]
    hash: str
    """Of the limits in force."""
    more: bool = False


def service_account_of(intent: Who) -> str:
    return f"{intent.namespace}/{intent.service_account}" if intent.service_account else ""


def access_key_of(intent: Who) -> str:
    return f"{intent.namespace}/{intent.access_key}" if intent.access_key else ""
