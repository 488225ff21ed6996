"""Which table is live. Requests in flight finish on the one they began with."""

from byway_contract.table import Table

from byway_proxy.api.errors import ApiError
from byway_proxy.carry.heads import Heads
from byway_proxy.choose.view import View


class Serving:
    def __init__(self) -> None:
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

    def swap(self, table: Table) -> None:
        """Raises TableError, and then the old one stays."""
        self._live = View(table), Heads(table)

    def current(self) -> tuple[View, Heads]:
        """Raises ApiError 503 while there is none."""
        if self._live is None:
            raise ApiError(503, "this proxy has no table yet; try again shortly", retry_after_s=1.0)
        return self._live
