"""Arrow record batches in PostgreSQL's binary COPY format, with types mapped exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pgpq
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as t

LONGEST_NAME = 63  # bytes; PostgreSQL cuts what is longer
TO_2000_DAYS = 10_957
TO_2000_MICROSECONDS = TO_2000_DAYS * 86_400_000_000
# Rows encoded and sent at a time: a megabyte of trips, which the processor's cache holds.
PIECE_ROWS = 1 << 12


@dataclass(frozen=True)
class CopyColumn:
    """One column: its name, its type in the table, and the Arrow type that is encoded as that."""

    name: str
    sql_type: str
    arrow_type: pa.DataType


def copy_columns(schema: pa.Schema, row_ordinal: str) -> list[CopyColumn]:
    """The table's columns for a file's schema, and one more for the ordinal of each row.

    Raises ``pa.ArrowTypeError``, which names the column, for a type that has no exact counterpart.
    """
    for name in schema.names:
        if len(name.encode()) > LONGEST_NAME:
            raise pa.ArrowTypeError(
                f"column {name}: PostgreSQL would cut its name after {LONGEST_NAME} bytes"
            )
    columns = [CopyColumn(f.name, *_mapped(f.name, f.type)) for f in schema]
    return [*columns, CopyColumn(row_ordinal, "bigint", pa.int64())]


def copy_stream(columns: list[CopyColumn], batches: Iterator[pa.RecordBatch]) -> "PieceReader":
    """The batches in COPY's binary format, to be read; each value is cast safely or raises."""
    return PieceReader(_encoded(columns, batches))


def _encoded(columns: list[CopyColumn], batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    schema = pa.schema([(c.name, c.arrow_type) for c in columns])
    encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
    yield encoder.write_header()
    done = 0
    for batch in batches:
        arrays = [_cast(batch.column(i), c) for i, c in enumerate(columns[:-1])]
        arrays.append(pa.array(np.arange(done, done + batch.num_rows, dtype=np.int64)))
        done += batch.num_rows
        encodable = pa.RecordBatch.from_arrays(arrays, schema=schema)
        for start in range(0, batch.num_rows, PIECE_ROWS):
            yield encoder.write_batch(encodable.slice(start, PIECE_ROWS))
    yield encoder.finish()


def _cast(values: pa.Array, column: CopyColumn) -> pa.Array:
    if values.type != column.arrow_type:
        try:
            values = values.cast(column.arrow_type, safe=True)
        except pa.ArrowInvalid as exc:
            raise pa.ArrowInvalid(f"column {column.name}: {exc}") from exc
    _check_calendar(values, column)
    return values


def _check_calendar(values: pa.Array, column: CopyColumn) -> None:
    """Refuse what PostgreSQL, which counts from 2000, takes for -infinity, or cannot count."""
    if t.is_list(values.type):
        values = pc.list_flatten(values)
    if t.is_timestamp(values.type):
        count, infinity = pa.int64(), -(2**63) + TO_2000_MICROSECONDS
    elif t.is_date32(values.type):
        count, infinity = pa.int32(), -(2**31) + TO_2000_DAYS
    else:
        return
    least = pc.min(values.view(count)).as_py()
    if least is not None and least <= infinity:
        raise pa.ArrowInvalid(f"column {column.name}: {least} since 1970 is out of range")


def _mapped(name: str, file_type: pa.DataType) -> tuple[str, pa.DataType]:
    """The type in the table and the Arrow type that is encoded as it; every value keeps its value.

    What PostgreSQL or Arrow holds in a wider type only is widened; finer times and wider decimals
    are cast, which raises for a value that does not fit.
    """
    if t.is_dictionary(file_type):
        return _mapped(name, file_type.value_type)
    for holds, sql_type, arrow_type in _TYPES:
        if holds(file_type):
            return sql_type, arrow_type
    if t.is_decimal(file_type):
        precision = min(file_type.precision, MOST_DIGITS)
        encoded = pa.decimal128(precision, file_type.scale)
        return f"numeric({precision}, {file_type.scale})", encoded
    if t.is_timestamp(file_type):
        if file_type.tz is None:
            return "timestamp", pa.timestamp("us")
        return "timestamp with time zone", pa.timestamp("us", "UTC")
    if _is_list(file_type) and not t.is_nested(file_type.value_type):
        sql_type, arrow_type = _mapped(name, file_type.value_type)
        return f"{sql_type}[]", pa.list_(arrow_type)
    raise pa.ArrowTypeError(f"column {name} is {file_type}, which PostgreSQL cannot hold exactly")


def _is_list(file_type: pa.DataType) -> bool:
    return bool(
        t.is_list(file_type) or t.is_large_list(file_type) or t.is_fixed_size_list(file_type)
    )


MOST_DIGITS = 38  # of a decimal that can be encoded

_TYPES = (
    (t.is_null, "text", pa.string()),
    (t.is_boolean, "boolean", pa.bool_()),
    (t.is_int8, "smallint", pa.int16()),
    (t.is_uint8, "smallint", pa.int16()),
    (t.is_int16, "smallint", pa.int16()),
    (t.is_uint16, "integer", pa.int32()),
    (t.is_int32, "integer", pa.int32()),
    (t.is_uint32, "bigint", pa.int64()),
    (t.is_int64, "bigint", pa.int64()),
    (t.is_uint64, "numeric(20, 0)", pa.uint64()),
    (t.is_float16, "real", pa.float32()),
    (t.is_float32, "real", pa.float32()),
    (t.is_float64, "double precision", pa.float64()),
    (t.is_string, "text", pa.string()),
    (t.is_large_string, "text", pa.large_string()),
    (t.is_string_view, "text", pa.string()),
    (t.is_binary, "bytea", pa.binary()),
    (t.is_large_binary, "bytea", pa.large_binary()),
    (t.is_fixed_size_binary, "bytea", pa.binary()),
    (t.is_date32, "date", pa.date32()),
    (t.is_date64, "date", pa.date32()),
    (t.is_time, "time", pa.time64("us")),
    (t.is_duration, "interval", pa.duration("us")),
)


class PieceReader:
    """An iterator of bytes that psycopg2 reads as a file, each piece as it is.

    Whatever size is asked for: psycopg2 takes more, and cutting would copy. It tells of a ``fault``
    in its own words only, so this keeps it.
    """

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self.fault: BaseException | None = None

    def read(self, _: int) -> bytes:
        """The next piece; none at the end."""
        try:
            return next(filter(None, self._pieces), b"")
        except BaseException as exc:
            self.fault = exc
            raise
