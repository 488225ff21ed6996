"""What an attempt has to set aside before it may be sent. Pure: see `holding` for doing it.

The bound is hard, so that a limit is: a token for each byte that is sent, and as many tokens of answers as the
request, its route or the endpoint allow. Where none of them says, a number is put into the request.
"""

from byway_contract.table import Endpoint
from msgspec import Struct

from byway_proxy.admit.caller import Caller
from byway_proxy.carry.dialects.openai_request import ChatRequest, Fields, answers, longest_answer
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
    piece: int = 0
    """Tokens of the answer that are set aside at first, where more is to follow; 0: all are."""


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
    most = _at_most(longest_answer(request, of_route), endpoint.max_output_tokens)
    told = None if most is not None else rules.default_output
    most = rules.default_output if most is None else most
    count, prompt = answers(request), _prompt(request, size, endpoint)
    whole = Worst(prompt, most * count, slot.price, endpoint.list_price)
    piece = FIRST_PIECE if _follows(bound, request, endpoint) and most > FIRST_PIECE else 0
    held = Worst(prompt, piece * count, slot.price, endpoint.list_price) if piece else whole
    claims = tuple(Claim(line, held.of(line.unit, line.budget.dearest, first)) for line in bound.lines)
    return Plan(bound, claims, held, told, piece=piece)


def _follows(bound: Bound, request: ChatRequest, endpoint: Endpoint) -> bool:
    """Whether the answer can be followed as it grows. Thoughts that nobody sees cannot."""
    return bound.metered and request.stream and "reasoning" not in (endpoint.features or ("reasoning",))


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
