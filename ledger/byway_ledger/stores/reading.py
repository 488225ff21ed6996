"""What the books are asked: sums, and the attempts of a request."""

from collections.abc import Iterable, Mapping

from byway_contract.activity import Attempt, By, Sum, Sums
from byway_contract.money import dollars

from byway_ledger.stores import schema
from byway_ledger.stores.rows import attempt_of
from byway_ledger.stores.script import Read, Row, Script
from byway_ledger.stores.store import Question

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
    "request": "request",
}
SQLITE_BY: Mapping[By, str] = {**BY, "day": "strftime('%Y-%m-%d', at, 'unixepoch')"}
POSTGRES_BY: Mapping[By, str] = {**BY, "day": "to_char(to_timestamp(at) AT TIME ZONE 'UTC', 'YYYY-MM-DD')"}


def sums(question: Question, by: Mapping[By, str]) -> Script[Sums]:
    keys = ", ".join(by[name] for name in question.by)
    rows = yield Read(
        f"SELECT {keys}, COUNT(DISTINCT request), COUNT(*), SUM(CASE WHEN ended IS NULL THEN 1 ELSE 0 END),"
        " SUM(prompt), SUM(completion), SUM(cached), SUM(cache_write), SUM(reasoning), COALESCE(SUM(cost), 0),"
        " SUM(billed) FROM attempt WHERE at >= ? AND at < ? "
        f"GROUP BY {keys} ORDER BY COALESCE(SUM(cost), 0) DESC, {keys} LIMIT ?",
        (question.since, question.until, question.limit + 1),
    )
    return Sums(list(_summed(question.by, rows[: question.limit])), more=len(rows) > question.limit)


def _summed(by: tuple[By, ...], rows: Iterable[Row]) -> Iterable[Sum]:
    for row in rows:
        key, numbers = row[: len(by)], (int(value or 0) for value in row[len(by) :])
        requests, attempts, still_open, prompt, completion, cached, cache_write, reasoning, cost, billed = numbers
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
        )


def attempts(request: str) -> Script[list[Attempt]]:
    rows = yield Read(
        f"SELECT {', '.join((*schema.INTENT, *schema.SETTLE))} FROM attempt WHERE request = ?"
        " ORDER BY attempt_no, attempt LIMIT ?",
        (request, MOST_ATTEMPTS),
    )
    return [attempt_of(row) for row in rows]


def alive() -> Script[None]:
    yield Read("SELECT 1")
