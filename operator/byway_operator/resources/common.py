"""What all kinds are made of: the base of every model, checked strings, list types, and rules.

A rule is said twice, side by side: once in CEL for the API server (`expression`, which ends up in the CRD) and
once in Python (`holds`), because a folder has no API server. Both carry one message.

Fields have no defaults that a server would write into users' objects: what is left out stays None or empty, and
the value that then holds is said in the field's description and given by an `effective_…` property.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

_SPELT = {"base_url": "baseURL", "role_arn": "roleARN", "from_": "from", "for_": "for"}


def _spelling(attribute: str) -> str:
    return _SPELT.get(attribute) or to_camel(attribute)


@dataclass(frozen=True)
class Rule:
    """A demand on several fields at once. `field_path` is relative to the object the rule stands on: `.azure`.

    `expression` is empty where CEL cannot say it: such a rule is told in the object's status.
    """

    expression: str
    message: str
    holds: Callable[[Any], bool]
    field_path: str = ""

    def as_cel(self) -> dict[str, str]:
        said = {"rule": self.expression, "message": self.message}
        return said | ({"fieldPath": self.field_path} if self.field_path else {})


def _with_rules(schema: dict[str, Any], model: type[BaseModel]) -> None:
    rules = [rule.as_cel() for rule in getattr(model, "rules", ()) if rule.expression]
    if rules:
        schema["x-kubernetes-validations"] = rules


class Part(BaseModel):
    """The base of every model: camelCase outside, snake_case inside, frozen, no unknown fields."""

    model_config = ConfigDict(
        alias_generator=_spelling,
        frozen=True,
        extra="forbid",
        strict=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        json_schema_extra=_with_rules,
    )
    rules: ClassVar[tuple[Rule, ...]] = ()


@dataclass(frozen=True)
class IntOrString:
    """A whole number or a string. Only in a status: nobody should have to guess which to write."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"x-kubernetes-int-or-string": True}


@dataclass(frozen=True)
class Matches:
    """A string of this form. In the CRD it is a CEL rule and not a `pattern`: a person then reads the message."""

    pattern: str
    message: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        quote = '"' if "'" in self.pattern else "'"
        said = Rule(f"self.matches(r{quote}{self.pattern}{quote})", self.message, bool).as_cel()
        return {**handler(core), "x-kubernetes-validations": [said]}

    def _checked(self, value: Any) -> Any:
        # `\Z`: Python's `$` would let a newline at the end pass, RE2's does not.
        if not isinstance(value, str) or not re.match(self.pattern.removesuffix("$") + r"\Z", value):
            raise PydanticCustomError("rule", "{said}", {"said": self.message})
        return value


@dataclass(frozen=True)
class ListType:
    """How two field managers' lists become one: a map by `key`, or a set. No two entries may be the same."""

    key: str = ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        if not self.key:
            return {**handler(core), "x-kubernetes-list-type": "set"}
        return {**handler(core), "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [self.key]}

    def _checked(self, entries: tuple[Any, ...]) -> tuple[Any, ...]:
        seen = set()
        for index, entry in enumerate(entries):
            value = getattr(entry, self.key) if self.key else entry
            if value in seen:
                said = f'"{value}" is here already; want each {self.key or "entry"} once'
                raise PydanticCustomError("duplicate", "{said}", {"said": said, "index": index, "key": self.key})
            seen.add(value)
        return entries


MAP_BY_NAME = ListType("name")
SET = ListType()
ATOMIC = Field(json_schema_extra={"x-kubernetes-list-type": "atomic"})

MONEY_PATTERN = r"^(0|[1-9][0-9]{0,8})([.][0-9]{1,9})?$"
DURATION_PATTERN = r"^([0-9]{1,5}(h|m|s|ms)){1,4}$"
TIME_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})$"
LABEL_PATTERN = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
SUBDOMAIN_PATTERN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Money = Annotated[str, Field(max_length=19), Matches(MONEY_PATTERN, 'want US dollars as a quoted decimal: "500"')]
"""US dollars as written: `"500"` and `"500.00"` are the same amount; `byway_contract.money` compares them."""

Duration = Annotated[
    str, Field(max_length=28), Matches(DURATION_PATTERN, 'want a duration in h, m, s or ms: "30s" or "1m30s"')
]

Time = Annotated[
    str, Field(max_length=35), Matches(TIME_PATTERN, 'want a quoted time with its zone: "2027-01-01T00:00:00Z"')
]

Label = Annotated[
    str,
    Field(max_length=63),
    Matches(
        LABEL_PATTERN, "want lower-case letters, digits and dashes, at most 63, a letter or digit at both ends"
    ),
]
"""A name within a list, a namespace, a Service."""

ObjectName = Annotated[
    str,
    Field(max_length=253),
    Matches(SUBDOMAIN_PATTERN, "want an object's name: lower-case letters, digits, dashes and dots"),
]

ModelName = Annotated[
    str,
    Field(min_length=1, max_length=256),
    Matches(
        r"^[!-)+-~]+$", "want a model's name, without spaces; names are matched exactly, `*` means nothing here"
    ),
]

Glob = Annotated[
    str,
    Field(min_length=1, max_length=256),
    Matches(r"^[!-~]+$", 'want a model\'s name, without spaces; `*` stands for any letters: "openai/gpt-5*"'),
]

Region = Annotated[
    str,
    Field(max_length=32),
    Matches(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", "want a region in lower case: eu, us or eu-west"),
]

Port = Annotated[int, Field(ge=1, le=65535)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000_000)]
Concurrency = Annotated[int, Field(ge=1, le=1_000_000)]

_MS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def milliseconds(duration: str) -> int:
    """`"1m30s"` → 90,000. The text has been checked already."""
    return sum(int(count) * _MS[unit] for count, unit in re.findall(r"([0-9]+)(ms|h|m|s)", duration))


def moment(time: str) -> int | None:
    """Whole seconds since 1970, rounded down; None: no calendar has this time."""
    try:
        return max(math.floor(datetime.fromisoformat(time).timestamp()), 0)
    except (ValueError, OverflowError):
        return None


LONGEST = "24h"


def in_a_day(duration: str | None) -> bool:
    """A duration that does something and ends: more than nothing, at most a day."""
    return duration is None or 0 < milliseconds(duration) <= milliseconds(LONGEST)


class Metadata(BaseModel):
    """Kubernetes' own ObjectMeta, as far as we look. Its field names are known so that a slip in one is told."""

    model_config = ConfigDict(
        alias_generator=_spelling, frozen=True, extra="forbid", strict=True, hide_input_in_errors=True
    )

    name: str
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    generate_name: Any = None
    uid: Any = None
    resource_version: Any = None
    generation: Any = None
    creation_timestamp: Any = None
    deletion_timestamp: Any = None
    deletion_grace_period_seconds: Any = None
    finalizers: Any = None
    owner_references: Any = None
    managed_fields: Any = None
    self_link: Any = None
