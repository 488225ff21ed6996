"""A field's path, twice: as people read it, `spec.endpoints[eu].model`, and by index, `spec.endpoints[1].model`.

The second is what `Place.of` looks lines up by, and what errors are put in order by.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Path = tuple[str | int, ...]


def by_index(path: Path) -> str:
    return _joined(f"[{step}]" if isinstance(step, int) else step for step in path)


def as_read(path: Path, body: Any) -> str:
    """An entry of a list is named where it has a name; `body` is what the path leads through."""
    return _joined(_read_steps(path, body))


def document_order(body: Any) -> dict[Path, int]:
    """The position of every field, as a person reads down the page."""
    return {path: position for position, path in enumerate(_walk((), body))}


def position(path: Path, order: Mapping[Path, int]) -> float:
    """Of the field; of one that is missing, the end of what should hold it."""
    if path in order:
        return order[path]
    while path and path not in order:
        path = path[:-1]
    return max(place for known, place in order.items() if known[: len(path)] == path) + 0.5


def _read_steps(path: Path, body: Any) -> Iterator[str]:
    here = body
    for step in path:
        here = _inside(here, step)
        if isinstance(step, str):
            yield step
        else:
            name = here.get("name", here.get("period")) if isinstance(here, Mapping) else None
            yield f"[{name}]" if isinstance(name, str) and name else f"[{step}]"


def _inside(body: Any, step: str | int) -> Any:
    if isinstance(body, Mapping):
        return body.get(step)
    if isinstance(body, Sequence) and isinstance(step, int) and step < len(body):
        return body[step]
    return None


def _joined(steps: Iterator[str]) -> str:
    text = ""
    for step in steps:
        text += step if not text or step.startswith("[") else f".{step}"
    return text


def _walk(path: Path, body: Any) -> Iterator[Path]:
    yield path
    if isinstance(body, Mapping):
        for name, value in body.items():
            yield from _walk((*path, str(name)), value)
    elif isinstance(body, list | tuple):
        for index, value in enumerate(body):
            yield from _walk((*path, index), value)
