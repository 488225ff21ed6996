"""Which table is live. Requests in flight finish on the one they began with."""

import time
from collections.abc import Callable, Mapping

from byway_contract.table import Table

from byway_proxy.admit.admit import Admission, Caller
from byway_proxy.api.callers import caller_of
from byway_proxy.api.errors import ApiError
from byway_proxy.carry.heads import Heads
from byway_proxy.carry.planning import Rules
from byway_proxy.choose.view import View
from byway_proxy.meter.budgets import Budgets


class Serving:
    def __init__(self, wall: Callable[[], float] = time.time, default_output: int = 4096) -> None:
        """`default_output`: tokens that an answer may have where nobody says, and a budget wants to know."""
        self._wall, self._default_output = wall, default_output
        self._admission = Admission()
        self._live: tuple[View, Heads] | None = None

    @property
    def ready(self) -> bool:
        """Has a table; connected or not."""
        return self._live is not None

    @property
    def table(self) -> Table | None:
        return self._live[0].table if self._live is not None else None

    @property
    def hash(self) -> str | None:
        return self._live[0].table.hash if self._live is not None else None

    @property
    def verifications(self) -> Mapping[str, int]:
        """Of callers' tokens, by their outcome, since the process started."""
        return self._admission.verifications

    def last_used(self) -> dict[str, float]:
        """Access keys, by `namespace/name/key`, and when each last let somebody in, in seconds since 1970."""
        return self._admission.last_used()

    def swap(self, table: Table) -> None:
        """Raises TableError, and then the old one stays."""
        self._live = View(table), Heads(table)
        budgets = Budgets(table.budgets.values())
        self._rules = tuple(
            Rules(budgets, demanded, self._default_output, table.fees) for demanded in (False, True)
        )
        self._admission.obey(table)

    def current(self) -> tuple[View, Heads]:
        """Raises ApiError 503 while there is none."""
        if self._live is None:
            raise ApiError(503, "this proxy has no table yet; try again shortly", retry_after_s=1.0)
        return self._live

    def rules(self, namespace: str) -> Rules:
        """What callers of a namespace are bound by. Once there is a table."""
        view, _ = self.current()
        floor = view.floor(namespace)
        return self._rules[floor is not None and floor.require_budget]

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Whoever sent a request with these headers. Raises ApiError 401."""
        return caller_of(headers, self._admission, self._wall())
