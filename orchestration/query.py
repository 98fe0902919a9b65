"""Run one read-only query and write its result."""

import csv
import sys
from decimal import Decimal
from typing import Any

import duckdb

from ingestion.errors import UsageError
from ingestion.settings import Settings
from ingestion.warehouse import connect
from orchestration.console import print_json, print_table


def query(settings: Settings, sql: str, output: str) -> None:
    """Write the result of ``sql`` to stdout as table, csv, json or parquet.

    Raises ``UsageError`` with the engine's reason where the statement is wrong or would write.
    """
    with connect(settings, read_only=True) as connection:
        try:
            cursor = connection.execute(sql)
            columns = [column[0] for column in cursor.description or ()]
            if output == "parquet":
                _write_parquet(cursor)
                return
            rows = cursor.fetchall()
        except duckdb.Error as exc:
            raise UsageError(f"The query failed: {' '.join(str(exc).split())}") from exc
    if output == "json":
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows([_csv(value) for value in row] for row in rows)
    else:
        print_table(columns, rows)


def _write_parquet(cursor: duckdb.DuckDBPyConnection) -> None:
    import pyarrow.parquet as pq

    if sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal; send it to a file: > result.parquet")
    reader = cursor.to_arrow_reader()
    with pq.ParquetWriter(sys.stdout.buffer, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _csv(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, Decimal) else value
