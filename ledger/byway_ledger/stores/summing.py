"""What of attempts is added up, and both tables that hold them as one: see `rollups`."""

from collections.abc import Mapping, Sequence

KIND = (
    "namespace", "service_account", "access_key", "user_id", "route", "model", "provider", "account", "endpoint",
    "byok",
)  # fmt: skip
"""By which a day's attempts are told apart in a rollup."""

SUMS: Mapping[str, str] = {
    "requests": "CASE WHEN attempt_no = 1 THEN 1 ELSE 0 END",
    "attempts": "1",
    "answered": "CASE WHEN outcome IN ('ok', 'client_cancel', 'upstream_cut') THEN 1 ELSE 0 END",
    "prompt": "COALESCE(prompt, 0)",
    "completion": "COALESCE(completion, 0)",
    "cached": "COALESCE(cached, 0)",
    "cache_write": "COALESCE(cache_write, 0)",
    "reasoning": "COALESCE(reasoning, 0)",
    "cost": "COALESCE(cost, 0)",
    "billed": "COALESCE(billed, 0)",
    "fee": "COALESCE(fee, 0)",
    # As limits count:
    "tokens": "CASE WHEN outcome IS NULL OR outcome = 'failed' THEN 0 ELSE prompt + completion END",
    "dearest": "COALESCE(CASE WHEN reckoned > billed THEN reckoned ELSE billed END, 0)",
    "charge": "COALESCE(fee + CASE WHEN byok = 1 THEN 0 ELSE billed END, 0)",
}
"""A rollup's column, and what an attempt adds to it."""


def both(columns: Sequence[str], sums: Sequence[str], where: str, of_attempts: str = "") -> str:
    """A query of these columns and of what there is to add up, a row for each attempt or rollup.

    `where` is said of both tables, in columns that both have: its values are wanted twice. `of_attempts` is more of
    it. Beside the sums there is `still_open`.
    """
    parts = ", ".join((*columns, *(f"{SUMS[one]} AS {one}" for one in sums)))
    still_open = "CASE WHEN ended IS NULL THEN 1 ELSE 0 END AS still_open"
    return (
        f"SELECT {parts}, {still_open} FROM attempt WHERE {where}{of_attempts}"
        f" UNION ALL SELECT {', '.join((*columns, *sums))}, 0 AS still_open FROM rollup WHERE {where}"
    )
