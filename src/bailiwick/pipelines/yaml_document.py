"""YAML as data with line numbers, read from files that nobody has vouched for.

YAML 1.2 scalars (so `on`, `no` and `1:30` are text), finite numbers, no tags, no merge keys, repeated keys refused, and limits on size,
depth and on what aliases may unfold to.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from bailiwick.core.errors import InvalidInput, LimitExceeded

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_NODES = 50_000
"""Of values, each use of an alias counted in full."""

Path = tuple[str | int, ...]
"""Keys and list positions from the top of the document down to a value."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong at a line of the file (1 is the first; 0 is the file as a whole)."""

    line: int
    key: str
    message: str


@dataclass(slots=True)
class Document:
    """Plain values, where each stands, and which keys were given twice."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """Line of the value at `path`, or of the nearest mapping that would hold it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_document(text: str) -> Document:
    """Raises InvalidInput naming line and column where the text is not YAML, LimitExceeded where it is too much of it."""
    if len(text.encode()) > MAX_BYTES:
        raise LimitExceeded(f"The file has over {MAX_BYTES} bytes; a project file is at most that long.")
    try:
        _check_shape(text)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise InvalidInput(f"{place}not YAML: {what}.", hint=_syntax_hint(text)) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidInput(f"not YAML: {error}.".replace("\n", " ")) from None
    document = Document()
    if node is not None:
        document.value = _Reader(document).read(node, ())
    return document


def shown(path: Path) -> str:
    """A path as people write it: `train.tune.space`, `evaluate.gates[0]`."""
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in path]
    return "".join(parts).lstrip(".")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Resolves only the scalars of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", [*"tTfF"]),
    ("int", r"[-+]?[0-9]{1,15}|0o[0-7]{1,15}|0x[0-9a-fA-F]{1,12}", [*"-+0123456789"]),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        [*"-+.0123456789"],
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})\\Z"), _first)


class _Reader:
    """Turns composed nodes into plain values, unfolding aliases up to the limit."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._left = MAX_NODES

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._left -= 1
        if self._left < 0 or len(path) > MAX_DEPTH:
            raise LimitExceeded("The file unfolds to too many values; does an alias (*name) contain itself?")
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, position)) for position, item in enumerate(node.value)]
        return self._scalar(node, path)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._complain(key_node, path, "a key must be plain text.")
                continue
            key = str(key_node.value)
            where = (*path, key)
            if key in found:
                first = self._document.lines[where]
                self._complain(key_node, where, f"{key!r} is given twice; the first is on line {first}. Keep one.")
                continue
            self._document.lines[where] = key_node.start_mark.line + 1
            found[key] = self.read(value_node, where)
        return found

    def _scalar(self, node: yaml.Node, path: Path) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        if kind == "int":
            return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
        if kind == "float":
            return self._float(node, path, text)
        if kind != "str":
            self._complain(node, path, f"the tag {node.tag!r} is not understood; write the value without a tag.")
        return text

    def _float(self, node: yaml.Node, path: Path, text: str) -> float:
        value = float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        if not math.isfinite(value):
            self._complain(node, path, f"{text[:40]} is not a number that can be used.")
            return 0.0
        return value

    def _complain(self, node: yaml.Node, path: Path, message: str) -> None:
        self._document.problems.append(Problem(node.start_mark.line + 1, shown(path), message))


def _check_shape(text: str) -> None:
    """Limits on events before anything recursive sees them."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            depth += 1
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            depth -= 1
        if depth > MAX_DEPTH or count > 2 * MAX_NODES:
            raise LimitExceeded(f"The file nests deeper than {MAX_DEPTH} levels or has over {MAX_NODES} values.")


def _syntax_hint(text: str) -> str:
    if "\t" in text:
        return "Indent with spaces; YAML does not allow tabs."
    return "Check indentation, and quote texts that hold `: ` or begin with one of * & ! { [ @."
