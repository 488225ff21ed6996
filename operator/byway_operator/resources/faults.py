"""What is wrong with an object, each fault with its path: pydantic's findings in our words, and the rules.

As in an API server, rules are looked at only where every field is of the right form.
"""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from byway_operator.resources.common import Part
from byway_operator.resources.paths import Path

Reason = Literal["Invalid", "UnsupportedValue", "NotImplemented"]


@dataclass(frozen=True)
class Fault:
    reason: Reason
    path: Path
    message: str
    """What is wrong and the way out, without the path."""
    meant: str = ""
    """The field that an unknown one was probably meant to be."""


def form_faults(error: ValidationError, kind: type[BaseModel], body: Mapping[str, Any]) -> list[Fault]:
    """`body` is what was validated; of it only numbers, booleans and words of an enum are ever repeated."""
    details = error.errors(include_url=False, include_input=False)
    # A list whose entries are wrong is also reported as too short: wrong entries are not counted.
    around = {detail["loc"][:end] for detail in details for end in range(len(detail["loc"]))}
    real = [detail for detail in details if detail["type"] != "too_short" or detail["loc"] not in around]
    faults = [_fault(detail, kind, body) for detail in real]
    # `modle` is one slip, not an unknown field and a missing one.
    meant = {(*fault.path[:-1], fault.meant) for fault in faults if fault.meant}
    return [fault for fault in faults if fault.message != _MISSING or fault.path not in meant]


def rule_faults(part: Part) -> Iterator[Fault]:
    """Every rule that does not hold, of this object and of all within it."""
    yield from _rule_faults(part, ())


def empty_faults(body: Any, path: Path = ("spec",)) -> Iterator[Fault]:
    """Fields with nothing behind the colon: a policy whose lines were all commented out must not vanish."""
    if path[-2:] == ("request", "defaults"):
        return
    if body is None:
        yield Fault("Invalid", path, "has no value; give it one or take the line out")
    elif isinstance(body, Mapping):
        for name, value in body.items():
            yield from empty_faults(value, (*path, str(name)))
    elif isinstance(body, list):
        for index, value in enumerate(body):
            yield from empty_faults(value, (*path, index))


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word that was probably meant."""
    folded = {name.lower(): name for name in known}
    found = difflib.get_close_matches(word.lower(), list(folded), n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def _fault(detail: ErrorDetails, kind: type[BaseModel], body: Mapping[str, Any]) -> Fault:
    path = tuple(step for step in detail["loc"] if step != "[key]")
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            return _no_such_field(path, kind)
        case "literal_error":
            return _unsupported(path, kind, body)
        case "duplicate":
            path = (*path, context["index"], *([context["key"]] if context["key"] else []))
            return Fault("Invalid", path, str(context["said"]))
        case "json_invalid":
            return Fault(
                "Invalid", ("spec",), "holds half a character (`\\ud8…`), or is nested too deep; write it anew"
            )
        case "missing":
            return Fault("Invalid", path, _MISSING)
        case code:
            return Fault("Invalid", path, _WORDS.get(code, detail["msg"]).format(**context))


_MISSING = "required"
_WORDS = {
    "string_type": "want a string: put the value in quotes",
    "int_type": "want a whole number, without quotes",
    "int_from_float": "want a whole number",
    "bool_type": "want true or false, without quotes",
    "model_type": "want fields below it, not a single value",
    "dict_type": "want fields below it, not a single value",
    "tuple_type": "want a list: each entry behind a dash",
    "too_long": "at most {max_length} entries, not {actual_length}",
    "too_short": "an empty list; want at least {min_length} entry",
    "string_too_long": "at most {max_length} characters",
    "string_too_short": "want a word, not an empty string",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
}


# A word that we do not know is said back, unless it is as long as credentials are: people paste those where they do
# not belong, and what we say ends in statuses and logs.
LONGEST_WORD = 31


def _no_such_field(path: Path, kind: type[BaseModel]) -> Fault:
    word, known = str(path[-1]), _fields_at(path[:-1], kind)
    meant = nearest(word, known)
    way_out = f"did you mean {meant}?" if meant else f"there are {', '.join(known)}"
    if len(word) > LONGEST_WORD:
        return Fault("Invalid", path[:-1], f"no such field as one of these; {way_out}")
    return Fault("Invalid", path, f"no such field; {way_out}", meant or "")


def _unsupported(path: Path, kind: type[BaseModel], body: Mapping[str, Any]) -> Fault:
    words = _words_at(path, kind)
    value: Any = body
    for step in path:
        value = value[step]
    if not isinstance(value, str):
        return Fault("Invalid", path, f"want {_either(words)}")
    meant = nearest(value, words)
    hint = f"; did you mean {meant}?" if meant and len(words) > 1 else ""
    shown = f'"{value}"' if len(value) <= LONGEST_WORD else "this"
    return Fault("UnsupportedValue", path, f"{shown} is not supported; want {_either(words)}{hint}")


def _either(words: Sequence[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _fields_at(path: Path, kind: type[BaseModel]) -> list[str]:
    model = _type_at(path, kind)
    assert isinstance(model, type)
    assert issubclass(model, BaseModel)
    return [field.alias or name for name, field in model.model_fields.items()]


def _words_at(path: Path, kind: type[BaseModel]) -> list[str]:
    return [str(word) for word in get_args(_type_at(path, kind))]


def _type_at(path: Path, kind: type[BaseModel]) -> Any:
    """The type of a field: a model, or the Literal of an enum."""
    here: Any = kind
    for step in path:
        if isinstance(step, str):
            here = next(_core(f.annotation) for name, f in here.model_fields.items() if (f.alias or name) == step)
    return here


def _core(annotation: Any) -> Any:
    """`Annotated[tuple[X, ...], …] | None` → X."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inner = [argument for argument in get_args(annotation) if argument not in (type(None), Ellipsis)]
    if not inner or all(isinstance(argument, str) for argument in inner):
        return annotation
    return _core(inner[0])


def _rule_faults(part: Part, path: Path) -> Iterator[Fault]:
    for rule in part.rules:
        if not rule.holds(part):
            yield Fault("Invalid", (*path, *rule.field_path.split(".")[1:]), rule.message)
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        if isinstance(value, Part):
            yield from _rule_faults(value, (*path, field.alias or name))
        elif isinstance(value, tuple):
            for index, entry in enumerate(value):
                if isinstance(entry, Part):
                    yield from _rule_faults(entry, (*path, field.alias or name, index))
