"""What carrying is given: one request, who asks, and where it may go; and the means of a process to do it."""

from collections.abc import Callable
from dataclasses import dataclass, field

from byway_contract.table import Timeouts
from msgspec import Struct
from msgspec import field as msgspec_field

from byway_proxy.admit.admit import Caller
from byway_proxy.carry.deadlines import Deadlines
from byway_proxy.carry.dialects.openai_request import ChatRequest
from byway_proxy.carry.draining import Draining
from byway_proxy.carry.heads import Heads
from byway_proxy.carry.planning import Rules
from byway_proxy.carry.retries import RetryBudget
from byway_proxy.carry.tally import Tally
from byway_proxy.carry.upstream.client import Client
from byway_proxy.choose.choose import Choice
from byway_proxy.choose.health import Dice, Health
from byway_proxy.meter.asking import Asking
from byway_proxy.meter.meter import Meter
from byway_proxy.meter.witness import Witness


@dataclass(frozen=True)
class Patience:
    """Deadlines where a route says nothing, in seconds."""

    connect_s: float = 3.0
    first_token_s: float = 60.0
    """Streams only: from sending to the first content."""
    idle_s: float = 150.0
    """Between data of an answer that has begun."""
    request_s: float = 900.0
    comment_s: float = 10.0
    """After so long without content a stream is opened all the same, and told to wait."""
    blocked_s: float = 30.0
    """How long a client may not read while we have something for it."""
    tail_s: float = 2.0
    """For a provider to end its connection well after its last word."""

    def under(self, timeouts: Timeouts) -> "Patience":
        """As a route would have it."""
        if timeouts == _SILENT:
            return self
        return Patience(
            connect_s=_seconds(timeouts.connect, self.connect_s),
            first_token_s=_seconds(timeouts.first_token, self.first_token_s),
            idle_s=_seconds(timeouts.idle, self.idle_s),
            request_s=_seconds(timeouts.request, self.request_s),
            comment_s=self.comment_s,
            blocked_s=self.blocked_s,
            tail_s=self.tail_s,
        )


_SILENT = Timeouts()


def _seconds(millis: int | None, default: float) -> float:
    return default if millis is None else millis / 1000


class About(Struct, frozen=True, gc=False):
    """What a request says of its app; recorded, and never decisive."""

    user: str = ""
    session: str = ""
    referer: str = ""
    title: str = ""
    user_agent: str = ""


class Job(Struct, frozen=True):
    request: ChatRequest
    caller: Caller
    choice: Choice
    heads: Heads
    """Of the table that the choice was made from, as are"""
    rules: Rules
    """what has to be set aside."""
    generation: str
    created: int
    headers: bytes
    """Header lines of our answer beside the content type."""
    about: About = About()
    explained: bytes | None = None
    """JSON of why it goes where it goes, for a caller who asked."""
    downgraded: bool = False
    """A budget had another model answer than the caller asked for."""
    counted: set[str] = msgspec_field(default_factory=set)
    """Limits of a minute that it has been counted for."""


@dataclass(frozen=True)
class Means:
    client: Client
    deadlines: Deadlines
    health: Health
    meter: Meter
    asking: Asking
    witness: Witness
    retries: RetryBudget
    tally: Tally
    dice: Dice
    now: Callable[[], float]
    """Monotonic seconds: the loop's."""
    wall: Callable[[], float]
    """Seconds since 1970."""
    random_bytes: Callable[[int], bytes]
    draining: Draining
    patience: Patience = field(default_factory=Patience)
    answer_bytes: int = 64 * 1024 * 1024
    """The longest whole answer that is held."""
