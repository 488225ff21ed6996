"""Settings: a frozen struct of a process, read from its environment.

A field `drain_s: float = 30.0` is `BYWAY_DRAIN_S`. Lists are comma-separated. What does not fit stops the process
with a sentence that names the variable; a variable of ours that nobody reads does too, so a typo cannot hide.
"""

import difflib
from collections.abc import Mapping
from typing import TypeVar, get_origin

import msgspec

PREFIX = "BYWAY_"
S = TypeVar("S", bound=msgspec.Struct)


class SettingsError(ValueError):
    pass


def address_of(variable: str, listen: str) -> tuple[str, int]:
    """`127.0.0.1:8080`, as the variable says it. Raises SettingsError."""
    host, colon, port = listen.rpartition(":")
    if not host or not colon or not port.isdigit() or int(port) > 65535:
        raise SettingsError(f"{variable}: want host:port, as in 127.0.0.1:8080, not {listen!r}")
    return host.strip("[]"), int(port)


def read(kind: type[S], environment: Mapping[str, str]) -> S:
    """Raises SettingsError."""
    fields = {PREFIX + f.name.upper(): f for f in msgspec.structs.fields(kind)}
    given = {name: text for name, text in environment.items() if name.startswith(PREFIX)}
    for name in given.keys() - fields.keys():
        near = difflib.get_close_matches(name, fields, 1)
        raise SettingsError(f"{name}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
    values: dict[str, object] = {}
    for name, field in fields.items():
        if name in given:
            listed = get_origin(field.type) is tuple
            values[field.name] = [x for x in given[name].split(",") if x] if listed else given[name]
        elif field.required:
            raise SettingsError(f"{name}: must be set")
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{PREFIX}…: {error}") from error
