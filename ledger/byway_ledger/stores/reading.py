"""What the books are asked: sums of attempts and of what became of older ones, and the attempts of a request."""

from collections.abc import Iterable, Mapping

from byway_contract.activity import Attempt, By, Sum, Sums
from byway_contract.money import dollars

from byway_ledger.focus import Daily
from byway_ledger.stores import schema
from byway_ledger.stores.rows import attempt_of
from byway_ledger.stores.script import Read, Row, Script, Value
from byway_ledger.stores.store import Question
from byway_ledger.stores.summing import KIND, both

MOST_ATTEMPTS = 1000

BY: Mapping[By, str] = {
    "route": "route",
    "namespace": "namespace",
    "service_account": "service_account",
    "access_key": "access_key",
    "user": "user_id",
    "model": "model",
    "provider": "provider",
    "account": "account",
    "endpoint": "endpoint",
    "byok": "byok",
    "request": "request",
}
SQLITE_BY: Mapping[By, str] = {**BY, "day": "strftime('%Y-%m-%d', at, 'unixepoch')"}
POSTGRES_BY: Mapping[By, str] = {**BY, "day": "to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"}

_SUMMED = (
    "requests", "attempts", "still_open", "prompt", "completion", "cached", "cache_write", "reasoning", "cost",
    "billed", "answered", "fee", "charge",
)  # fmt: skip
_DAILY = ("requests", "attempts", "prompt", "completion", "cached", "reasoning", "cost", "billed")
_PARTS = tuple(name for name in _SUMMED if name != "still_open")
_TOTALS = ", ".join(f"SUM({name})" for name in _SUMMED)


def sums(question: Question, by: Mapping[By, str]) -> Script[Sums]:
    names = [f"key{number}" for number in range(len(question.by))]
    columns = [f"{by[one]} AS {name}" for one, name in zip(question.by, names, strict=True)]
    where, values = _where(question, by)
    if "request" in question.by or any(name == "request" for name, _ in question.only):
        # Rollups know no requests.
        within = both(columns, _PARTS, where).partition(" UNION ALL ")[0]
    else:
        within, values = both(columns, _PARTS, where), values * 2
    keys = ", ".join(names)
    rows = yield Read(
        f"SELECT {keys}, {_TOTALS} FROM ({within}) AS found GROUP BY {keys}"
        f" ORDER BY SUM(cost) DESC, {keys} LIMIT ?",
        (*values, question.limit + 1),
    )
    return Sums(list(_summed(question.by, rows[: question.limit])), more=len(rows) > question.limit)


def _where(question: Question, by: Mapping[By, str]) -> tuple[str, tuple[Value, ...]]:
    only = [(by[name], int(value == "1") if name == "byok" else value) for name, value in question.only]
    said = " AND ".join(("at >= ?", "at < ?", *(f"{column} = ?" for column, _ in only)))
    return said, (question.since, question.until, *(value for _, value in only))


def _summed(by: tuple[By, ...], rows: Iterable[Row]) -> Iterable[Sum]:
    for row in rows:
        key, numbers = row[: len(by)], (int(value or 0) for value in row[len(by) :])
        requests, attempts, still_open, prompt, completion, cached, cache_write, reasoning, *money = numbers
        cost, billed, answered, fee, charge = money
        yield Sum(
            key=dict(zip(by, map(str, key), strict=True)),
            requests=requests,
            attempts=attempts,
            open=still_open,
            prompt_tokens=prompt,
            completion_tokens=completion,
            cached_tokens=cached,
            cache_write_tokens=cache_write,
            reasoning_tokens=reasoning,
            cost=dollars(cost),
            billed=dollars(billed),
            absorbed=dollars(cost - billed),
            cost_nanodollars=cost,
            billed_nanodollars=billed,
            absorbed_nanodollars=cost - billed,
            answered=answered,
            fee_nanodollars=fee,
            charge_nanodollars=charge,
        )


def daily(since: float, until: float, after: Daily | None, limit: int, by: Mapping[By, str]) -> Script[list[Daily]]:
    """In the order of `Daily.day` and `Daily.kind`."""
    keys = ", ".join(("day", *KIND))
    beyond = "" if after is None else f" WHERE ({keys}) > ({', '.join('?' * (1 + len(KIND)))})"
    within = both((f"{by['day']} AS day", *KIND), _DAILY, "at >= ? AND at < ?")
    rows = yield Read(
        f"SELECT {keys}, {', '.join(f'SUM({name})' for name in _DAILY)} FROM ({within}) AS found{beyond}"
        f" GROUP BY {keys} ORDER BY {keys} LIMIT ?",
        (since, until, since, until, *(() if after is None else (after.day, *after.kind)), limit),
    )
    return [_daily_of(row) for row in rows]


def _daily_of(row: Row) -> Daily:
    day, namespace, service_account, access_key, user, route, model, provider, account, endpoint = map(
        str, row[:10]
    )
    byok, *amounts = (int(value or 0) for value in row[10:])
    return Daily(
        day, namespace, service_account, access_key, user, route, model, provider, account, endpoint, byok, *amounts
    )


def span() -> Script[tuple[float, float] | None]:
    """When the first and the last attempt began that the books know of; of a rollup, its day."""
    ((first, last),) = yield Read("SELECT MIN(at), MAX(at) FROM attempt")
    ((oldest, newest),) = yield Read("SELECT MIN(at), MAX(at) FROM rollup")
    known = [float(one) for one in (first, last, oldest, newest) if one is not None]
    return (min(known), max(known)) if known else None


def attempts(request: str, namespace: str | None) -> Script[list[Attempt]]:
    of_namespace = "" if namespace is None else " AND namespace = ?"
    rows = yield Read(
        f"SELECT {', '.join((*schema.INTENT, *schema.SETTLE))} FROM attempt WHERE request = ?{of_namespace}"
        " ORDER BY attempt_no, attempt LIMIT ?",
        (request, *(() if namespace is None else (namespace,)), MOST_ATTEMPTS),
    )
    return [attempt_of(row) for row in rows]


def alive() -> Script[None]:
    yield Read("SELECT 1")
