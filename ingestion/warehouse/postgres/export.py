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
    schema = _schema(session, sql)
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


def _schema(session: PostgresSession, sql: str) -> pa.Schema:
    """The Arrow type of each column of the result."""
    with one_line(), session.connection.cursor() as cursor:
        cursor.execute(f"select * from ({sql}) as result limit 0")
        columns = [(c.name, c.type_code, c.precision, c.scale) for c in cursor.description or ()]
        cursor.execute(
            "select oid, format_type(oid, null) from pg_type where oid = any(%s)",
            [[code for _, code, *_ in columns]],
        )
        names = dict(cursor.fetchall())
    return pa.schema(
        (name, _arrow_type(names[code], precision, scale))
        for name, code, precision, scale in columns
    )


def _arrow_type(name: str, precision: int | None, scale: int | None) -> pa.DataType:
    if name == "numeric" and precision is not None and 0 < precision <= 38:
        return pa.decimal128(precision, scale or 0)
    return _TYPES.get(name, pa.string())


def _send(session: PostgresSession, sql: str, descriptor: int, failed: list[BaseException]) -> None:
    """Copy the result into a pipe, and close it."""
    with open(descriptor, "wb") as pipe, session.connection.cursor() as cursor:
        try:
            with one_line():
                cursor.copy_expert(f"copy ({sql}) to stdout (format csv)", pipe)
        except (WarehouseError, psycopg2.Error, OSError) as exc:
            failed.insert(0, exc)  # before what it made the reader say


def _write(source: IO[bytes], schema: pa.Schema, path: Path) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        for batch in _batches(source, schema):
            writer.write_batch(batch, row_group_size=ROW_GROUP)


def _batches(source: IO[bytes], schema: pa.Schema) -> Any:
    if not source.peek(1):  # type: ignore[attr-defined]
        return []  # Arrow's reader takes no empty file
    return csv.open_csv(
        source,
        read_options=csv.ReadOptions(block_size=BLOCK_BYTES, column_names=schema.names),
        parse_options=csv.ParseOptions(newlines_in_values=True),
        convert_options=csv.ConvertOptions(
            column_types=schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            true_values=["t"],
            false_values=["f"],
        ),
    )
