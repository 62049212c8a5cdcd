"""Reading files into Arrow: CSV, Parquet and JSON lines, by name or glob. Every failure names the file, and the row where it is known."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.json as arrow_json
from pyarrow import parquet

from bailiwick.core.errors import InvalidInput

NULLS = ["", "NA", "N/A", "NULL", "null", "NaN", "nan"]
"""What an unquoted CSV cell says when it says nothing; the same in quotes is text."""

_LARGEST_BLOCK = 1 << 30  # types are settled by the first block, so a file up to 1 GiB is one block


def read_source(source: str, base: Path, *, columns: Iterable[str] = ()) -> pa.Table:
    """All rows of the files that `source` (a path or glob, relative to `base`) matches, in order of file name.

    `columns` must be present. Files of one source must have the same columns; whole numbers and fractions mix.
    Raises InvalidInput naming the file, and the row or column where it is known.
    """
    tables = [(path, _read_file(path)) for path in _matches(source, base)]
    first_path, first = tables[0]
    for path, table in tables:
        _require(table, first.column_names, path, f"which {first_path.name} has")
    _require(first, columns, first_path, "which is needed")
    aligned: list[pa.Table] = []
    for path, table in tables:
        try:
            unified = pa.unify_schemas([first.schema, table.schema], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise InvalidInput(_type_clash(first_path, first, path, table) or f"{path}: {error}.") from error
        if len(unified) > first.num_columns:
            extra = sorted(set(table.column_names) - set(first.column_names))
            raise InvalidInput(f"{path} has columns that {first_path.name} lacks: {', '.join(extra)}.")
        aligned.append(table)
    return pa.concat_tables(aligned, promote_options="permissive")


def _matches(source: str, base: Path) -> list[Path]:
    if "://" in source:
        raise InvalidInput(
            f"Source {source!r} is a URL; sources are paths or globs of {', '.join(sorted(_READERS))} files."
        )
    named = base / source
    matches = glob.glob(str(named), recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [named] if named.is_file() else sorted(path for path in map(Path, matches) if path.is_file())
    if found:
        return found
    if named.is_dir():
        raise InvalidInput(
            f"Source {source!r} is a folder.", hint=f"Name its files, e.g. {source.rstrip('/')}/*.parquet"
        )
    if glob.has_magic(source):
        raise InvalidInput(f"No file matches {named}.", hint="Check the pattern and the folder it is relative to.")
    neighbours = [path.name for path in named.parent.iterdir()] if named.parent.is_dir() else []
    near = get_close_matches(named.name, neighbours, n=1)
    raise InvalidInput(f"File {named} does not exist.", hint=f"Did you mean {near[0]!r}?" if near else "")


def _read_file(path: Path) -> pa.Table:
    suffix = next((ending for ending in _READERS if path.name.lower().endswith(ending)), "")
    if not suffix:
        raise InvalidInput.choice(f"{path}: file type", path.suffix, _READERS)
    try:
        table = _READERS[suffix](path)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InvalidInput(f"{path} cannot be read: {reason.rstrip('.')}.") from error
    repeated = {name for name in table.column_names if table.column_names.count(name) > 1}
    if repeated:
        raise InvalidInput(f"{path} names a column twice: {', '.join(sorted(repeated))}.")
    return table


def _read_csv(path: Path) -> pa.Table:
    ragged: list[arrow_csv.InvalidRow] = []

    def remember(row: arrow_csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    table = _parse_csv(path, remember, threads=True)
    if ragged:  # only a single-threaded read numbers its rows
        ragged.clear()
        _parse_csv(path, remember, threads=False)
        row = ragged[0]
        more = f" ({len(ragged)} rows are like this.)" if len(ragged) > 1 else ""
        raise InvalidInput(
            f"{path}, row {row.number}: expected {row.expected_columns} columns, found {row.actual_columns}.{more}",
            hint="The header is row 1. Quote cells that hold a comma.",
        )
    for field in table.schema:
        if pa.types.is_binary(field.type):
            raise InvalidInput(f"{path}, column {field.name!r}: the text is not UTF-8.", hint="Save the file as UTF-8.")
    return table


def _parse_csv(path: Path, invalid_row: Callable[[arrow_csv.InvalidRow], str], *, threads: bool) -> pa.Table:
    return arrow_csv.read_csv(
        path,
        read_options=arrow_csv.ReadOptions(use_threads=threads, block_size=_block_bytes(path)),
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=invalid_row),
        convert_options=arrow_csv.ConvertOptions(
            null_values=NULLS, strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


def _read_json(path: Path) -> pa.Table:
    return arrow_json.read_json(path, read_options=arrow_json.ReadOptions(block_size=_block_bytes(path)))


def _read_parquet(path: Path) -> pa.Table:
    with parquet.ParquetFile(path) as file:
        return file.read()


def _block_bytes(path: Path) -> int:
    compression = 1 if path.suffix.lower() in {".csv", ".jsonl", ".ndjson"} else 16
    return min(max(path.stat().st_size * compression, 1) + 1, _LARGEST_BLOCK)


def _require(table: pa.Table, columns: Iterable[str], path: Path, why: str) -> None:
    for name in columns:
        if name not in table.column_names:
            near = get_close_matches(name, table.column_names, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has: {', '.join(table.column_names)}."
            raise InvalidInput(f"{path} has no column {name!r}, {why}.", hint=hint)


def _type_clash(first_path: Path, first: pa.Table, path: Path, table: pa.Table) -> str:
    for field in table.schema:
        expected = first.schema.field(field.name).type
        try:
            pa.unify_schemas([pa.schema([(field.name, expected)]), pa.schema([field])], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            return f"{path}, column {field.name!r}: it is {field.type} here and {expected} in {first_path.name}."
    return ""


_READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".csv": _read_csv,
    ".csv.gz": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_json,
    ".ndjson": _read_json,
    ".jsonl.gz": _read_json,
}
