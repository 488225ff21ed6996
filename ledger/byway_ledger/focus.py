"""A day's sums as rows of FOCUS 1.2, the FinOps Foundation's form for cost and usage. Pure.

All that 1.2 demands of every dataset is there, and what of the rest applies; what is ours begins with `x_`. A row
is what one account at a provider is owed for one day of one kind of attempts, so a month's `BilledCost` is held
against that provider's invoice. What the caller was charged of it, and what was absorbed, stands beside it.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

import msgspec
from byway_contract.money import dollars

CATEGORY, SUBCATEGORY = "AI and Machine Learning", "Generative AI"
COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost", "EffectiveCost",
    "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit", "ProviderName",
    "PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName",
    "ServiceSubcategory", "SkuId", "SkuPriceId", "SubAccountId", "SubAccountName", "Tags",
    "x_AbsorbedCost", "x_Attempts", "x_CachedTokens", "x_CallerCost", "x_CompletionTokens", "x_PromptTokens",
    "x_ReasoningTokens", "x_Requests",
)  # fmt: skip


class Daily(msgspec.Struct, frozen=True):
    """What one kind of attempts came to in one UTC day."""

    day: str
    """As in 2026-11-24."""
    namespace: str
    service_account: str
    access_key: str
    user: str
    route: str
    model: str
    provider: str
    account: str
    endpoint: str
    byok: int
    requests: int = 0
    attempts: int = 0
    prompt: int = 0
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    cost: int = 0
    """Nanodollars."""
    billed: int = 0

    @property
    def kind(self) -> tuple[str | int, ...]:
        """What no two of a day have alike."""
        return (
            self.namespace, self.service_account, self.access_key, self.user, self.route, self.model,
            self.provider, self.account, self.endpoint, self.byok,
        )  # fmt: skip


def header() -> str:
    return _lines([COLUMNS])


def lines(rows: Iterable[Daily]) -> str:
    """CSV, as RFC 4180 has it. A null is an empty field."""
    return _lines([told[column] for column in COLUMNS] for told in map(_told, rows))


def _told(row: Daily) -> Mapping[str, str]:
    start, end = _day(row.day)
    cost, tokens = dollars(row.cost), str(row.prompt + row.completion)
    author = row.model.partition("/")[0] if "/" in row.model else row.provider
    return {
        "BilledCost": cost,
        "BillingAccountId": row.account or "unknown",
        "BillingAccountName": row.account.rpartition("/")[2] or "unknown",
        "BillingCurrency": "USD",
        "BillingPeriodEnd": _instant((start.replace(day=1) + timedelta(days=32)).replace(day=1)),
        "BillingPeriodStart": _instant(start.replace(day=1)),
        "ChargeCategory": "Usage",
        "ChargeClass": "",
        "ChargeDescription": f"{row.model} at {row.provider}, called by {row.namespace}",
        "ChargeFrequency": "Usage-Based",
        "ChargePeriodEnd": _instant(end),
        "ChargePeriodStart": _instant(start),
        "ConsumedQuantity": tokens,
        "ConsumedUnit": "Tokens",
        "ContractedCost": cost,
        "EffectiveCost": cost,
        "InvoiceIssuerName": row.provider or "unknown",
        "ListCost": cost,
        "PricingCategory": "Standard",
        "PricingQuantity": tokens,
        "PricingUnit": "Tokens",
        "ProviderName": row.provider or "unknown",
        "PublisherName": author or "unknown",
        "ResourceId": row.endpoint,
        "ResourceName": row.model,
        "ResourceType": "Model",
        "ServiceCategory": CATEGORY,
        "ServiceName": f"{row.provider or 'unknown'} API",
        "ServiceSubcategory": SUBCATEGORY,
        "SkuId": row.model,
        "SkuPriceId": f"{row.provider}:{row.model}",
        "SubAccountId": row.namespace,
        "SubAccountName": row.namespace,
        "Tags": _tags(row),
        "x_AbsorbedCost": dollars(row.cost - row.billed),
        "x_Attempts": str(row.attempts),
        "x_CachedTokens": str(row.cached),
        "x_CallerCost": dollars(row.billed),
        "x_CompletionTokens": str(row.completion),
        "x_PromptTokens": str(row.prompt),
        "x_ReasoningTokens": str(row.reasoning),
        "x_Requests": str(row.requests),
    }


def _tags(row: Daily) -> str:
    named = {
        "namespace": row.namespace,
        "service-account": row.service_account,
        "access-key": row.access_key,
        "user": row.user,
        "route": row.route,
    }
    return json.dumps({f"byway/{name}": value for name, value in named.items() if value}, ensure_ascii=False)


def _day(text: str) -> tuple[datetime, datetime]:
    day = date.fromisoformat(text)
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    return start, start + timedelta(days=1)


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _lines(rows: Iterable[Iterable[str]]) -> str:
    told = io.StringIO()
    csv.writer(told).writerows([_harmless(cell) for cell in row] for row in rows)
    return told.getvalue()


def _harmless(cell: str) -> str:
    """Names are tenants' words, and a spreadsheet takes some beginnings for a formula."""
    return f"'{cell}" if cell[:1] in ("=", "+", "@", "\t", "\r") else cell
