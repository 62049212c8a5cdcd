"""From pydantic's findings to sentences with file, line, key, value, choices and fix."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bailiwick.core.errors import InvalidInput
from bailiwick.pipelines.yaml_document import Document, Path, Problem, shown

_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list, such as [a, b]",
    "list_type": "a list, such as [a, b]",
    "dict_type": "a mapping of keys to values",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}


def complain(name: str, problems: Iterable[Problem]) -> InvalidInput:
    """One error that lists every problem, by line."""
    found = sorted(problems, key=lambda problem: (problem.line, problem.key))
    lines = [f"{name}:{problem.line}: {problem.key} {problem.message}".replace("  ", " ") for problem in found]
    if len(lines) == 1:
        return InvalidInput(lines[0])
    return InvalidInput(f"{name} has {len(lines)} problems:\n" + "\n".join(f"  {line}" for line in lines))


def to_problems(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """A problem for each of pydantic's findings."""
    found = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # it is short of items only because those it has are wrong, which is told already
        path: Path = tuple(part for part in detail["loc"] if part != "[key]")
        found.append(Problem(document.line(path), shown(path), _message(dict(detail), path, model)))
    return found


def _message(detail: Mapping[str, Any], path: Path, model: type[BaseModel]) -> str:
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    if kind in _WANTED:
        return f"must be {_WANTED[kind]}, and is {_named(value)}.{_unquote(kind, value)}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"is {value!r}; it must be {words} {context[bound]:g}."
    sentence = _SENTENCES.get(kind)
    return sentence(value, context, path, model) if sentence else f"{detail['msg']}; it is {_named(value)}."


def _choices(value: object, context: Mapping[str, Any]) -> str:
    choices = [part.strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(", ")]
    return str(InvalidInput.choice("is", value, choices)).removeprefix("is ")


def _unknown_key(path: Path, model: type[BaseModel]) -> str:
    section = _section(model, path[:-1])
    known = sorted(info.alias or name for name, info in section.model_fields.items()) if section else []
    near = get_close_matches(str(path[-1]), known, n=1)
    fix = f" Did you mean {near[0]!r}?" if near else " Remove it."
    return f"is not a known key; there are: {', '.join(known)}.{fix}"


def _example(model: type[BaseModel], path: Path) -> str:
    info = _field(model, path)
    return f" For example: {info.examples[0]}" if info and info.examples else ""


def _form(model: type[BaseModel], path: Path, pattern: object) -> str:
    info = _field(model, path)
    return info.description if info and info.description else f"it must match {pattern}"


def _field(model: type[BaseModel], path: Path) -> FieldInfo | None:
    section = _section(model, path[:-1])
    return section.model_fields.get(str(path[-1])) if section and path else None


def _section(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The section that a path leads to, through aliases, optional sections and mappings of sections."""
    section: type[BaseModel] | None = model
    inner: Any = None
    for part in path:
        if section is None:
            section, inner = _model_in(inner), None
            continue
        info = next((info for name, info in section.model_fields.items() if part in {name, info.alias}), None)
        if info is None:
            return None
        inner = info.annotation
        direct = inner if isinstance(inner, type) and issubclass(inner, BaseModel) else None
        section = direct or (None if getattr(inner, "__origin__", None) is dict else _model_in(inner))
    return section


def _model_in(annotation: Any) -> type[BaseModel] | None:
    return next((arg for arg in get_args(annotation) if isinstance(arg, type) and issubclass(arg, BaseModel)), None)


def _named(value: object) -> str:
    if value is None:
        return "empty"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value) if len(repr(value)) < 80 else f"{repr(value)[:77]}..."
    return f"the text {text}" if isinstance(value, str) else text


def _unquote(kind: str, value: object) -> str:
    number = kind in {"int_type", "float_type"}
    if number and isinstance(value, str) and value.strip().replace(".", "", 1).lstrip("-").isdigit():
        return " Remove the quotes."
    return ""


_SENTENCES: dict[str, Callable[[Any, Mapping[str, Any], Path, type[BaseModel]], str]] = {
    "missing": lambda _value, _context, path, model: f"is missing.{_example(model, path)}",
    "extra_forbidden": lambda _value, _context, path, model: _unknown_key(path, model),
    "literal_error": lambda value, context, _path, _model: _choices(value, context),
    "string_pattern_mismatch": lambda value, context, path, model: (
        f"{value!r} does not do: {_form(model, path, context['pattern'])}.{_example(model, path)}"
    ),
    "too_short": lambda _value, _context, _path, _model: "must not be empty.",
    "too_long": lambda value, context, _path, _model: (
        f"must have at most {context['max_length']} items, and has {len(value)}."
    ),
    "string_too_short": lambda _value, _context, _path, _model: "must not be empty.",
    "value_error": lambda _value, context, _path, _model: str(context["error"]),
}
