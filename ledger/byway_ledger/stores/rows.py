"""An attempt as a row and back. The order of the values is that of `schema`'s columns."""

from collections.abc import Sequence

import msgspec
from byway_contract.activity import Attempt
from byway_contract.money import Price, Usage
from byway_contract.records import Intent, Settle

from byway_ledger.stores import schema
from byway_ledger.stores.script import Value

_UNSETTLED: tuple[Value, ...] = (None,) * len(schema.SETTLE)
_NAMES = tuple(name.strip('"') for name in (*schema.INTENT, *schema.SETTLE))
_encode = msgspec.json.Encoder().encode
_price = msgspec.json.Decoder(Price)


def intent_values(intent: Intent) -> tuple[Value, ...]:
    return (
        intent.attempt,
        intent.request,
        intent.at,
        intent.namespace,
        intent.route,
        intent.endpoint,
        intent.account,
        intent.provider,
        intent.model,
        _price_text(intent.price),
        intent.streamed,
        intent.attempt_no,
        intent.api,
        intent.service_account,
        intent.access_key,
        intent.byok,
        intent.user,
        intent.session,
        intent.referer,
        intent.title,
        intent.user_agent,
        intent.user_id,
        _price_text(intent.list_price),
        intent.fee_ppm,
    )


def settle_values(settle: Settle | None, flag: str) -> tuple[Value, ...]:
    if settle is None:
        return _UNSETTLED
    usage = settle.usage
    return (
        settle.at,
        settle.outcome,
        usage.prompt,
        usage.completion,
        usage.cached,
        usage.cache_write,
        usage.reasoning,
        settle.usage_from,
        settle.cost,
        settle.billed,
        settle.reason,
        settle.status,
        settle.first_token_ms,
        settle.duration_ms,
        settle.finish,
        settle.native_finish,
        settle.upstream_id,
        flag,
        settle.reckoned,
        usage.audio_prompt,
        usage.audio_completion,
        usage.image_prompt,
        usage.image_completion,
        settle.fee,
    )


def attempt_of(values: Sequence[Value]) -> Attempt:
    row = dict(zip(_NAMES, values, strict=True))
    price, list_price = price_of(row.pop("price")), price_of(row.pop("list_price"))
    intent = msgspec.convert(
        {name: row[name] for name in Intent.__struct_fields__ if name in row}, Intent, strict=False
    )
    intent = msgspec.structs.replace(intent, price=price, list_price=list_price)
    if row["ended"] is None:
        return Attempt(intent)
    usage = msgspec.convert({name: row[name] for name in Usage.__struct_fields__}, Usage)
    named = {name: row[name] for name in Settle.__struct_fields__ if name in row and name != "at"}
    settle = msgspec.convert({**named, "at": row["ended"], "usage": usage}, Settle)
    return Attempt(intent, settle, str(row["flag"]))


def _price_text(price: Price | None) -> str | None:
    return None if price is None else _encode(price).decode()


def price_of(text: Value) -> Price | None:
    return None if text is None else _price.decode(str(text))
