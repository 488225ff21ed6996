"""What an attempt has to set aside before it may be sent. Pure: see `holding` for doing it.

The bound is hard, so that a limit is: a token for each byte that is sent, and as many tokens of answers as the
request, its route or the endpoint allow. Where none of them says, a number is put into the request.
"""

from byway_contract.table import Endpoint, Fees
from msgspec import Struct
from msgspec.structs import replace

from byway_proxy.admit.caller import Caller
from byway_proxy.carry.dialects.openai_request import MOST_TOKENS, ChatRequest, Fields, answers, longest_answer
from byway_proxy.choose.target import Slot
from byway_proxy.choose.wanted import TEXT
from byway_proxy.meter.budgets import UNBOUND, Bound, Budgets, Worst, prompt_bound
from byway_proxy.meter.denial import Denial
from byway_proxy.meter.held import Claim

# What is set aside at first where a budget would rather follow the answer than hold all of it.
FIRST_PIECE = 1024


class Rules(Struct, frozen=True):
    """Of the table that a request is carried by."""

    budgets: Budgets
    must_be_budgeted: bool = False
    """The floor of the caller's namespace demands a budget in dollars."""
    default_output: int = 4096
    """Tokens of an answer where nothing else bounds it."""
    fees: Fees = Fees()

    def fee_ppm(self, byok: bool) -> int:
        return self.fees.byok_ppm if byok else self.fees.platform_ppm


class Plan(Struct, frozen=True):
    bound: Bound = UNBOUND
    claims: tuple[Claim, ...] = ()
    worst: Worst = Worst(0, 0)
    most_output: int | None = None
    """To be said to the provider, which has been told no other bound."""
    denial: Denial | None = None
    """There is no need to ask: it may not be sent."""
    most: int = 0
    """Tokens of its answers together."""
    follows: bool = False
    """More than `worst` is set aside as the answer grows, up to `most`; else that is all."""
    allowance: Claim | None = None
    """With this the fee is waived; without, it is sent all the same."""

    @property
    def waived(self) -> "Plan":
        """Its own provider key pays, and no fee is asked: then nothing is taken from credits."""
        claims = (replace(one, need=0) if one.line.budget.purpose == "credits" else one for one in self.claims)
        return replace(self, claims=tuple(claims))


FREELY = Plan()
"""Nothing binds it."""


def plan(
    rules: Rules, request: ChatRequest, caller: Caller, slot: Slot, of_route: Fields | None, *, first: bool
) -> Plan:
    """`first`: it is the request's first attempt. `of_route`: what a route says before the caller."""
    bound = rules.budgets.binding(
        caller.namespace, caller.service_account, caller.access_key, caller.user, slot.account_id,
        slot.endpoint.model,
    )  # fmt: skip
    if rules.must_be_budgeted and bound.money is None:
        return Plan(bound, denial=Denial("unbudgeted", endpoint=slot.endpoint_id))
    if bound is UNBOUND:
        return FREELY
    byok = slot.account.namespace == caller.namespace
    ppm, line = rules.fee_ppm(byok), bound.allowance
    allowance = Claim(line, 1) if line is not None and byok and ppm else None
    if not bound.lines:
        return Plan(bound, allowance=allowance)
    denial = _unpriced(bound, slot, byok)
    if denial is not None:
        return Plan(bound, denial=denial)
    worst = Worst(0, 0, slot.price, slot.endpoint.list_price, byok, ppm)
    return replace(_claimed(rules, request, slot, bound, of_route, worst, first), allowance=allowance)


def _claimed(
    rules: Rules,
    request: ChatRequest,
    slot: Slot,
    bound: Bound,
    of_route: Fields | None,
    worst: Worst,
    first: bool,
) -> Plan:
    """`worst`: but for its tokens."""
    endpoint = slot.endpoint
    size = request.size + (sum(map(len, of_route.values())) if of_route is not None else 0)
    follows = _follows(bound, request, endpoint)
    said = _at_most(longest_answer(request, of_route), endpoint.max_output_tokens)
    # An answer that is followed need not be bounded before.
    told = None if said is not None or follows else rules.default_output
    most = (said or told or MOST_TOKENS) * answers(request)
    held = min(FIRST_PIECE, most) if follows else most
    worst = replace(worst, prompt=_prompt(request, size, endpoint), completion=held)
    claims = tuple(
        Claim(line, worst.of(line.unit, line.budget.dearest, first, line.budget.purpose)) for line in bound.lines
    )
    return Plan(bound, claims, worst, told, most=most, follows=follows)


def _follows(bound: Bound, request: ChatRequest, endpoint: Endpoint) -> bool:
    """Whether the answer can be followed as it grows. Thoughts that nobody sees cannot, known ones or not."""
    features = endpoint.features
    return bound.metered and request.stream and features is not None and "reasoning" not in features


def _at_most(said: int | None, able: int | None) -> int | None:
    return min((most for most in (said, able) if most is not None), default=None)


def _prompt(request: ChatRequest, size: int, endpoint: Endpoint) -> int:
    return prompt_bound(
        size,
        tools="tools" in request.features,
        only_text=len(request.modalities) == len(TEXT),
        context=endpoint.context_length if endpoint.vouched else None,
    )


def _unpriced(bound: Bound, slot: Slot, byok: bool) -> Denial | None:
    if slot.price is not None:
        return None
    for line in bound.lines:
        known = line.budget.dearest and slot.endpoint.list_price is not None
        unasked = byok and line.budget.purpose == "credits"
        if line.unit == "nanodollars" and not known and not unasked:
            return Denial("unpriced", line.budget, line, endpoint=slot.endpoint_id)
    return None
