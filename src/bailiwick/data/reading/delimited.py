"""CSV: types settled by every row, in one pass for what fits an allowance of memory and in two for what does not."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa
import pyarrow.csv as arrow_csv

from bailiwick.core.errors import InvalidInput
from bailiwick.data.reading.blocks import BLOCK_BYTES, blocks
from bailiwick.data.reading.model import BATCH_ROWS, Allowance, SourceOptions, one_of_each
from bailiwick.data.reading.places import Place
from bailiwick.data.reading.turns import in_turn

_CONVERSION = re.compile(r"In CSV column #(\d+): (?:Row #(\d+): )?(.*)", re.DOTALL)
_UNITS = ("s", "ms", "us", "ns")


class DelimitedReader:
    """One CSV file."""

    def __init__(
        self,
        place: Place,
        options: SourceOptions,
        *,
        block_bytes: int = BLOCK_BYTES,
        allowance: Allowance | None = None,
    ) -> None:
        self.name = place.name
        self._place = place
        self._options = options
        self._block_bytes = block_bytes
        self._allowance = allowance or Allowance()
        self._names: list[str] = list(options.names)
        self._kept: list[pa.Table] | None = None

    def schema(self) -> pa.Schema:
        """Reads the file once; while there is an allowance for it, all of it is kept and not read again."""
        types: dict[str, pa.DataType] = {}
        declared = self._options.arrow_types()
        self._forget()
        self._kept = []
        doubtful: set[str] = set()
        rows = 0
        for table in self._tables(declared, settled=types):
            self._refuse_other_text(table, rows)
            for field in table.schema:
                before = types.get(field.name, field.type)
                types[field.name] = _joined(before, field.type)
                if {before, field.type} == {pa.int64(), pa.bool_()}:  # 0 and 1 are truth values among others
                    doubtful.add(field.name)
            rows += table.num_rows
            if self._kept is not None and self._allowance.take(table.nbytes):
                self._kept.append(table)
            else:
                self._forget()
        if not types:
            raise InvalidInput(f"{self.name} cannot be read: Empty CSV file.")
        types |= {name: pa.bool_() for name in doubtful if self._is_all(name, pa.bool_())}
        return pa.schema(types.items())

    def _is_all(self, column: str, kind: pa.DataType) -> bool:
        """Whether each value of a column can be read as one, which is seen by reading it."""
        try:
            for _ in self._tables({column: kind}, [column]):
                pass
        except InvalidInput:
            return False
        return True

    def batches(self, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """As `schema` says; where that is wider than this file's own types, they are read as the wider."""
        chosen = pa.schema([schema.field(name) for name in columns])
        kept = [_widened(table, chosen) for table in self._kept or []]
        if self._kept is not None and None not in kept:
            for table in kept:
                yield from table.to_batches(max_chunksize=BATCH_ROWS) if table is not None else ()
            return
        types = {field.name: field.type for field in schema if field.name in columns}
        for table in self._tables(types, columns):
            yield from table.to_batches(max_chunksize=BATCH_ROWS)

    def _forget(self) -> None:
        for table in self._kept or ():
            self._allowance.give_back(table.nbytes)
        self._kept = None

    def _blocks(self) -> Iterator[bytes]:
        options = self._options
        return blocks(self._place, encoding=options.encoding, quote=options.quote, size=self._block_bytes)

    def _tables(
        self,
        types: Mapping[str, pa.DataType],
        columns: Sequence[str] | None = None,
        *,
        settled: Mapping[str, pa.DataType] | None = None,
    ) -> Iterator[pa.Table]:
        """The blocks as tables, parsed ahead by threads. What is amiss is looked for only where one cannot be parsed so.

        Columns are of `types`, others as they are guessed, which is spared those whose `settled` type would not be changed by it.
        """
        found = self._blocks()
        first = next(found, None)
        if first is None:
            return
        yield (table := self._parsed(first, 0, first=True, types=types, columns=columns))
        rows, block = 0, first
        for block, parsed in in_turn(lambda each: self._quickly(each, types, columns, settled), found):
            rows += table.num_rows
            table = self._parsed(block, rows, first=False, types=types, columns=columns) if parsed is None else parsed
            yield table
        if block is not first:  # all blocks end where quotes are closed, but for the last
            self._refuse_open_quote(block, self._before(rows, first=False))

    def _quickly(
        self,
        block: bytes,
        types: Mapping[str, pa.DataType],
        columns: Sequence[str] | None,
        settled: Mapping[str, pa.DataType] | None,
    ) -> pa.Table | None:
        """A block after the first, by any thread; None where something is wrong with it."""
        guesses = [{**_surely(settled), **types}, types] if settled is not None else [types]
        for guess in guesses:
            with suppress(pa.ArrowException, ValueError):
                return arrow_csv.read_csv(
                    pa.py_buffer(block),
                    read_options=self._reading(block, first=False),
                    parse_options=self._dialect(None),
                    convert_options=self._conversion(guess, columns),
                )
        return None

    def _before(self, rows: int, *, first: bool) -> int:
        """Rows of the file before a block's, as people count them."""
        return rows + (0 if first or self._options.names else 1) + (0 if first else self._options.skip)

    def _reading(self, block: bytes, *, first: bool) -> arrow_csv.ReadOptions:
        return arrow_csv.ReadOptions(
            use_threads=False,  # only a single-threaded read numbers its rows, and a block is one piece anyway
            block_size=len(block) + 1,
            column_names=self._names if self._options.names or not first else None,
            skip_rows=self._options.skip if first else 0,
        )

    def _parsed(
        self,
        block: bytes,
        rows: int,
        *,
        first: bool,
        types: Mapping[str, pa.DataType],
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """One block as a table. `rows` are the data rows of the blocks before it, `first` says that it has the header."""
        ragged: list[arrow_csv.InvalidRow] = []

        def remember(row: arrow_csv.InvalidRow) -> str:
            ragged.append(row)
            return "skip"

        before = self._before(rows, first=first)
        self._refuse_open_quote(block, before)
        undecodable = _undecodable_line(block)
        # Arrow cannot hand over a row whose text it cannot decode, and says so where nobody can catch it.
        parse = self._dialect(None if undecodable else remember)
        convert = self._conversion(types, columns)
        try:
            table = arrow_csv.read_csv(
                pa.py_buffer(block),
                read_options=self._reading(block, first=first),
                parse_options=parse,
                convert_options=convert,
            )
        except (pa.ArrowException, ValueError) as error:
            if first and types and not self._names:
                self._parsed(block, rows, first=True, types={})  # for the names, which the message needs
            if undecodable and _CONVERSION.search(str(error)) is None:
                raise InvalidInput(
                    f"{self.name}, line {undecodable + before - (1 if first else 0)}: the text is not UTF-8.",
                    hint="Save the file as UTF-8, or name its encoding.",
                ) from error
            raise self._unreadable(str(error), before) from error
        if ragged:
            row = ragged[0]
            more = f" ({len(ragged)} rows are like this.)" if len(ragged) > 1 else ""
            raise InvalidInput(
                f"{self.name}, row {(row.number or 0) + before}: expected {row.expected_columns} columns, "
                f"found {row.actual_columns}.{more}",
                hint="The header is row 1. Quote cells that hold a comma.",
            )
        if not self._names:
            try:
                self._names = table.column_names
            except UnicodeDecodeError:
                raise InvalidInput(
                    f"{self.name}, row 1: a column's name is not UTF-8.", hint="Name the file's encoding, e.g. latin-1."
                ) from None
            one_of_each(self._names, self.name)
        return table

    @property
    def _delimiter(self) -> str:
        return self._options.delimiter or ("\t" if ".tsv" in self._place.short.lower() else ",")

    def _dialect(self, invalid_row: object) -> arrow_csv.ParseOptions:
        options = self._options
        return arrow_csv.ParseOptions(
            delimiter=self._delimiter,
            quote_char=options.quote or False,
            escape_char=options.escape or False,
            newlines_in_values=True,
            invalid_row_handler=invalid_row,
        )

    def _conversion(self, types: Mapping[str, pa.DataType], columns: Sequence[str] | None) -> arrow_csv.ConvertOptions:
        return arrow_csv.ConvertOptions(
            column_types=dict(types),
            include_columns=list(columns) if columns is not None else None,
            null_values=list(self._options.nulls),
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            decimal_point=self._options.decimal,
        )

    def _unreadable(self, message: str, before: int) -> InvalidInput:
        found = _CONVERSION.search(message)
        if not found:
            return InvalidInput(f"{self.name} cannot be read: {message.rstrip('.')}.")
        column, row, why = int(found[1]), found[2], found[3]
        name = self._names[column] if column < len(self._names) else f"number {column + 1}"
        where = f", row {int(row) + before}" if row else ""
        if "UTF8" in why:
            return InvalidInput(
                f"{self.name}, column {name!r}: the text is not UTF-8{where.replace(',', ' in', 1)}.",
                hint="Save the file as UTF-8, or name its encoding.",
            )
        why = why.removeprefix("CSV conversion error to ")
        return InvalidInput(f"{self.name}{where}, column {name!r}: not a value of type {why.rstrip('.')}.")

    def _refuse_open_quote(self, block: bytes, before: int) -> None:
        """Arrow takes a quotation mark that is never closed for one that ends with the file, and all rows after it for one cell."""
        quote = self._options.quote.encode()
        if not quote or self._options.escape or block.count(quote) % 2 == 0:
            return
        found = _open_quote(block, quote, self._delimiter.encode())
        if found is not None:
            raise InvalidInput(
                f"{self.name}, row {found + before}: a quotation mark is opened and not closed.",
                hint="Double the quotation marks within a quoted cell, or give another quote character, or none.",
            )

    def _refuse_other_text(self, table: pa.Table, rows: int) -> None:
        for index, field in enumerate(table.schema):
            if pa.types.is_binary(field.type):
                row = rows + _first_undecodable(table.column(index)) + (1 if self._options.names else 2)
                raise InvalidInput(
                    f"{self.name}, column {field.name!r}: the text is not UTF-8 in row {row}.",
                    hint="Save the file as UTF-8, or name its encoding.",
                )


def _undecodable_line(block: bytes) -> int:
    """The first line (from 1) that is not UTF-8; 0 where all is."""
    try:
        if not block.isascii():
            block.decode()
    except UnicodeDecodeError as error:
        return block.count(b"\n", 0, error.start) + 1
    return 0


def _open_quote(block: bytes, quote: bytes, delimiter: bytes) -> int | None:
    """The record (from 1) of the first quoted cell that does not end, or ends within a cell; None for none.

    Quotation marks within a cell that does not begin with one are letters like others.
    """
    mark, ends = re.escape(quote), re.escape(delimiter) + rb"\r\n"
    opening = re.compile(rb"(?:\A|[" + ends + rb"])" + mark)
    closing = re.compile(rb"(?:[^" + mark + rb"]|" + mark * 2 + rb")*+" + mark + rb"(?=[" + ends + rb"]|\Z)")
    record, place = 1, 0
    while found := opening.search(block, place):
        record += block.count(b"\n", place, found.end())
        closed = closing.match(block, found.end())
        if closed is None:
            return record
        place = closed.end()
    return None


def _first_undecodable(column: pa.ChunkedArray) -> int:
    for index, value in enumerate(column.to_pylist()):
        try:
            (value or b"").decode()
        except UnicodeDecodeError:
            return index
    return 0


def _widened(table: pa.Table, schema: pa.Schema) -> pa.Table | None:
    """Columns as they would have been read in those types; None where that needs the text."""
    columns = []
    for field in schema:
        column = table.column(field.name)
        if column.type != field.type:
            if not pa.types.is_null(column.type) and (column.type, field.type) != (pa.int64(), pa.float64()):
                return None
            column = column.cast(field.type, safe=False)  # a long whole number is rounded, as its digits would be
        columns.append(column)
    return pa.table(columns, schema=schema)


def _surely(settled: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Types that a column keeps, or is guessed as none before, wherever its values can be read as them."""
    sure = (pa.int64(), pa.float64(), pa.string())
    return {name: kind for name, kind in settled.items() if kind in sure}


def _joined(one: pa.DataType, other: pa.DataType) -> pa.DataType:
    """The first type of Arrow's own order of guesses that both blocks' values can be read as."""
    if one == other or pa.types.is_null(other):
        return one
    if pa.types.is_null(one):
        return other
    kinds = {one, other}
    if kinds == {pa.int64(), pa.float64()}:
        return pa.float64()
    if all(pa.types.is_timestamp(kind) for kind in kinds) and one.tz == other.tz:
        return pa.timestamp(max(one.unit, other.unit, key=_UNITS.index), one.tz)
    dates = [kind for kind in kinds if pa.types.is_date(kind)]
    moments = [kind for kind in kinds if pa.types.is_timestamp(kind) and kind.tz is None]
    return moments[0] if dates and moments else pa.string()
