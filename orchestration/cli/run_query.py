"""Run one read-only query and write its result."""

import csv
import io
import sys
from collections import Counter
from decimal import Decimal
from typing import Any

from ingestion.errors import MedallionError, UsageError, WarehouseError
from ingestion.settings import Settings
from ingestion.warehouse.base import Session, reason_of
from orchestration.cli.console import compact_json, notice, print_json, print_table, waiting
from orchestration.job.ask import answer, batches
from orchestration.job.reading import reading


def query(
    settings: Settings,
    sql: str,
    output: str,
    live: bool = False,
    publication: str | None = None,
) -> None:
    """Write the result of ``sql`` to stdout as table, csv, json or parquet.

    Raises ``UsageError`` with the engine's reason if the statement is wrong or would write. Raises
    ``MedallionError`` if the result cannot be written as Parquet, or stdout's encoding lacks a
    character of the CSV.
    """
    if output == "parquet" and sys.stdout.isatty():
        raise UsageError("Parquet is not for a terminal; send it to a file: > result.parquet")
    with reading(settings, live, publication, notice) as (_, session):
        try:
            with waiting("query", session.done_percent):
                if output == "parquet":
                    _write_parquet(session, sql)
                    return
                result = answer(session, sql)
        except WarehouseError as exc:
            raise UsageError(f"The query failed: {exc}") from exc
    if output == "json":
        double = sorted(name for name, n in Counter(result.columns).items() if n > 1)
        if double:
            raise UsageError(
                f"JSON has no two columns of one name: give each {', '.join(double)} a name of its"
                " own by `as`, or take another --format."
            )
        print_json(result.records())
    elif output == "csv":
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(result.columns)
        writer.writerows([_csv(value) for value in row] for row in result.rows)
        _write_unchanged(text.getvalue())
    else:
        print_table(result.columns, result.rows)


def _write_unchanged(text: str) -> None:
    """Write to stdout, where a character that its encoding lacks is otherwise replaced.

    Raises ``MedallionError`` where there is such a character, unless stdout is a terminal.
    """
    if not sys.stdout.isatty():
        try:
            text.encode(sys.stdout.encoding)
        except UnicodeEncodeError as exc:
            raise MedallionError(
                f"The result has {exc.object[exc.start]!a}, which {exc.encoding} cannot write."
                " Set PYTHONIOENCODING=utf-8, or take --format json or parquet."
            ) from None
    sys.stdout.write(text)


def _write_parquet(session: Session, sql: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        reader = batches(session, sql)
        with pq.ParquetWriter(sys.stdout.buffer, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
    except BrokenPipeError:
        raise  # the reader has closed the pipe
    except (pa.ArrowException, OverflowError) as exc:
        raise MedallionError(
            f"The result cannot be written as Parquet: {' '.join(str(exc).split())}."
            " Cast that column to text, or take another --format."
        ) from exc
    except OSError as exc:  # a full disk, or Arrow's reader reports that the query failed midway
        reason = exc.strerror or reason_of(exc)
        raise MedallionError(f"The result cannot be written as Parquet: {reason}.") from exc


def _csv(value: Any) -> Any:
    match value:
        case Decimal():
            return f"{value:f}"
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case dict() | list():
            return compact_json(value)
        case _:
            return value
