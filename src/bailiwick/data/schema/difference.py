"""What is different between two schemas, told by feature and field, whatever the order of the lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from bailiwick.data.schema.tree import SchemaTree


@dataclass(frozen=True, slots=True)
class Change:
    """`where` is a feature, `domain NAME` or "" for the whole schema; `field` is "" when all of it came or went.

    `before` and `after` are in protobuf text format on one line; "" is absent.
    """

    where: str
    field: str
    before: str
    after: str


def differences(before: Any, after: Any) -> list[Change]:
    """Changes from one schema to the other, in order of place and field; an empty list means they say the same."""
    old, new = SchemaTree(before), SchemaTree(after)
    changes = [*_in_map("", {".".join(k): v for k, v in old.features.items()},
                        {".".join(k): v for k, v in new.features.items()}, without={"name", "struct_domain"}),
               *_in_map("sparse feature ", {".".join(k): v for k, v in old.sparse.items()},
                        {".".join(k): v for k, v in new.sparse.items()}, without={"name"}),
               *_in_map("weighted feature ", {k[0]: v for k, v in old.weighted.items()},
                        {k[0]: v for k, v in new.weighted.items()}, without={"name"}),
               *_in_domains(old.domains, new.domains),
               *_in_fields("", before, after, without={"feature", "sparse_feature", "weighted_feature", "string_domain"}),
               ]  # fmt: skip
    return sorted(changes, key=lambda change: (change.where, change.field))


def _in_map(what: str, before: dict[str, Any], after: dict[str, Any], *, without: set[str]) -> Iterator[Change]:
    for name in before.keys() | after.keys():
        where = what + name
        if name not in after:
            yield Change(where, "", _line(before[name]), "")
        elif name not in before:
            yield Change(where, "", "", _line(after[name]))
        else:
            yield from _in_fields(where, before[name], after[name], without=without)


def _in_fields(where: str, before: Any, after: Any, *, without: set[str]) -> Iterator[Change]:
    for field in type(before).DESCRIPTOR.fields:
        if field.name in without:
            continue
        old, new = _field(before, field), _field(after, field)
        if old != new:
            yield Change(where, field.name, old, new)


def _in_domains(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Change]:
    for name in before.keys() | after.keys():
        old = list(before[name].value) if name in before else []
        new = list(after[name].value) if name in after else []
        gone = [value for value in old if value not in set(new)]
        come = [value for value in new if value not in set(old)]
        if gone or come or (name in before) != (name in after):
            field = "value" if name in before and name in after else ""
            yield Change(f"domain {name}", field, ", ".join(gone), ", ".join(come))


def _field(message: Any, field: Any) -> str:
    kept = type(message)()
    found = {descriptor.name: value for descriptor, value in message.ListFields()}
    if field.name not in found:
        return ""
    if field.is_repeated:
        getattr(kept, field.name).extend(found[field.name])
    elif field.message_type is not None:
        getattr(kept, field.name).CopyFrom(found[field.name])
    else:
        setattr(kept, field.name, found[field.name])
    return _line(kept)


def _line(message: Any) -> str:
    return str(text_format.MessageToString(message, as_one_line=True, as_utf8=True))
