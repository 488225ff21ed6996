"""What an attempt has to set aside before it may be sent. Pure: see `holding` for doing it.

The bound is hard, so that a limit is: a token for each byte that is sent, and as many tokens of answers as the
request, its route or the endpoint allow. Where none of them says, a number is put into the request.
"""

from byway_contract.table import Endpoint
from msgspec import Struct

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
    if not bound.lines:
        return FREELY if bound is UNBOUND else Plan(bound)
    denial = _unpriced(bound, slot)
    if denial is not None:
        return Plan(bound, denial=denial)
    return _claimed(rules, request, slot, bound, of_route, first)


def _claimed(
    rules: Rules, request: ChatRequest, slot: Slot, bound: Bound, of_route: Fields | None, first: bool
) -> Plan:
    endpoint = slot.endpoint
    size = request.size + (sum(map(len, of_route.values())) if of_route is not None else 0)
    follows = _follows(bound, request, endpoint)
    said = _at_most(longest_answer(request, of_route), endpoint.max_output_tokens)
    # An answer that is followed need not be bounded before.
    told = None if said is not None or follows else rules.default_output
    most = (said or told or MOST_TOKENS) * answers(request)
    held = min(FIRST_PIECE, most) if follows else most
    worst = Worst(_prompt(request, size, endpoint), held, slot.price, endpoint.list_price)
    claims = tuple(Claim(line, worst.of(line.unit, line.budget.dearest, first)) for line in bound.lines)
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


def _unpriced(bound: Bound, slot: Slot) -> Denial | None:
    if slot.price is not None or bound.money is None:
        return None
    for line in bound.lines:
        if line.unit == "nanodollars" and not (line.budget.dearest and slot.endpoint.list_price is not None):
            return Denial("unpriced", line.budget, line, endpoint=slot.endpoint_id)
    return None
