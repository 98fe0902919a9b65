"""Run one read-only query and write its result."""

import csv
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ingestion.engines import connect
from ingestion.errors import UsageError, WarehouseError
from ingestion.settings import Settings
from orchestration.console import print_json, print_table

if TYPE_CHECKING:
    import pyarrow as pa


def query(settings: Settings, sql: str, output: str) -> None:
    """Write the result of ``sql`` to stdout as table, csv, json or parquet.

    Raises ``UsageError`` with the engine's reason where the statement is wrong or would write.
    """
    if output == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal; send it to a file: > result.parquet")
    with connect(settings, read_only=True) as session:
        try:
            if output == "parquet":
                _write_parquet(session.arrow(sql))
                return
            result = session.query(sql)
        except WarehouseError as exc:
            raise UsageError(f"The query failed: {exc}") from exc
    if output == "json":
        print_json(result.records())
    elif output == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows([_csv(value) for value in row] for row in result.rows)
    else:
        print_table(result.columns, result.rows)


def _write_parquet(reader: "pa.RecordBatchReader") -> None:
    import pyarrow.parquet as pq

    with pq.ParquetWriter(sys.stdout.buffer, reader.schema) as writer:
        for batch in reader:
            writer.write_batch(batch)


def _csv(value: Any) -> Any:
    return f"{value:f}" if isinstance(value, Decimal) else value
