"""JSON lines: one object a line, columns and types settled by all of them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec
import pyarrow as pa
import pyarrow.json as arrow_json

from bailiwick.core.errors import InvalidInput
from bailiwick.data.reading.blocks import BLOCK_BYTES, blocks
from bailiwick.data.reading.model import BATCH_ROWS, SourceOptions
from bailiwick.data.reading.places import Place

_ROW = re.compile(r" in row (\d+)")


class JsonLinesReader:
    """One file of JSON lines."""

    def __init__(self, place: Place, options: SourceOptions, *, block_bytes: int = BLOCK_BYTES) -> None:
        self.name = place.name
        self._place = place
        self._options = options
        self._block_bytes = block_bytes
        self._only: pa.Table | None = None

    def schema(self) -> pa.Schema:
        """Reads the file once; what fits one block is kept and not read again."""
        declared = self._options.arrow_types()
        schema: pa.Schema | None = None
        self._only = None
        rows = count = 0
        for count, block in enumerate(self._blocks(), start=1):
            table = self._parsed(block, rows, pa.schema(declared.items()), unknown="infer")
            schema = table.schema if schema is None else self._joined(schema, table.schema, rows)
            rows += table.num_rows
            self._only = table if count == 1 else None
        if schema is None or not rows:
            raise InvalidInput(f"{self.name} cannot be read: it has no rows.")
        return schema

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """A column that some lines leave out is null there."""
        if self._only is not None and set(columns) <= set(self._only.column_names):
            yield from self._only.select(list(columns)).to_batches(max_chunksize=BATCH_ROWS)
            return
        chosen = pa.schema([schema.field(name) for name in columns])
        rows = 0
        for block in self._blocks():
            table = self._parsed(block, rows, chosen, unknown="ignore")
            rows += table.num_rows
            yield from table.select(list(columns)).to_batches(max_chunksize=BATCH_ROWS)

    def _blocks(self) -> Iterator[bytes]:
        return blocks(self._place, encoding=self._options.encoding, quote="", size=self._block_bytes)

    def _parsed(self, block: bytes, rows: int, schema: pa.Schema, *, unknown: str) -> pa.Table:
        try:
            block.decode()
        except UnicodeDecodeError as error:
            row = rows + block.count(b"\n", 0, error.start) + 1
            raise InvalidInput(
                f"{self.name}, row {row}: the text is not UTF-8.", hint="Save it as UTF-8, or name its encoding."
            ) from error
        try:
            return arrow_json.read_json(
                pa.py_buffer(block),
                read_options=arrow_json.ReadOptions(block_size=len(block) + 1, use_threads=False),
                parse_options=arrow_json.ParseOptions(
                    explicit_schema=schema if len(schema) else None, unexpected_field_behavior=unknown
                ),
            )
        except (pa.ArrowException, ValueError) as error:
            raise InvalidInput(f"{self.name} cannot be read: {self._where(block, rows, str(error))}.") from error

    def _where(self, block: bytes, rows: int, message: str) -> str:
        """Arrow counts from 0 and within the block; people count from 1 and within the file."""
        for number, line in enumerate(block.splitlines(), start=rows + 1):
            try:
                if line.strip() and not isinstance(msgspec.json.decode(line), dict):
                    return f"row {number} is not an object"
            except msgspec.DecodeError as error:
                return f"row {number} is not JSON ({error})"
        return _ROW.sub(lambda found: f" in row {int(found[1]) + rows + 1}", message).rstrip(".")

    def _joined(self, one: pa.Schema, other: pa.Schema, rows: int) -> pa.Schema:
        try:
            return pa.unify_schemas([one, other], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            for field in other:
                at = one.get_field_index(field.name)
                if at >= 0 and not _unifiable(one.field(at), field):
                    raise InvalidInput(
                        f"{self.name}, column {field.name!r}: it is {field.type} from about row {rows + 1} on, "
                        f"and {one.field(at).type} before."
                    ) from error
            raise InvalidInput(f"{self.name}: {error}.") from error


def _unifiable(one: pa.Field, other: pa.Field) -> bool:
    try:
        pa.unify_schemas([pa.schema([one]), pa.schema([other])], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return False
    return True
