"""Maps an Arrow type to the PostgreSQL type that holds all its values exactly, if there is one."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.types as t

from ingestion.errors import first_line

LONGEST_NAME = 63  # bytes; PostgreSQL cuts a longer name
# The extra column of each raw table: a row's ordinal in its file, from 0.
ROW_ORDINAL = "_row_ordinal"
# what each table of PostgreSQL has already; other cases of these names are free
TAKEN = (ROW_ORDINAL, "ctid", "xmin", "cmin", "xmax", "cmax", "tableoid")


@dataclass(frozen=True)
class CopyColumn:
    """One column: its name, its type in the table, and the Arrow type that is encoded as it."""

    name: str
    sql_type: str
    arrow_type: pa.DataType


def copy_columns(schema: pa.Schema) -> list[CopyColumn]:
    """The table's columns for a file's schema, and one more for each row's ordinal.

    Raises ``pa.ArrowTypeError``, which names the column, for a type that has no exact counterpart,
    and for a name that no column can have.
    """
    for name in schema.names:
        if name in TAKEN:
            raise pa.ArrowTypeError(f"column {name} is one of its own there")
        if len(name.encode()) > LONGEST_NAME:
            raise pa.ArrowTypeError(
                f"column {name}: PostgreSQL would cut its name after {LONGEST_NAME} bytes"
            )
    columns = [CopyColumn(f.name, *_mapped(f.name, f.type)) for f in schema]
    return [*columns, CopyColumn(ROW_ORDINAL, "bigint", pa.int64())]


def not_in_postgres(schema: pa.Schema) -> list[str]:
    """Remarks on columns that PostgreSQL cannot store: DuckDB loads them, PostgreSQL refuses."""
    remarks = []
    for column in schema:
        try:
            copy_columns(pa.schema([column]))
        except pa.ArrowTypeError as exc:
            remarks.append(f"cannot be loaded into PostgreSQL: {first_line(exc)}")
    return remarks


def _mapped(name: str, file_type: pa.DataType) -> tuple[str, pa.DataType]:
    """The type in the table, and the Arrow type that is encoded as it; no value changes.

    A type without an equal in PostgreSQL or Arrow is widened. Finer times and wider decimals are
    cast; the cast raises for a value that does not fit.
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
