"""Checks that a Parquet file is the month that its name says, for all our engines.

First its footer is read. Then DuckDB and pyarrow open it. Then the values are read of the columns
that need it: texts, which may not be UTF-8, and columns to be cast. Other pages are not read; if
one is damaged, the load reports it.
"""

from collections.abc import Iterator
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.errors import SHOWN_CHARACTERS, UntrustedFileError, first_line
from ingestion.formats.decimals import wide_decimals
from ingestion.formats.drift import Checked, compare
from ingestion.formats.duckdb_sql import NO_HIVE, path_pattern
from ingestion.formats.limits import LONGEST_DERIVED_TEXT, LONGEST_TEXT, most_unpacked
from ingestion.formats.parquet_footer import Footer, is_something_else, read_footer
from ingestion.formats.sniff import what_it_is
from ingestion.formats.validate_csv import PATTERNS
from ingestion.sources.base import Dataset
from ingestion.sources.read_types import ReadType, read_type_of, widest

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

EXACT_IN_DOUBLE = 2**53
# The days that every engine can store: PostgreSQL from 4714 BC, DuckDB to 294246 AD. Since 1970.
FIRST_DAY, LAST_DAY = -2_440_588, 106_751_990
UNITS_A_DAY = {"day": 1, "s": 86_400, "ms": 86_400_000, "us": 86_400_000_000}
MEMORY = "1GB"  # DuckDB's limit for the texts of one file
BATCH_ROWS = 1 << 16
HAS_NUL = 1 << 40  # in place of a length


def check_parquet(path: Path, dataset: Dataset, month: date | None) -> Checked:
    """Open the file in every reader; raises ``UntrustedFileError`` with the reason."""
    try:
        footer = read_footer(path)
        return _check(path, footer, dataset, month)
    except UntrustedFileError as exc:
        if is_something_else(exc):
            raise UntrustedFileError(f"not a readable Parquet file: {_what(path)}") from exc
        raise
    except Exception as exc:
        # For damaged bytes the readers raise any kind of exception, and one bad file must not keep
        # other months from landing.
        raise UntrustedFileError(f"not a readable Parquet file: {first_line(exc)}") from exc


def _check(path: Path, footer: Footer, dataset: Dataset, month: date | None) -> Checked:
    import duckdb
    import pyarrow.parquet as pq

    from ingestion.formats.postgres_types import not_in_postgres

    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
        columns = tuple((f.name, str(f.type)) for f in schema)
        remarks = compare(dataset, dataset.era(month), columns)
        if footer.rows == 0:
            raise UntrustedFileError("the file has columns and no rows")
        if error := wide_decimals(columns):
            raise UntrustedFileError(error)
        _check_parts(schema)
        to_be_cast = list(_to_be_cast(dataset, schema))
        with duckdb.connect(config={"memory_limit": MEMORY}) as connection:
            longest = LONGEST_DERIVED_TEXT if dataset.derived else LONGEST_TEXT
            _check_texts(connection, path, schema, footer.rows, longest)
        _check_times(file, footer)
        for name in to_be_cast:
            _check_cast(file, footer, name, dataset.read_schema[dataset.read_name(name)])
        return Checked(footer.rows, columns, (*remarks, *not_in_postgres(schema)))


def _to_be_cast(dataset: Dataset, schema: "pa.Schema") -> Iterator[str]:
    """The columns whose values must each be tried; raises for a column that has no cast."""
    if dataset.from_files:
        return  # its read types follow the files
    for column in schema:
        read_type = dataset.read_schema.get(dataset.read_name(column.name))
        fits = _fits(column.type, read_type) if read_type else True
        if fits is False:
            raise UntrustedFileError(
                f"column {column.name} cannot be read as {read_type}: it is {column.type}"
            )
        if fits is None:
            yield column.name


def _fits(file_type: "pa.DataType", read_type: ReadType) -> bool | None:
    """Whether every value of a type can be read as another; none if it depends on the value."""
    import pyarrow.types as t

    if t.is_dictionary(file_type):
        file_type = file_type.value_type
    if t.is_null(file_type):
        return True
    text = t.is_string(file_type) or t.is_large_string(file_type)
    if read_type == "text":
        # each engine writes bytes in its own way
        return bool(text or t.is_primitive(file_type) or t.is_decimal(file_type))
    if read_type == "timestamp":
        if t.is_timestamp(file_type) and file_type.tz is None:
            return None if file_type.unit == "ns" else True
        # with a time zone it is an instant, and engines convert that to different local times
        return None if t.is_date(file_type) or text else False
    if read_type not in ("bigint", "double"):
        known = read_type_of(str(file_type))
        # engines round nanoseconds differently
        is_rounded = t.is_timestamp(file_type) and file_type.unit == "ns"
        return known is not None and widest([known, read_type]) == read_type and not is_rounded
    if t.is_integer(file_type):
        exact = read_type == "bigint" and not t.is_uint64(file_type)
        return True if exact or file_type.bit_width <= 32 else None
    if t.is_floating(file_type):
        return True if read_type == "double" else None
    return None if t.is_decimal(file_type) or text else False


def _check_parts(schema: "pa.Schema") -> None:
    """Refuse a struct of which DuckDB makes no table, though it reads it; its unions are such."""
    for column in schema:
        if _begins_unnamed(column.type):
            raise UntrustedFileError(
                f"column {column.name} cannot be stored by DuckDB: the first part of its struct"
                " has no name"
            )


def _begins_unnamed(file_type: "pa.DataType") -> bool:
    import pyarrow.types as t

    parts = [file_type.field(i) for i in range(file_type.num_fields)]
    if t.is_struct(file_type) and parts and not parts[0].name:
        return True
    return any(_begins_unnamed(part.type) for part in parts)


def _check_texts(
    connection: "duckdb.DuckDBPyConnection",
    path: Path,
    schema: "pa.Schema",
    rows: int,
    longest_text: int,
) -> None:
    """Read every text in DuckDB, which checks UTF-8 strictly; pyarrow does not."""
    import duckdb

    source = f"from read_parquet(?, {NO_HIVE})"
    found = connection.execute(f"select * {source} limit 0", [path_pattern(str(path))])
    names = [name for name, *_ in found.description or ()]
    for name, other in zip_longest(schema.names, names):
        if name != other:
            raise UntrustedFileError(f"readers disagree on a column's name: {name!r} or {other!r}")
    texts = [f.name for f in schema if _has_text(f.type)]
    if not texts:
        return

    def read(columns: list[str], aggregate: str) -> list[int]:
        parts = []
        for name in columns:
            column = _quoted(name)
            if not _is_text(schema.field(name).type):
                column = f"cast({column} as varchar)"
            parts.append(f"coalesce({aggregate.format(column)}, 0)")
        sql = f"select {', '.join(parts)} {source}"
        return list(connection.execute(sql, [path_pattern(str(path))]).fetchall()[0])

    # one aggregate, which DuckDB computes once for each entry of a dictionary
    longest_or_nul = f"max(if(contains({{0}}, chr(0)), {HAS_NUL}, strlen({{0}})))"
    try:
        longest = read(texts, longest_or_nul)
    except duckdb.Error:
        for name in texts:  # find the column
            try:
                read([name], longest_or_nul)
            except duckdb.Error as exc:
                reason = first_line(exc).replace(f' "{path}"', "")
                if "not valid UTF8" in reason:
                    reason = "it holds text that is not UTF-8"
                raise UntrustedFileError(f"column {name} cannot be read: {reason}") from exc
        raise
    most = most_unpacked(path.stat().st_size)
    for name, bytes_ in zip(texts, longest, strict=True):
        if bytes_ == HAS_NUL:
            raise UntrustedFileError(
                f"column {name} holds a NUL character, which PostgreSQL cannot hold"
            )
        if bytes_ > longest_text:
            raise UntrustedFileError(
                f"column {name} holds a text of {bytes_:,} bytes, where {longest_text:,} are the"
                " most"
            )
        if bytes_ * rows > most and (total := read([name], "sum(strlen({0}))")[0]) > most:
            raise UntrustedFileError(
                f"column {name} unpacks to {total:,} bytes, where {most:,} are the most for a file"
                " of this size"
            )


def _has_text(file_type: "pa.DataType") -> bool:
    import pyarrow.types as t

    return _is_text(file_type) or bool(t.is_nested(file_type))


def _is_text(file_type: "pa.DataType") -> bool:
    import pyarrow.types as t

    if t.is_dictionary(file_type):
        file_type = file_type.value_type
    return bool(t.is_string(file_type) or t.is_large_string(file_type))


def _check_times(file: "pa.parquet.ParquetFile", footer: Footer) -> None:
    """Refuse days and times that some engine cannot store, in any column that is not nested."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    for column in file.schema_arrow:
        if t.is_date(column.type):
            unit = "day" if t.is_date32(column.type) else "ms"
        elif t.is_timestamp(column.type) and column.type.unit != "ns":
            unit = column.type.unit
        else:
            continue
        first, last = FIRST_DAY * UNITS_A_DAY[unit], LAST_DAY * UNITS_A_DAY[unit]
        leaf = footer.leaf(column.name)
        # Parquet has no seconds: its footer counts them in another unit
        if (
            unit != "s"
            and leaf
            and all(r and first <= r.least and r.greatest <= last for r in leaf.ranges)
        ):
            continue
        count = pa.int32() if unit == "day" else pa.int64()
        for batch in file.iter_batches(columns=[column.name], batch_size=BATCH_ROWS):
            for value in pc.min_max(batch.column(0).view(count)).as_py().values():
                if value is not None and not first <= value <= last:
                    raise UntrustedFileError(
                        f"column {column.name} holds a time that no calendar reaches:"
                        f" {value} {unit} since 1970"
                    )


def _check_cast(
    file: "pa.parquet.ParquetFile", footer: Footer, name: str, read_type: ReadType
) -> None:
    """Cast one column batch by batch, as the read view will; raises if a value would change."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as t

    if t.is_integer(file.schema_arrow.field(name).type) and _exact_as_double(footer, name):
        return
    target = {"bigint": pa.int64(), "double": pa.float64()}.get(read_type, pa.timestamp("us"))
    try:
        for batch in file.iter_batches(columns=[name]):
            values = batch.column(0)
            values.cast(target, safe=True)
            if _is_text(values.type):
                # only Arrow accepts an hour without minutes, and reads 1e400 as infinity
                texts = values.cast(pa.large_string())
                alike = pc.match_substring_regex(texts, f"^({PATTERNS[read_type]})$")
                if pc.any(pc.invert(alike)).as_py():
                    odd = texts.filter(pc.invert(alike))[0].as_py()[:SHOWN_CHARACTERS]
                    raise pa.ArrowInvalid(f"not every engine reads {odd!r} alike")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as exc:
        raise UntrustedFileError(
            f"column {name} cannot be read as {read_type}: {first_line(exc)}"
        ) from exc


def _exact_as_double(footer: Footer, name: str) -> bool:
    """Whether the footer says that all values are whole numbers that a double holds exactly."""
    leaf = footer.leaf(name)
    return leaf is not None and all(
        r and max(abs(r.least), abs(r.greatest)) <= EXACT_IN_DOUBLE for r in leaf.ranges
    )


def _what(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(16)
    if head.startswith(b"PAR1"):
        return "it is cut short, its footer is missing"
    return what_it_is(path) or f"it begins with {head!r}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
