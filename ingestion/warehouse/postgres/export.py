"""Write the result of a query on PostgreSQL to a Parquet file.

PostgreSQL writes CSV faster than any driver makes Python objects, and Arrow reads it at the same
speed. CSV tells a null from an empty text: only the text is quoted.
"""

import os
import re
import threading
from pathlib import Path
from typing import IO, Any

import psycopg2
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from ingestion.errors import WarehouseError
from ingestion.schema_on_read import POSTGRES
from ingestion.warehouse.postgres.session import PostgresSession, one_line

BLOCK_BYTES = 8 << 20
ROW_GROUP = 122_880  # as DuckDB writes them
_TYPES = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "date": pa.date32(),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", "UTC"),
}
_DECIMAL = re.compile(r"numeric\((\d+),(\d+)\)")


def export(session: PostgresSession, sql: str, path: Path) -> None:
    """Write the rows that ``sql`` selects; a type without an equal in Arrow is written as text."""
    schema, sql = _as_csv_can_tell(session, sql)
    reading, writing = os.pipe()
    failed: list[BaseException] = []
    with open(reading, "rb") as source:  # noqa: PTH123  (a pipe has no path)
        sender = threading.Thread(target=_send, args=(session, sql, writing, failed), daemon=True)
        sender.start()
        try:
            _write(source, schema, path)
        except (pa.ArrowException, OSError) as exc:
            failed.append(exc)
    sender.join()
    if failed:
        reason = " ".join(str(failed[0]).split())
        raise WarehouseError(f"It cannot be written as Parquet: {reason}") from failed[0]


def _as_csv_can_tell(session: PostgresSession, sql: str) -> tuple[pa.Schema, str]:
    """The Arrow type of each column, and the query with times as numbers.

    CSV readers do not know every year, and no offset of an old time zone in seconds.
    """
    with one_line(), session.connection.cursor() as cursor:
        cursor.execute(f"select * from ({sql}) as result limit 0")
        columns = [(c.name, c.type_code, c.precision, c.scale) for c in cursor.description or ()]
        cursor.execute(
            "select oid, format_type(oid, null) from pg_type where oid = any(%s)",
            [[code for _, code, *_ in columns]],
        )
        names = dict(cursor.fetchall())
    schema = pa.schema(
        (name, _arrow_type(names[code], precision, scale))
        for name, code, precision, scale in columns
    )
    told = []
    for field in schema:
        column = POSTGRES.quote(field.name)
        if pa.types.is_timestamp(field.type):
            told.append(f"(extract(epoch from {column}) * 1000000)::bigint as {column}")
        elif pa.types.is_date(field.type):
            told.append(f"({column} - date '1970-01-01') as {column}")
        else:
            told.append(column)
    return schema, f"select {', '.join(told)} from ({sql}) as result"


def _numbers(arrow_type: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(arrow_type):
        return pa.int64()
    return pa.int32() if pa.types.is_date(arrow_type) else arrow_type


def _with_times(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same rows, with the times that the numbers are."""
    arrays = [
        array if array.type == field.type else array.cast(field.type)
        for array, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.record_batch(arrays, schema=schema)


def _arrow_type(name: str, precision: int | None, scale: int | None) -> pa.DataType:
    if name == "numeric" and precision is not None and 0 < precision <= 38:
        return pa.decimal128(precision, scale or 0)
    return _TYPES.get(name, pa.string())


def _send(session: PostgresSession, sql: str, descriptor: int, failed: list[BaseException]) -> None:
    """Copy the result into a pipe, and close it."""
    try:
        with open(descriptor, "wb") as pipe, session.connection.cursor() as cursor, one_line():
            cursor.copy_expert(f"copy ({sql}) to stdout (format csv, encoding 'UTF8')", pipe)
    except BrokenPipeError:
        return  # the reader has failed, and says why
    except (WarehouseError, psycopg2.Error, OSError) as exc:
        failed.insert(0, exc)  # before what it made the reader say


def _write(source: IO[bytes], schema: pa.Schema, path: Path) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for batch in _batches(source, schema):
            writer.write_batch(_with_times(batch, schema), row_group_size=ROW_GROUP)


def _batches(source: IO[bytes], schema: pa.Schema) -> Any:
    if not source.peek(1):  # type: ignore[attr-defined]
        return []  # Arrow's reader takes no empty file
    return csv.open_csv(
        source,
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES, column_names=schema.names),
        # a row of one column that is null is an empty line
        parse_options=csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
        convert_options=csv.ConvertOptions(
            column_types=pa.schema((f.name, _numbers(f.type)) for f in schema),
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
