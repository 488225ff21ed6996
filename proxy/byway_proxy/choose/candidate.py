"""An endpoint being weighed for one request."""

from byway_contract.table import Account, Endpoint, Route, RouteEndpoint
from msgspec import Struct

from byway_proxy.choose.health import Standing
from byway_proxy.choose.target import Slot

WHY = {
    "only": "the only endpoint left of this model",
    "Balanced": "free ones first, then drawn by price",
    "Cost": "cheapest first, as its route says",
    "Latency": "fastest to a first token first, as its route says",
    "Throughput": "most tokens a second first, as its route says",
    "Availability": "fewest failures first, as its route says",
    "Weighted": "drawn by weight, as its route says",
    "order": "in the caller's provider.order",
    "price": "sorted by price, as the caller asked",
    "latency": "sorted by latency, as the caller asked",
    "throughput": "sorted by throughput, as the caller asked",
}
STANDS = {
    Standing.READY: "",
    Standing.SHAKY: "; it failed a moment ago",
    Standing.RESTING: "; it is resting: tried when nothing else is left",
    Standing.FULL: "; it is at its cap or its rate: tried if there is room by then",
}


class Candidate(Struct, frozen=True, eq=False):
    """`group` is the place of its model in the chain. Equal only to itself."""

    slot: Slot
    group: int
    model: str
    """The name in the chain that led here."""
    rule: str
    """What put it in its place, a key of WHY."""
    standing: Standing

    @property
    def endpoint_id(self) -> str:
        return self.slot.endpoint_id

    @property
    def endpoint(self) -> Endpoint:
        return self.slot.endpoint

    @property
    def account_id(self) -> str:
        return self.slot.account_id

    @property
    def account(self) -> Account:
        return self.slot.account

    @property
    def route_id(self) -> str:
        return self.slot.route_id

    @property
    def route(self) -> Route | None:
        return self.slot.route

    @property
    def member(self) -> RouteEndpoint | None:
        return self.slot.member

    @property
    def why(self) -> str:
        return WHY[self.rule] + STANDS[self.standing]
