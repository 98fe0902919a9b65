"""Reads the rows of one dataset from the lake, as Arrow record batches."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.files import branches
from ingestion.schema_on_read import DUCKDB, ORIGIN, rows_sql
from ingestion.settings import Settings, load_settings
from ingestion.sources import registry
from ingestion.sources.base import Dataset

if TYPE_CHECKING:
    Day = str | date

BATCH_ROWS = 100_000


def read(
    name: str,
    start: "Day | None" = None,
    end: "Day | None" = None,
    as_of: "Day | None" = None,
    columns: str | Sequence[str] | None = None,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """See ``ingestion.dataset``."""
    settings = settings or load_settings()  # first: a .env may name further sources
    if name not in registry.datasets():
        raise UsageError(f"There is no dataset {name}; there are {', '.join(registry.datasets())}.")
    first, last = months_of(start, end)
    catalog = Catalog(settings.lake_url)
    dataset = catalog.dataset(name)
    if not dataset.has_rows:
        raise UsageError(f"{name} has documents, not rows: medallion documents lists them.")
    wanted = _columns(dataset, columns)

    def in_scope(version: FileVersion) -> bool:
        return version.dataset == name and (
            version.month is None
            or (
                (first is None or version.month >= first)
                and (last is None or version.month <= last)
            )
        )

    if (first or last) and not any(map(in_scope, catalog.landings)):
        raise UsageError(_no_month(name, first, last, catalog))
    day = _day(as_of)
    then = catalog.as_of(day) if day else catalog
    versions = [version for version in then.current() if in_scope(version)]
    if not versions and (faulty := [x for x in then.quarantined() if in_scope(x)]):
        raise MedallionError(f"{faulty[0].name} is in quarantine: {faulty[0].error}.")
    if not versions and (gone := [x for x in then.passed_over() if in_scope(x)]):
        raise MedallionError(f"{gone[-1].name} is {gone[-1].error}.")
    select = (
        f"select {', '.join(DUCKDB.quote(c) for c in wanted)}"
        f" from ({rows_sql(dataset, branches(settings.lake_url, versions), DUCKDB)})"
    )
    return stream(settings, settings.lake_url, select, name)


def stream(settings: Settings, url: str, select: str, name: str) -> pa.RecordBatchReader:
    """Run a query over files at ``url`` and give its result a batch at a time.

    Errors name what is read by ``name``.
    """
    connection = duckdb.connect(config={"memory_limit": settings.duckdb_memory_limit})
    try:
        attach_lake(connection, url)
        with _in_one_line(name):
            reader = connection.execute(select).to_arrow_reader(BATCH_ROWS)
    except BaseException:
        connection.close()
        raise
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(connection, reader, name))


def _batches(
    connection: duckdb.DuckDBPyConnection, reader: pa.RecordBatchReader, name: str
) -> Iterator[pa.RecordBatch]:
    """The result of the query, one batch at a time; then the connection is closed.

    A result without rows is one empty batch: Polars takes the columns from the first batch.
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


def _columns(dataset: Dataset, columns: str | Sequence[str] | None) -> list[str]:
    return columns_of(dataset.name, [*ORIGIN, *dataset.read_schema], columns)


def columns_of(name: str, known: list[str], columns: str | Sequence[str] | None) -> list[str]:
    """The columns that are asked for; ``UsageError`` for one that is not among the ``known``."""
    if columns is None:
        return known
    try:
        wanted = [columns] if isinstance(columns, str) else list(columns)
    except TypeError:
        raise UsageError(f"{columns!r} are no columns; give a list of their names.") from None
    if not wanted:
        raise UsageError("There are no columns to read; name some, or leave them out for all.")
    unknown = [c for c in wanted if c not in known]
    if unknown:
        raise UsageError(f"{name} has no column {unknown[0]}; it has {', '.join(known)}.")
    return wanted


def months_of(start: "Day | None", end: "Day | None") -> tuple[date | None, date | None]:
    """The first days of two months; ``UsageError`` if the first is after the last."""
    first, last = month_of(start), month_of(end)
    if first and last and first > last:
        raise UsageError(f"The start {first:%Y-%m} is after the end {last:%Y-%m}.")
    return first, last


def _no_month(name: str, first: date | None, last: date | None, catalog: Catalog) -> str:
    """The message that the lake never held any of these months, with the months that it has."""
    named = [(way, month) for way, month in (("from", first), ("to", last)) if month]
    span = " ".join(f"{way} {month:%Y-%m}" for way, month in named)
    flags = " ".join(f"--{way} {month:%Y-%m}" for way, month in named)
    months = sorted(x.month for x in catalog.current() if x.dataset == name and x.month)
    held = f"it has {months[0]:%Y-%m} to {months[-1]:%Y-%m}" if months else "it has none at all"
    return (
        f"The lake has no month of {name} {span}; {held}. What is published is landed by medallion"
        f" land --dataset {name} {flags}."
    )


def month_of(value: "Day | None") -> date | None:
    """The first day of a month, from a date, a timestamp or ``YYYY-MM``."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(f"{value}-01")
        except ValueError:
            raise UsageError(f"{value} is no month; give one as 2024-01.") from None
    if value is None:
        return None
    if not _is_date(value):
        raise UsageError(f'{value!r} is no month; give one as "2024-01" or as a date.')
    return date(value.year, value.month, 1)


def _day(value: "Day | None") -> date | None:
    """A day, from a date, a timestamp or ``YYYY-MM-DD``."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise UsageError(f"{value} is no day; give one as 2024-05-01.") from None
    if value is None:
        return None
    if not _is_date(value):
        raise UsageError(f'{value!r} is no day; give one as "2024-05-01" or as a date.')
    return date(value.year, value.month, value.day)  # a datetime is a date too: keep its day


def _is_date(value: object) -> bool:
    """Whether it is a date or a datetime. The missing time of pandas, without a year, is not."""
    return isinstance(value, date) and isinstance(value.year, int)
