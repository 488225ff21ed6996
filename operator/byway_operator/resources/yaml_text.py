"""The text of one YAML or JSON file as plain values, with the line of every field. Pure.

Words mean what they would mean behind `kubectl apply`: `yes` and `on` are booleans, a date stays a string, `1e3`
is the whole number 1000. What an API server would refuse or what only confuses is an error with its line: a key
written twice, a tag, a number that is none. Anchors and aliases work, up to a bound on what they unfold to.

No message repeats a value: the file may hold a Secret.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MOST_BYTES = 8 * 1024 * 1024
MOST_VALUES = 200_000
MOST_DEPTH = 64

_CORE = "tag:yaml.org,2002:"
_PLAIN = "plain"
_TRUE = frozenset(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON", "true", "True", "TRUE"))
_FALSE = frozenset(("n", "N", "no", "No", "NO", "off", "Off", "OFF", "false", "False", "FALSE"))
_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_INT = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)")
_FLOAT = re.compile(r"[-+]?([.][0-9]+|[0-9]+([.][0-9]*)?)([eE][-+]?[0-9]+)?")
_NO_NUMBER = re.compile(r"[-+]?[.](inf|Inf|INF)|[.](nan|NaN|NAN)")
_WHOLE = 2**53
_MOST_DIGITS = 64


class NotReadable(Exception):
    """The file as a whole cannot be taken. `line` counts from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True)
class Document:
    value: Any
    line: int
    lines: dict[str, int] = field(default_factory=dict)
    """By path: `spec.endpoints[1].model`."""


def documents_of(payload: bytes, *, json: bool) -> list[Document]:
    """All documents but the empty ones. Raises NotReadable."""
    text = _text(payload, json)
    unfolding = _Unfolding()
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        raise NotReadable(_line_of(error, text), _said(error, text)) from None
    except yaml.YAMLError:
        raise NotReadable(_line_of_odd(text), "a character that YAML does not allow; take it out") from None
    except RecursionError:
        raise NotReadable(1, f"nested deeper than {MOST_DEPTH} levels; flatten it") from None
    found = [unfolding.document(node) for node in nodes if node is not None]
    return [document for document in found if document.value is not None]


# The C parser where PyYAML has it: ten times as fast.
_Base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc, valid-type] # which of the two is known only at run time
    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        """Plain words are told apart from quoted ones here and resolved by us: PyYAML's rules are not Go's."""
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _CORE + "str"
        return _CORE + ("seq" if kind is yaml.SequenceNode else "map")


@dataclass
class _Unfolding:
    """Nodes to values. Counts what comes out, because ten lines of aliases can unfold to a billion values."""

    count: int = 0

    def document(self, node: yaml.Node) -> Document:
        lines: dict[str, int] = {}
        value = self._value(node, "", lines, 0)
        return Document(value, _line(node), lines)

    def _value(self, node: yaml.Node, path: str, lines: dict[str, int], depth: int) -> Any:
        self.count += 1
        if self.count > MOST_VALUES:
            raise NotReadable(
                _line(node), f"aliases unfold to more than {MOST_VALUES} values; write it out or split it"
            )
        if depth > MOST_DEPTH:
            raise NotReadable(_line(node), f"nested deeper than {MOST_DEPTH} levels; flatten it")
        lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _CORE + "map":
            return self._mapping(node, path, lines, depth)
        if isinstance(node, yaml.SequenceNode) and node.tag == _CORE + "seq":
            return [
                self._value(entry, f"{path}[{index}]", lines, depth + 1) for index, entry in enumerate(node.value)
            ]
        assert isinstance(node, yaml.ScalarNode | yaml.CollectionNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: str, lines: dict[str, int], depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        here: dict[str, int] = {}
        merged: list[yaml.Node] = []
        for key, value in node.value:
            if key.tag == _PLAIN and key.value == "<<":
                merged.append(value)
                continue
            name = _name(key)
            if name in here:
                said = f"{_shown(name)} is here twice (first on line {here[name]}); take one out"
                raise NotReadable(_line(key), said)
            here[name] = _line(key)
            below = f"{path}.{name}" if path else name
            lines[below] = _line(key)
            found[name] = self._value(value, below, lines, depth + 1)
        for value in merged:
            for source in _sources(value):
                for name, inner in self._mapping_of(source, path, depth).items():
                    found.setdefault(name, inner)
        return found

    def _mapping_of(self, node: yaml.Node, path: str, depth: int) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise NotReadable(_line(node), "`<<` takes a mapping or a list of mappings; write the fields out")
        value: dict[str, Any] = self._value(node, path, {}, depth + 1)
        return value


def _sources(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.SequenceNode):
        yield from node.value
    else:
        yield node


def _name(key: yaml.Node) -> str:
    if not isinstance(key, yaml.ScalarNode):
        raise NotReadable(_line(key), "a key must be a word; put quotes around it (is this a template?)")
    return str(key.value)


def _shown(name: str) -> str:
    return f'"{name}"' if re.fullmatch(r"[-._/A-Za-z0-9]{1,63}", name) else "a key"


def _scalar(node: yaml.Node) -> Any:
    tag, text = node.tag, node.value
    if tag == _CORE + "str" and isinstance(node, yaml.ScalarNode):
        return str(node.value)
    if tag == _PLAIN:
        return _plain(node)
    if tag in (_CORE + "int", _CORE + "float", _CORE + "bool", _CORE + "null") and isinstance(text, str):
        return _plain(node)
    raise NotReadable(_line(node), "a YAML tag (`!…`) has no meaning here; take it out")


def _plain(node: yaml.Node) -> Any:
    text: str = node.value
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if len(text) <= _MOST_DIGITS:
        if _INT.fullmatch(text):
            return _int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                raise NotReadable(_line(node), "a number too large; put it in quotes if it is a name")
            return int(number) if number.is_integer() and abs(number) < _WHOLE else number
        if _NO_NUMBER.fullmatch(text):
            raise NotReadable(
                _line(node), "infinity and not-a-number cannot be sent; put it in quotes if it is a name"
            )
    return str(node.value)


def _int(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign, bare = (-1, digits[1:]) if digits[0] == "-" else (1, digits.lstrip("+"))
    if bare.startswith(("0x", "0b", "0o")):
        return sign * int(bare, 0)
    # A leading zero is octal, as it is for kubectl.
    return sign * (int(bare, 8) if bare.startswith("0") else int(bare))


def _text(payload: bytes, json: bool) -> str:
    if len(payload) > MOST_BYTES:
        raise NotReadable(1, f"larger than {MOST_BYTES // 2**20} MiB; split it")
    try:
        text = payload.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = payload.count(b"\n", 0, error.start) + 1
        raise NotReadable(line, "not UTF-8; save it as UTF-8") from None
    # JSON may be indented by tabs, which YAML refuses; within a JSON string there is no bare tab.
    return _HALVES.sub(_joined, text.replace("\t", " ")) if json else text


_HALVES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")


def _joined(match: re.Match[str]) -> str:
    """JSON writes characters beyond 16 bits as two halves, which YAML does not know."""
    before, high, low = match.groups()
    return f"{before}\\U{0x10000 + (int(high, 16) - 0xD800) * 0x400 + int(low, 16) - 0xDC00:08x}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1 if node.start_mark is not None else 1


def _line_of(error: yaml.MarkedYAMLError, text: str) -> int:
    mark = error.problem_mark or error.context_mark
    last = max(len(text.splitlines()), 1)
    # What is never closed is found wrong after the last line.
    return min(mark.line + 1, last) if mark is not None else 1


def _line_of_odd(text: str) -> int:
    odd = yaml.reader.Reader.NON_PRINTABLE.search(text)
    return text.count("\n", 0, odd.start()) + 1 if odd else 1


def _said(error: yaml.MarkedYAMLError, text: str) -> str:
    """In our own words: the parser's may hold a piece of the file."""
    problem = error.problem or ""
    if "cannot start any token" in problem and error.problem_mark is not None:
        lines = text.splitlines()[error.problem_mark.line :][:1]
        if lines and lines[0][error.problem_mark.column :].startswith("\t"):
            return "a tab; YAML is indented by spaces"
    return next((said for sign, said in _PROBLEMS.items() if sign in problem), _NO_YAML)


_NO_YAML = "this is no YAML; look at indentation, colons and quotes here and on the line above"
_INDENTED = "the indentation does not fit the lines above"
_UNCLOSED = "a bracket that is not closed, or a comma that is missing"
_PROBLEMS = {
    "cannot start any token": "a value that starts with a sign YAML keeps for itself; put it in quotes",
    "alias": "an alias (`*…`) without its anchor (`&…`) above; put the value in quotes if it is none",
    "second occurrence": "an anchor (`&…`) is here twice; rename one, or put the value in quotes if it is none",
    "duplicate anchor": "an anchor (`&…`) is here twice; rename one, or put the value in quotes if it is none",
    "mapping values are not allowed": "a second colon in one line; put the value in quotes, or indent it",
    "end of stream": "a quote that is opened and never closed",
    "unknown escape": "a backslash that means nothing within double quotes; use single quotes",
    "expected ':'": "a colon is missing after a key",
    "expected ',' or": _UNCLOSED,
    "node content": _UNCLOSED,
    "expected key": _INDENTED,
    "expected '-' indicator": _INDENTED,
    "<block end>": _INDENTED,
}
"""A piece of the parser's message → ours. The first that fits."""
