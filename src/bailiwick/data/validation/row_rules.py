"""What a schema says of single rows, as checks in SQL, to list the rows that break it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bailiwick.core.deferred import deferred
from bailiwick.data.arrow_types import is_list
from bailiwick.data.schema.tree import is_deprecated
from bailiwick.data.statistics.texts import LONG_TEXTS, LONGEST_RANKED
from bailiwick.data.validation.sql import SqlCheck

if TYPE_CHECKING:
    import pyarrow as pa
else:
    pa = deferred("pyarrow")

_WHOLE = "[+-]?[0-9]+"


def schema_checks(schema: Any, columns: pa.Schema) -> list[SqlCheck]:
    """Presence, numbers of values, domains and ranges of the columns that are there, lists value by value.

    Only of features at the top; limits of shares (`min_domain_mass`, a `min_fraction` below 1) are of no single row, and a
    column that is not there is to blame on none.
    """
    domains = {domain.name: list(domain.value) for domain in schema.string_domain}
    checks = []
    for feature in schema.feature:
        if is_deprecated(feature) or feature.name not in columns.names:
            continue
        column, kind = '"' + feature.name.replace('"', '""') + '"', columns.field(feature.name).type
        if feature.presence.min_fraction == 1:
            checks.append(SqlCheck(f"{feature.name}: FEATURE_TYPE_LOW_FRACTION_PRESENT", f"{column} IS NOT NULL"))
        if is_list(kind):
            checks += [SqlCheck(f"{feature.name}: {name}", each) for name, each in _lengths(feature, column)]
        for name, condition in _of_values(feature, _inner(kind), domains):
            checks.append(SqlCheck(f"{feature.name}: {name}", _of_each(condition, column, kind)))
    return checks


def _inner(kind: pa.DataType) -> pa.DataType:
    while is_list(kind):
        kind = kind.value_type
    return kind


def _of_each(condition: str, column: str, kind: pa.DataType) -> str:
    """The condition, which speaks of `{x}`, of the value or of all values of a list."""
    if not is_list(kind):
        return condition.format(x=column)
    values = column
    while is_list(kind := kind.value_type):
        values = f"flatten({values})"
    return f"len(list_filter({values}, lambda x: ({condition.format(x='x')}) IS FALSE)) = 0"


def _lengths(feature: Any, column: str) -> Iterator[tuple[str, str]]:
    if feature.value_count.min:
        yield "FEATURE_TYPE_LOW_NUMBER_VALUES", f"len({column}) >= {feature.value_count.min}"
    if feature.value_count.max:
        yield "FEATURE_TYPE_HIGH_NUMBER_VALUES", f"len({column}) <= {feature.value_count.max}"


def _of_values(feature: Any, kind: pa.DataType, domains: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    which = feature.WhichOneof("domain_info")
    words = domains.get(feature.domain, []) if which == "domain" else list(feature.string_domain.value)
    text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
    if which in {"domain", "string_domain"}:
        if words and text and not feature.distribution_constraints.HasField("min_domain_mass"):
            long = f" OR strlen({{x}}) > {LONGEST_RANKED}" if LONG_TEXTS in words else ""
            yield "ENUM_TYPE_UNEXPECTED_STRING_VALUES", f"{{x}} IN ({', '.join(map(_quoted, words))}){long}"
    elif which in {"int_domain", "float_domain"} and (text or _is_number(kind)):
        yield from _ranges(getattr(feature, which), which.removesuffix("_domain").upper(), text=text)


def _quoted(word: str) -> str:
    """As SQL writes a text, and `format` reads it."""
    return "'" + word.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _ranges(domain: Any, name: str, *, text: bool) -> Iterator[tuple[str, str]]:
    """NaN is in no range and breaks none."""
    number = "TRY_CAST({x} AS DOUBLE)" if text else "{x}"
    if text and name == "INT":
        yield "INT_TYPE_NOT_INT_STRING", f"regexp_full_match(trim({{x}}), '{_WHOLE}')"
        number = "TRY_CAST({x} AS HUGEINT)"
    elif text:
        yield "FLOAT_TYPE_STRING_NOT_FLOAT", f"{{x}} IS NULL OR {number} IS NOT NULL"
    unless = f"isnan({number}::DOUBLE) OR " if name == "FLOAT" else ""
    if domain.HasField("min"):
        yield f"{name}_TYPE_SMALL_{name}", f"{unless}{number} >= {domain.min!r}"
    if domain.HasField("max"):
        yield f"{name}_TYPE_BIG_{name}", f"{unless}{number} <= {domain.max!r}"
    if name == "FLOAT" and domain.disallow_nan:
        yield "FLOAT_TYPE_HAS_NAN", f"NOT isnan({number}::DOUBLE)"
    if name == "FLOAT" and domain.disallow_inf:
        yield "FLOAT_TYPE_HAS_INF", f"NOT isinf({number}::DOUBLE)"
