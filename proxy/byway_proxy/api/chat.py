"""`POST /chat/completions`: read, admit, choose, carry; and say in OpenRouter's words why not."""

import msgspec
from byway_contract.budget import Budget
from msgspec import Struct

from byway_proxy.admit.admit import Caller
from byway_proxy.api.downgrade import due, lowered, spent
from byway_proxy.api.errors import ApiError
from byway_proxy.api.refusals import from_giving_up, from_nothing
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.carry import GaveUp, carry
from byway_proxy.carry.dialects.openai_answer import Identity
from byway_proxy.carry.dialects.openai_request import BadRequest, ChatRequest, read
from byway_proxy.carry.dialects.openai_stream import Stream
from byway_proxy.carry.heads import Heads
from byway_proxy.carry.job import About, Job, Means
from byway_proxy.carry.outlet import ClientGone
from byway_proxy.carry.planning import Rules
from byway_proxy.carry.relay import DONE
from byway_proxy.choose.choose import Choice, choose
from byway_proxy.choose.explain import explain, explain_nothing
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import PLAIN, TEXT, BadPreference, Wanted, preferences
from byway_proxy.meter.budgets import Bound
from byway_proxy.meter.ids import generation_id
from byway_proxy.meter.log import LogFull

_encode = msgspec.json.Encoder().encode
MOST_IGNORED = 32
"""Words of `X-Byway-Ignored`."""


class Chat:
    def __init__(self, serving: Serving, means: Means) -> None:
        self._serving = serving
        self._means = means

    async def __call__(self, received: Received, reply: Reply) -> None:
        means = self._means
        created = int(means.wall())
        generation = generation_id(created, means.random_bytes(20))
        outcome = "client_cancel"
        try:
            outcome = await self._answered(self._asked(received, generation, created), reply)
        except ApiError as error:
            outcome = str(error.status)
            error.more_headers += b"X-Generation-Id: %s\r\n" % generation.encode()
            raise
        finally:
            means.tally.requests["chat", outcome] += 1

    async def _answered(self, asked: "_Asked", reply: Reply) -> str:
        job = self._job(asked)
        try:
            try:
                return await carry(job, self._means, reply)
            except GaveUp as gave_up:
                instead = self._instead(asked, job, gave_up)
                if instead is None:
                    return _given_up(gave_up, job, reply, self._means.wall())
                job = instead
            return await carry(job, self._means, reply)
        except GaveUp as gave_up:
            return _given_up(gave_up, job, reply, self._means.wall())
        except LogFull as full:
            raise ApiError(
                503, "this proxy cannot write its log, so it sends nothing; try again", retry_after_s=2.0
            ) from full

    def _asked(self, received: Received, generation: str, created: int) -> "_Asked":
        self._serving.current()
        caller = self._serving.caller(received.headers)
        try:
            request = read(received.body)
        except BadRequest as bad:
            raise ApiError(400, bad.message, param=bad.param) from bad
        return _Asked(
            request, _wanted(request, caller), caller, _about(received, request), generation, created,
            received.headers.get("X-Byway-Explain") == "1",
        )  # fmt: skip

    def _job(self, asked: "_Asked") -> Job:
        view, heads = self._serving.current()
        rules = self._serving.rules(asked.caller.namespace)
        choice, lower = self._choose(asked.wanted, view, asked.explaining), None
        if rules.budgets.any_downgrade:
            lower = self._lower(asked, due(_bound(asked, choice, rules), self._means.asking.share), view)
        return _job_of(asked, lower or _Lower(choice), heads, rules)

    def _instead(self, asked: "_Asked", job: Job, gave_up: GaveUp) -> Job | None:
        """The money is spent, as it turned out, and another model may answer. Once."""
        if job.downgraded:
            return None
        view, heads = self._serving.current()
        lower = self._lower(asked, spent(gave_up.failure.denial), view)
        return None if lower is None else _job_of(asked, lower, heads, self._serving.rules(asked.caller.namespace))

    def _lower(self, asked: "_Asked", budget: Budget | None, view: View) -> "_Lower | None":
        """Who serves the model that the budget names. None: nobody does, to this caller."""
        if budget is None or budget.downgrade is None:
            return None
        means, model = self._means, budget.downgrade.model
        try:
            choice = choose(lowered(asked.wanted, model), view, means.health, means.now(), means.dice)
        except Nothing:
            return None
        return _Lower(choice, (f"{model}; budget={budget.id}",))

    def _choose(self, wanted: Wanted, view: View, explaining: bool) -> Choice:
        try:
            return choose(wanted, view, self._means.health, self._means.now(), self._means.dice)
        except Nothing as nothing:
            error = from_nothing(nothing)
            if explaining:
                error.metadata["explain"] = explain_nothing(nothing)
            raise error from nothing


class _Asked(Struct, frozen=True):
    """A request that was read, and may be answered."""

    request: ChatRequest
    wanted: Wanted
    caller: Caller
    about: About
    generation: str
    created: int
    explaining: bool


class _Lower(Struct, frozen=True):
    choice: Choice
    downgraded: tuple[str, ...] = ()
    """To which model, and by which budget; empty where it was not."""


def _job_of(asked: _Asked, lower: _Lower, heads: Heads, rules: Rules) -> Job:
    choice = lower.choice
    headers = b"X-Generation-Id: %s\r\n" % asked.generation.encode()
    if choice.ignored:
        headers += b"X-Byway-Ignored: %s\r\n" % _in_a_header(choice.ignored)
    if lower.downgraded:
        headers += b"X-Byway-Downgraded: %s\r\n" % _in_a_header(lower.downgraded)
    explained = _encode({"explain": explain(choice)}) if asked.explaining else None
    return Job(
        asked.request, asked.caller, choice, heads, rules, asked.generation, asked.created, headers, asked.about,
        explained, bool(lower.downgraded),
    )  # fmt: skip


def _bound(asked: _Asked, choice: Choice, rules: Rules) -> Bound:
    """What binds the first candidate: it is the one that will be paid for."""
    slot, caller = choice.candidates[0].slot, asked.caller
    return rules.budgets.binding(
        caller.namespace, caller.service_account, caller.access_key, caller.user, slot.account_id,
        slot.endpoint.model,
    )  # fmt: skip


def _wanted(request: ChatRequest, caller: Caller) -> Wanted:
    if not request.models:
        raise ApiError(400, "model: missing; GET /v1/models lists what can be called", param="model")
    try:
        wishes = PLAIN
        if request.provider is not None or request.route is not None:
            wishes = preferences(request.provider, request.route)
    except BadPreference as bad:
        raise ApiError(400, str(bad), param=bad.path) from bad
    return Wanted(
        namespace=caller.namespace,
        models=request.models,
        preferences=wishes,
        max_tokens=request.max_tokens or 0,
        prompt_bytes=request.size,
        features=request.features,
        modalities=TEXT if len(request.modalities) == 1 else tuple(sorted(request.modalities)),
        streamed=request.stream,
        allowed_models=caller.allowed_models,
    )


def _in_a_header(words: tuple[str, ...]) -> bytes:
    """A stranger chose these words: nothing of them may end the line, or fill a page."""
    told = ", ".join(words[:MOST_IGNORED])
    return "".join(letter if " " <= letter <= "~" else "?" for letter in told).encode()


def _about(received: Received, request: ChatRequest) -> About:
    get = received.headers.get
    return About(
        user=request.user[:256],
        session=(request.session or get("x-session-id", ""))[:256],
        referer=get("HTTP-Referer", "")[:256],
        title=(get("X-OpenRouter-Title") or get("X-Title") or "")[:128],
        user_agent=get("User-Agent", "")[:128],
    )


def _given_up(gave_up: GaveUp, job: Job, reply: Reply, wall: float) -> str:
    choice = job.choice
    error = from_giving_up(gave_up, job.request.models, job.caller.namespace, wall)
    if choice.ignored:
        error.more_headers += b"X-Byway-Ignored: %s\r\n" % _in_a_header(choice.ignored)
    if job.explained is not None:
        error.metadata["explain"] = explain(choice)
    return _told(error, job, reply)


def _told(error: ApiError, job: Job, reply: Reply) -> str:
    """Nobody answered: with a status if it is still ours to give, else as the last words of the open stream."""
    if not reply.started:
        raise error
    slot = job.choice.candidates[-1].slot
    stream = Stream(Identity(job.generation, job.created, slot.endpoint.model, slot.account.display_name))
    kind = str(error.as_object()["metadata"]["error_type"])
    try:
        explained = stream.extra_event(b'"byway":' + job.explained) if job.explained is not None else b""
        reply.end(explained + stream.error_event(error.status, kind, error.message) + DONE)
    except ClientGone:
        return "client_cancel"
    return str(error.status)
