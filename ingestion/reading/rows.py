"""The lake as Python reads it: rows of one dataset as Arrow record batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ingestion.catalog import Catalog
from ingestion.datasets import DATASETS, Dataset
from ingestion.errors import MedallionError, UsageError
from ingestion.read_views import DUCKDB, ORIGIN, rows_sql
from ingestion.reading.attach import attach_lake
from ingestion.reading.files import branches
from ingestion.settings import Settings, load_settings

if TYPE_CHECKING:
    Day = str | date

BATCH_ROWS = 100_000


def read(
    name: str,
    start: "Day | None" = None,
    end: "Day | None" = None,
    as_of: "Day | None" = None,
    columns: Sequence[str] | None = None,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """See ``ingestion.dataset``."""
    dataset = DATASETS.get(name)
    if dataset is None:
        raise UsageError(f"There is no dataset {name}; there are {', '.join(DATASETS)}.")
    first, last = _month(start), _month(end)
    if first and last and first > last:
        raise UsageError(f"The start {first:%Y-%m} is after the end {last:%Y-%m}.")
    wanted = _columns(dataset, columns)
    settings = settings or load_settings()
    versions = [
        version
        for version in Catalog(settings.lake_url).current(_day(as_of))
        if version.dataset == name
        and (version.month is None or first is None or version.month >= first)
        and (version.month is None or last is None or version.month <= last)
    ]
    select = (
        f"select {', '.join(DUCKDB.quote(c) for c in wanted)}"
        f" from ({rows_sql(dataset, branches(settings.lake_url, versions), DUCKDB)})"
    )
    connection = duckdb.connect(config={"memory_limit": settings.duckdb_memory_limit})
    try:
        attach_lake(connection, settings.lake_url)
        with _in_one_line(name):
            reader = connection.execute(select).to_arrow_reader(BATCH_ROWS)
    except BaseException:
        connection.close()
        raise
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(connection, reader, name))


def _batches(
    connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, name: str
) -> Iterator[pa.RecordBatch]:
    """What the query gives, one batch at a time; the connection ends with it.

    Without a row it is one empty batch: Polars takes the columns from the first.
    """
    with connection, _in_one_line(name):
        batch = None
        for batch in reader:
            yield batch
        if batch is None:
            yield pa.RecordBatch.from_pylist([], reader.schema)


@contextmanager
def _in_one_line(name: str) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, pa.ArrowException, OSError) as exc:
        raise MedallionError(f"{name} cannot be read: {' '.join(str(exc).split())}") from exc


def _columns(dataset: Dataset, columns: Sequence[str] | None) -> list[str]:
    known = [*ORIGIN, *dataset.read_schema]
    unknown = [c for c in columns or () if c not in known]
    if unknown:
        raise UsageError(f"{dataset.name} has no column {unknown[0]}; it has {', '.join(known)}.")
    return list(columns or known)


def _month(value: "Day | None") -> date | None:
    """A month as its first day, from a date or ``YYYY-MM``."""
    if isinstance(value, str):
        try:
            return datetime.strptime(value, "%Y-%m").date()
        except ValueError:
            raise UsageError(f"{value} is no month; give one as 2024-01.") from None
    return value.replace(day=1) if value else None


def _day(value: "Day | None") -> date | None:
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise UsageError(f"{value} is no day; give one as 2024-05-01.") from None
    return value
