"""What a caller wants of whoever serves it: the models, the `provider` preferences, and what the request needs.

`preferences` parses the request's `provider` value, which a stranger wrote: a wrong type is told with its path, and
a key that does nothing here is named in `ignored`, so that nobody believes it was obeyed.
"""

import math
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Literal, cast, get_args

from byway_contract.money import MILLION, NANO
from msgspec import Struct

from byway_proxy.choose.target import Sort

TEXT = ("text",)
MOST_SLUGS = 128
PERCENTILES = {"p50": 50, "p75": 75, "p90": 90, "p99": 99}


class MaxPrice(Struct, frozen=True):
    """The dearest a caller will pay: nanodollars per million tokens, `request` in nanodollars."""

    prompt: int | None = None
    completion: int | None = None
    request: int | None = None


class Pace(Struct, frozen=True):
    """How fast a caller would like it: pairs of percentile and threshold. Who is slower goes last, not away."""

    tokens_per_s: tuple[tuple[int, float], ...] = ()
    first_token_ms: tuple[tuple[int, float], ...] = ()


class Preferences(Struct, frozen=True):
    order: tuple[str, ...] = ()
    """Slugs, lower-case, as are `only` and `ignore`."""
    only: frozenset[str] | None = None
    """None is no demand; an empty set leaves nobody."""
    ignore: frozenset[str] = frozenset()
    allow_fallbacks: bool = True
    require_parameters: bool = False
    sort: Sort | None = None
    across_models: bool = False
    """`partition: none`: the endpoints of all models are sorted together."""
    max_price: MaxPrice | None = None
    deny_collection: bool = False
    zdr: bool = False
    pace: Pace | None = None
    ignored: tuple[str, ...] = ()


PLAIN = Preferences()


class Wanted(Struct, frozen=True, gc=False):
    namespace: str
    """The caller's."""
    models: tuple[str, ...]
    """In order of preference: `model`, then `models`."""
    preferences: Preferences = PLAIN
    max_tokens: int = 0
    """0 where the caller is silent."""
    prompt_bytes: int = 0
    features: frozenset[str] = frozenset()
    """Of the contract's FEATURES: what the request's parameters need."""
    modalities: tuple[str, ...] = TEXT
    """Of the input."""
    streamed: bool = False
    allowed_models: tuple[str, ...] = ()
    """Globs of names as callers write them: what the caller's access key may call. Empty is all."""


class BadPreference(ValueError):
    """`path` is where in the request, `message` what is wrong and what would be right."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path
        self.message = message


DEMANDS = ("only", "ignore", "allow_fallbacks", "require_parameters", "max_price", "data_collection", "zdr")
WISHES = ("order", "sort", "preferred_min_throughput", "preferred_max_latency")
KNOWN_KEYS = frozenset(DEMANDS + WISHES)


def preferences(raw: object, route: object = None) -> Preferences:
    """`raw` is the request's `provider`, `route` its deprecated `route`: fallback | sort. Raises BadPreference."""
    if raw is None and route is None:
        return PLAIN
    given = _mapping(raw, "provider") if raw is not None else {}
    sort, across = _sort(given.get("sort"))
    alias = _one_of(route, "route", ("fallback", "sort"))
    ceiling, idle = _max_price(given.get("max_price"))
    only, unknown = given.get("only"), sorted(given.keys() - KNOWN_KEYS)
    return Preferences(
        order=_slugs(given.get("order"), "provider.order"),
        only=None if only is None else frozenset(_slugs(only, "provider.only")),
        ignore=frozenset(_slugs(given.get("ignore"), "provider.ignore")),
        allow_fallbacks=_flag(given, "allow_fallbacks", True),
        require_parameters=_flag(given, "require_parameters", False),
        sort=sort,
        across_models=alias == "sort" if across is None and alias is not None else bool(across),
        max_price=ceiling,
        deny_collection=_one_of(given.get("data_collection"), "provider.data_collection", ("allow", "deny"))
        == "deny",
        zdr=_flag(given, "zdr", False),
        pace=_pace(given),
        ignored=(*_named("provider", unknown), *idle, *_idle_sort(given.get("sort"))),
    )


def _mapping(raw: object, path: str) -> Mapping[str, object]:
    if not isinstance(raw, dict):
        raise BadPreference(path, f"want an object, not {_kind(raw)}")
    return cast("Mapping[str, object]", raw)


def _slugs(raw: object, path: str) -> tuple[str, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list) or not all(isinstance(slug, str) for slug in raw):
        raise BadPreference(path, 'want a list of provider slugs, as in ["openai", "azure"]')
    if len(raw) > MOST_SLUGS:
        raise BadPreference(path, f"want at most {MOST_SLUGS} slugs, not {len(raw)}")
    return tuple(slug.lower() for slug in raw)


def _flag(given: Mapping[str, object], key: str, default: bool) -> bool:
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise BadPreference(f"provider.{key}", f"want true or false, not {_kind(value)}")
    return value


def _one_of(value: object, path: str, words: tuple[str, ...]) -> str | None:
    if value is None or (isinstance(value, str) and value in words):
        return value
    raise BadPreference(path, f"want {' or '.join(words)}, not {_kind(value)}")


def _sort(raw: object) -> tuple[Sort | None, bool | None]:
    """The sort and whether across models; `exacto` sorts nothing here, see `names`."""
    across = None
    if isinstance(raw, dict):
        partition = _one_of(raw.get("partition"), "provider.sort.partition", ("model", "none"))
        across, raw = (None if partition is None else partition == "none"), raw.get("by")
    word = _one_of(raw, "provider.sort", (*get_args(Sort), "exacto"))
    return (None if word in (None, "exacto") else cast("Sort", word)), across


def _idle_sort(raw: object) -> tuple[str, ...]:
    return (
        ("provider.sort.exacto",)
        if raw == "exacto" or (isinstance(raw, dict) and raw.get("by") == "exacto")
        else ()
    )


def _max_price(raw: object) -> tuple[MaxPrice | None, tuple[str, ...]]:
    if raw is None:
        return None, ()
    given = _mapping(raw, "provider.max_price")
    per_million = {key: _amount(given.get(key), f"provider.max_price.{key}") for key in ("prompt", "completion")}
    request = _amount(given.get("request"), "provider.max_price.request")
    idle = _named("provider.max_price", sorted(given.keys() - {"prompt", "completion", "request"}))
    return MaxPrice(per_million["prompt"], per_million["completion"], request), idle


def _named(path: str, keys: list[str]) -> tuple[str, ...]:
    """A stranger chose them: whoever writes them into a header makes them fit for one."""
    return tuple(f"{path}.{key}"[:80] for key in keys)


def _amount(raw: object, path: str) -> int | None:
    """US dollars, a number or a string (official clients send either), as whole nanodollars, rounded down: a price
    is whole, so it is within the ceiling exactly when it is within the ceiling's whole part."""
    if raw is None:
        return None
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Decimal):
        raise BadPreference(path, f"want US dollars as a number or a string, not {_kind(raw)}")
    try:
        amount = Decimal(str(raw).strip())
    except InvalidOperation as error:
        raise BadPreference(path, 'want US dollars as a decimal, as in "0.5"') from error
    if not amount.is_finite() or amount < 0 or amount > MILLION:
        raise BadPreference(path, f"want US dollars from 0 to {MILLION}")
    return int(amount * NANO)


def _pace(given: Mapping[str, object]) -> Pace | None:
    speed = _thresholds(given.get("preferred_min_throughput"), "provider.preferred_min_throughput")
    # Asked in seconds, kept in milliseconds: a trap of the API's.
    latency = _thresholds(given.get("preferred_max_latency"), "provider.preferred_max_latency")
    return Pace(speed, tuple((p, 1000 * s) for p, s in latency)) if speed or latency else None


def _thresholds(raw: object, path: str) -> tuple[tuple[int, float], ...]:
    given = cast("Mapping[str, object]", raw) if isinstance(raw, dict) else {"p50": raw}
    found = []
    for key, value in given.items():
        if key not in PERCENTILES:
            raise BadPreference(path, f"want a number or an object of {', '.join(PERCENTILES)}")
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise BadPreference(f"{path}.{key}", "want a number from 0 up")
        found.append((PERCENTILES[key], float(value)))
    return tuple(found)


def _kind(value: object) -> Literal["null", "a boolean", "a number", "another word", "a list", "an object"]:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float | Decimal):
        return "a number"
    return "another word" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
