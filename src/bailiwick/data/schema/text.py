"""Schemas as text: read with errors that name file and line, written whole or not at all."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from bailiwick.core.errors import InvalidInput


def read_schema(path: Path) -> Any:
    """The schema in a text-format file. Raises InvalidInput naming the file, line and what is wrong there."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidInput(
            f"Schema file {path} does not exist.", hint="Infer one, review it, and keep it in git."
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"Schema file {path} cannot be read: {error}.") from error
    return parse_schema(text, str(path))


def parse_schema(text: str, origin: str = "schema") -> Any:
    """The schema in text format; `origin` is what an error calls the text."""
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        where = f", line {error.GetLine()}" if error.GetLine() else ""
        reason = re.sub(r"^(\d+:\d+ : )+", "", str(error)).strip().rstrip(".")
        raise InvalidInput(
            f"{origin}{where}: {reason}.", hint="It should be a TFDV schema in protobuf text format."
        ) from error
    except RecursionError as error:
        raise InvalidInput(f"{origin}: messages are nested too deeply to be a schema.") from error
    _check(schema, origin)
    return schema


def write_schema(schema: Any, path: Path) -> None:
    """Write the schema as text, whole or not at all (temporary file, then rename)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(schema_text(schema), encoding="utf-8")
    temporary.replace(path)


def schema_text(schema: Any) -> str:
    """The schema in protobuf text format, UTF-8 unescaped."""
    return str(text_format.MessageToString(schema, as_utf8=True))


def _check(schema: Any, origin: str) -> None:
    names: set[str] = set()
    domains = {domain.name for domain in schema.string_domain}
    for feature in schema.feature:
        if not feature.name:
            raise InvalidInput(f"{origin}: a feature has no name.")
        if feature.name in names:
            raise InvalidInput(f"{origin}: feature {feature.name!r} appears twice.")
        names.add(feature.name)
        if feature.domain and feature.domain not in domains:
            raise InvalidInput.choice(f"{origin}: feature {feature.name!r}: domain", feature.domain, domains)
