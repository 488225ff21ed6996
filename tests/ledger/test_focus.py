"""The books as a file in FOCUS 1.2's columns."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, UnixConnector
from byway_contract.money import dollars
from byway_contract.records import encode_batch
from byway_ledger import export, focus
from byway_ledger.focus import Daily
from byway_ledger.stores.sqlite import SQLite
from fakes.grants import NOON
from fakes.usage import COST, USAGE, batch, intent, ledger_at, settle

DAY_S = 86_400.0
MANDATORY = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargePeriodEnd",
    "ChargePeriodStart", "ContractedCost", "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingQuantity",
    "PricingUnit", "ProviderName", "PublisherName", "ServiceCategory", "ServiceName",
)  # fmt: skip
"""In every dataset of FOCUS 1.2."""
MAY_BE_NULL = {"ChargeClass"}
A_DAY = Daily(
    "2026-11-24", "team-a", "", "ci", "ann", "team-a/smart", "openai/gpt-5-mini", "azure-openai", "team-a/azure",
    "team-a/azure:gpt-5-mini", 1, requests=2, attempts=3, prompt=1000, completion=80, cached=5, cost=10**18 + 1,
    billed=10**18,
)  # fmt: skip


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_every_mandatory_column_is_there_and_says_something() -> None:
    (row,) = read(focus.header() + focus.lines([A_DAY]))
    assert [name for name in MANDATORY if not row[name] and name not in MAY_BE_NULL] == []
    ours = [name for name in row if name.startswith("x_")]
    assert list(row) == sorted(set(row) - set(ours)) + sorted(ours)
    # What has no account or provider, as an attempt whose beginning was lost, says so.
    (lost,) = read(focus.header() + focus.lines([Daily("2026-11-24", *[""] * 9, 0)]))
    assert [name for name in MANDATORY if not lost[name] and name not in MAY_BE_NULL] == []


def test_a_row_is_a_days_charge_at_a_provider_to_the_last_nanodollar() -> None:
    (row,) = read(focus.header() + focus.lines([A_DAY]))
    assert row["BilledCost"] == row["EffectiveCost"] == "1000000000.000000001"
    assert (row["x_CallerCost"], row["x_AbsorbedCost"]) == ("1000000000", "0.000000001")
    assert (row["ChargePeriodStart"], row["ChargePeriodEnd"]) == ("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z")
    assert (row["BillingPeriodStart"], row["BillingPeriodEnd"]) == ("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z")
    assert (row["ConsumedQuantity"], row["ConsumedUnit"], row["ChargeCategory"]) == ("1080", "Tokens", "Usage")
    assert (row["ProviderName"], row["PublisherName"]) == ("azure-openai", "openai")
    assert (row["SubAccountId"], row["BillingAccountId"]) == ("team-a", "team-a/azure")
    assert json.loads(row["Tags"]) == {
        "byway/namespace": "team-a", "byway/access-key": "ci", "byway/user": "ann", "byway/route": "team-a/smart",
    }  # fmt: skip


def test_a_name_is_never_a_spreadsheets_formula_nor_another_column() -> None:
    (row,) = read(
        focus.header() + focus.lines([Daily("2026-12-31", '=1+1,"x"', "", "", "", "", "@m", "p", "a\nb", "", 0)])
    )
    assert (row["SubAccountId"], row["SkuId"], row["BillingAccountId"]) == ('\'=1+1,"x"', "'@m", "a\nb")
    assert row["BillingPeriodEnd"] == "2027-01-01T00:00:00Z"


def test_the_file_holds_all_that_the_books_hold_in_pieces(tmp_path: Path) -> None:
    async def story() -> None:
        store = SQLite(tmp_path / "books.sqlite")
        records: list[Any] = []
        for number in range(60):
            at = NOON - number * DAY_S / 4
            fields: dict[str, Any] = {"at": at, "user_id": f"u{number % 7}", "attempt_no": 1 + number % 2}
            records += [intent(f"a{number}", **fields), settle(f"a{number}", billed=COST * (number % 2))]
        # And one by a clock that is no clock.
        records += [intent("z", at=4e12), settle("z")]
        await store.book(batch(1, *records), NOON)
        await store.fold(NOON - 5 * DAY_S, None, 500)
        now = NOON + 1
        at_once, export.AT_ONCE = export.AT_ONCE, 2
        try:
            pieces = [piece async for piece in export.exported(store, 0.0, float("inf"), now)]
            some = [piece async for piece in export.exported(store, NOON - DAY_S, NOON, now)]
        finally:
            export.AT_ONCE = at_once
            await store.close()
        rows = read(b"".join(pieces).decode())
        assert sum(int(row["x_Attempts"]) for row in rows) == 60
        assert dollars(60 * COST) == dollars(sum(nano(row["BilledCost"]) for row in rows))
        assert sum(nano(row["x_AbsorbedCost"]) for row in rows) == 30 * COST
        assert sum(int(row["ConsumedQuantity"]) for row in rows) == 60 * (USAGE.prompt + USAGE.completion)
        assert [row["ChargePeriodStart"] for row in rows] == sorted(row["ChargePeriodStart"] for row in rows)
        assert sum(int(row["x_Attempts"]) for row in read(b"".join(some).decode())) == 4

    asyncio.run(story())


def nano(amount: str) -> int:
    whole, _, rest = amount.partition(".")
    return int(whole) * 10**9 + int(rest.ljust(9, "0"))


def test_a_ledger_gives_the_file_and_says_what_it_cannot_be_asked(tmp_path: Path) -> None:
    async def story() -> None:
        async with (
            ledger_at(tmp_path) as to,
            ClientSession("http://ledger", connector=UnixConnector(to.removeprefix("unix:"))) as session,
        ):
            async with session.get("/v1/focus") as answer:
                assert read(await answer.text()) == []
            await session.post("/v1/usage", data=encode_batch(batch(1, intent(), settle())))
            async with session.get("/v1/focus?since=2026-11-18") as answer:
                assert answer.content_type == "text/csv"
                (row,) = read(await answer.text())
                assert row["BilledCost"] == "0.000228"
            for wrong in ("?by=day", "?since=soon", "?since=2&until=1"):
                async with session.get(f"/v1/focus{wrong}") as answer:
                    assert answer.status == 400

    asyncio.run(story())
