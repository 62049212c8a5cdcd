"""Requests as MLflow clients send them, by the rules of proto-JSON, and the exact words for what is wrong with one.

Unknown fields are ignored, a field may go by its name in camel case, `null` is a field that was not set, whole numbers may come as texts, and NaN and the
infinities come as texts (bare, as Python's `json` writes them, is taken too).
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, TypeVar

import msgspec
from msgspec import Meta, Struct

from bailiwick.server.mlflow.errors import INVALID, MlflowError

Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Filled = Annotated[str, Meta(min_length=1)]
M = TypeVar("M", bound="Message")

_SEE_DOCS = " See the API docs for more information about request parameters."
_MISSING = object()


class Message(Struct, kw_only=True):
    """A request. `required` names the fields that must be there and not be empty texts.

    A field that is not required has a default. So has one that is, where its absence is to be found here; where a request
    has thousands of them it has none, is `Filled` if it is a text, and is found absent by the decoder.
    """

    required: ClassVar[tuple[str, ...]] = ()


def read_body(data: bytes, kind: type[M]) -> M:
    """The message in a body; an empty body is an empty message. Raises MlflowError naming the parameter."""
    if b"\\u0000" in data:
        raise MlflowError(INVALID, "The request body holds a NUL character, which no record can keep.")
    if not data:
        return read_fields({}, kind)
    if any(name in data for name in _camel_names(kind)):
        return read_fields(_named_as_here(_loaded(data), kind), kind)
    try:
        return _checked(msgspec.json.decode(data, type=kind, strict=False))
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return read_fields(_loaded(data), kind)


def read_query(pairs: list[tuple[str, str]], kind: type[M]) -> M:
    """The message in a query string, where a repeated field is a repeated key. Raises MlflowError."""
    fields: dict[str, Any] = {}
    lists = _lists(kind)
    for name, value in pairs:
        if "\x00" in value:
            raise MlflowError(INVALID, f"Parameter {name[:100]!r} holds a NUL character, which no record can keep.")
        if name in lists:
            fields.setdefault(name, []).append(value)
        else:
            fields[name] = value
    return read_fields(fields, kind)


def read_fields(fields: Mapping[str, Any], kind: type[M]) -> M:
    """The message in decoded JSON. Raises MlflowError for the first field, in order, that is missing or of another type."""
    try:
        return _checked(msgspec.convert(fields, kind, strict=False))
    except msgspec.ValidationError as error:
        _explain(fields, kind, "")
        raise MlflowError(INVALID, f"The request is not understood: {error}.{_SEE_DOCS}") from None


def number(value: float) -> float | str:
    """A double as proto-JSON has it."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _loaded(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError):
        raise MlflowError(INVALID, "The request body is not JSON.") from None
    if not isinstance(value, dict):
        raise MlflowError(INVALID, "The request body must be a JSON object.")
    return value


def _checked(message: M) -> M:
    _require(message, "")
    return message


def _require(message: Message, path: str) -> None:
    for name in message.required:
        if getattr(message, name) in (None, ""):
            raise _missing(path + name)
    for name in _nested(type(message)):
        value = getattr(message, name)
        if isinstance(value, Message):
            _require(value, f"{path}{name}.")
        elif value:
            for index, item in enumerate(value):
                _require(item, f"{path}{name}[{index}].")


def _missing(parameter: str) -> MlflowError:
    return MlflowError(INVALID, f"Missing value for required parameter '{parameter}'.{_SEE_DOCS}")


def _explain(fields: Mapping[str, Any], kind: type[Message], path: str) -> None:
    """Raises for the first field that is wrong."""
    for name, hint in _hints(kind).items():
        value = fields.get(name, _MISSING)
        if value is _MISSING or value is None or (value == "" and name in kind.required):
            if name in kind.required:
                raise _missing(path + name)
            continue
        _explain_value(value, hint, path + name)


def _explain_value(value: Any, hint: Any, path: str) -> None:
    try:
        msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError:
        inner = _message_type(hint)
        if inner and isinstance(value, dict):
            _explain(value, inner, f"{path}.")
        elif inner and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, dict):
                    _explain(item, inner, f"{path}[{index}].")
        shown = json.dumps(value, sort_keys=True, separators=(",", ":"))
        said = f"Invalid value {shown[:1000]} for parameter '{path}' supplied: Hint: Value was of type"
        raise MlflowError(INVALID, f"{said} '{type(value).__name__}'.{_SEE_DOCS}") from None


def _named_as_here(fields: dict[str, Any], kind: type[Message]) -> dict[str, Any]:
    """The same with every field under its own name. Raises MlflowError for one that is there under both."""
    found = dict(fields)
    for name, hint in _hints(kind).items():
        other = _camel_of(kind, name)
        if other != name and other in found:
            if name in found:
                raise MlflowError(INVALID, f"Request specifies both '{name}' and '{other}'; provide only one of them.")
            found[name] = found.pop(other)
        inner, value = _message_type(hint), found.get(name)
        if inner and isinstance(value, dict):
            found[name] = _named_as_here(value, inner)
        elif inner and isinstance(value, list):
            found[name] = [_named_as_here(item, inner) if isinstance(item, dict) else item for item in value]
    return found


def _camel_of(kind: type[Message], name: str) -> str:
    """A field's other name; the same where its only name in JSON is another already."""
    if kind.__struct_encode_fields__[kind.__struct_fields__.index(name)] != name:
        return name
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


_known_camel_names: dict[type, tuple[bytes, ...]] = {}
_known_hints: dict[type, dict[str, Any]] = {}
_known_lists: dict[type, frozenset[str]] = {}
_known_nested: dict[type, tuple[str, ...]] = {}


def _hints(kind: type[Message]) -> dict[str, Any]:
    if kind not in _known_hints:
        found = typing.get_type_hints(kind, include_extras=True)
        _known_hints[kind] = {name: found[name] for name in kind.__struct_fields__}
    return _known_hints[kind]


def _camel_names(kind: type[Message]) -> tuple[bytes, ...]:
    """How a message's fields, and those of what is in it, look in JSON where they are in camel case."""
    if kind not in _known_camel_names:
        names = {f'"{camel}"'.encode() for name in _hints(kind) if (camel := _camel_of(kind, name)) != name}
        for inner in filter(None, map(_message_type, _hints(kind).values())):
            names.update(_camel_names(inner))
        _known_camel_names[kind] = tuple(sorted(names))
    return _known_camel_names[kind]


def _lists(kind: type[Message]) -> frozenset[str]:
    if kind not in _known_lists:
        _known_lists[kind] = frozenset(name for name, hint in _hints(kind).items() if _is_list(hint))
    return _known_lists[kind]


def _nested(kind: type[Message]) -> tuple[str, ...]:
    if kind not in _known_nested:
        inner = {name: _message_type(hint) for name, hint in _hints(kind).items()}
        _known_nested[kind] = tuple(name for name, each in inner.items() if each and _left_to_check(each))
    return _known_nested[kind]


def _left_to_check(kind: type[Message]) -> bool:
    """Whether a message that was decoded may still lack something."""
    return bool(_nested(kind)) or not {*kind.required} <= {*_without_default(kind)}


def _without_default(kind: type[Message]) -> list[str]:
    return [each.name for each in msgspec.structs.fields(kind) if each.required]


def _parts(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in {typing.Union, types.UnionType} else (hint,)


def _is_list(hint: Any) -> bool:
    return any(typing.get_origin(part) is list for part in _parts(hint))


def _message_type(hint: Any) -> type[Message] | None:
    for part in _parts(hint):
        inner = typing.get_args(part)[0] if typing.get_origin(part) is list else part
        if isinstance(inner, type) and issubclass(inner, Message):
            return inner
    return None
