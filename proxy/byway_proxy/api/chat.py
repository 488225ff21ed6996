"""`POST /chat/completions`: read, admit, choose, carry; and say in OpenRouter's words why not."""

import msgspec

from byway_proxy.admit.admit import Caller
from byway_proxy.api.errors import ApiError
from byway_proxy.api.refusals import from_giving_up, from_nothing
from byway_proxy.api.reply import Reply
from byway_proxy.api.server import Received
from byway_proxy.api.serving import Serving
from byway_proxy.carry.carry import GaveUp, carry
from byway_proxy.carry.dialects.openai_answer import Identity
from byway_proxy.carry.dialects.openai_request import BadRequest, ChatRequest, read
from byway_proxy.carry.dialects.openai_stream import Stream
from byway_proxy.carry.job import About, Job, Means
from byway_proxy.carry.outlet import ClientGone
from byway_proxy.carry.relay import DONE
from byway_proxy.choose.choose import Choice, choose
from byway_proxy.choose.explain import explain, explain_nothing
from byway_proxy.choose.nothing import Nothing
from byway_proxy.choose.view import View
from byway_proxy.choose.wanted import PLAIN, TEXT, BadPreference, Wanted, preferences
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
            job = self._job(received, generation, created)
            try:
                outcome = await carry(job, means, reply)
            except GaveUp as gave_up:
                outcome = _given_up(gave_up, job, reply)
            except LogFull as full:
                raise ApiError(
                    503, "this proxy cannot write its log, so it sends nothing; try again", retry_after_s=2.0
                ) from full
        except ApiError as error:
            outcome = str(error.status)
            error.more_headers += b"X-Generation-Id: %s\r\n" % generation.encode()
            raise
        finally:
            means.tally.requests["chat", outcome] += 1

    def _job(self, received: Received, generation: str, created: int) -> Job:
        view, heads = self._serving.current()
        caller = self._serving.caller(received.headers)
        try:
            request = read(received.body)
        except BadRequest as bad:
            raise ApiError(400, bad.message, param=bad.param) from bad
        explaining = received.headers.get("X-Byway-Explain") == "1"
        choice = self._choose(_wanted(request, caller), view, explaining)
        headers = b"X-Generation-Id: %s\r\n" % generation.encode()
        if choice.ignored:
            headers += b"X-Byway-Ignored: %s\r\n" % _in_a_header(choice.ignored)
        explained = _encode({"explain": explain(choice)}) if explaining else None
        return Job(
            request, caller, choice, heads, self._serving.rules(caller.namespace), generation, created, headers,
            _about(received, request), explained,
        )  # fmt: skip

    def _choose(self, wanted: Wanted, view: View, explaining: bool) -> Choice:
        try:
            return choose(wanted, view, self._means.health, self._means.now(), self._means.dice)
        except Nothing as nothing:
            error = from_nothing(nothing)
            if explaining:
                error.metadata["explain"] = explain_nothing(nothing)
            raise error from nothing


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


def _given_up(gave_up: GaveUp, job: Job, reply: Reply) -> str:
    choice = job.choice
    error = from_giving_up(gave_up, job.request.models, job.caller.namespace)
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
