"""The kind ``sql_database``, as land knows it.

A whole table is one item, and so is each month of a dataset with a cursor. Only ``fetch`` connects
to the database: nothing tells whether a table has changed but its rows.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.errors import FetchError, UsageError
from ingestion.progress import Progress
from ingestion.sources.base import Dataset, Fetched, PublishedFile, Publisher
from ingestion.sources.files.publisher import is_overdue
from ingestion.sources.months import asked_months
from ingestion.sources.spool import download_at, part_path
from ingestion.sources.sql_database.database import Database

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Engine

    from ingestion.sources.sql_database.relation import Rows


def discover(
    publisher: Publisher,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,  # noqa: ARG001  of every kind
    gave_months: Callable[[str], bool] = lambda _url: False,  # noqa: ARG001  of every kind
) -> list[PublishedFile]:
    """The tables and months to land, without a look into the database.

    Without ``start`` these are a dataset's last ``lookback_months`` months, for publishers revise.
    Raises ``UsageError`` where the variable with the URL is not set, or its driver is missing.
    """
    source = publisher.source
    if publisher.url:
        raise UsageError(
            f"{source.url_variable} may only name a folder (file://...) with the files of"
            f" {source.name}. The database's URL is in {source.options['credentials']}."
        )
    database = Database.of(source)
    database.engine()
    named = set(datasets)
    found = []
    for dataset in source.datasets:
        if named and dataset.name not in named:
            continue
        months: list[date | None] = [None]
        if dataset.monthly:
            months = [*asked_months(dataset, start, end)]
        found += [_item(database, dataset, month) for month in months]
        if named and not months:
            error = f"it has no month in this time; its first month is {dataset.first_month:%Y-%m}."
            found.append(_item(database, dataset, end or start, error))
    return found


def _item(
    database: Database, dataset: Dataset, month: date | None, error: str | None = None
) -> PublishedFile:
    options = dataset.options
    if options["query"]:
        where = {"query": dataset.name}
    else:
        where = {"table": ".".join(filter(None, [options["schema"], options["table"]]))}
    if month:
        where["month"] = f"{month:%Y-%m}"
    return PublishedFile(
        dataset.name,
        month,
        database.address(**where),
        *(None, None, None),
        error=error,
        is_missing=error is not None,
    )


def fetch(
    publisher: Publisher,
    file: PublishedFile,
    spool: Path,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Fetched | None:
    """Read the rows into a Parquet file; none where a month has no rows and is not overdue."""
    source = publisher.source
    dataset = next(d for d in source.datasets if d.name == file.dataset)
    database = Database.of(source)
    part = part_path(file, spool)
    try:
        rows = _write(database, dataset, file.month, part, on_bytes)
    except FetchError as exc:
        part.unlink(missing_ok=True)
        raise FetchError(f"{file.name}: {exc}.") from None  # a cause may hold the URL
    if rows:
        return download_at(part)
    part.unlink()
    if file.month and not is_overdue(source, file.month):
        return None
    if file.month:
        raise FetchError(
            f"{file.name}: no row has its {dataset.options['cursor']} in this month, and the month"
            f" ended more than {source.overdue_days} days ago."
        )
    raise FetchError(f"{file.name}: it has no rows, and nothing does not replace what was landed.")


def _write(
    database: Database,
    dataset: Dataset,
    month: date | None,
    path: Path,
    on_bytes: Callable[[int], None],
) -> int:
    """Write the rows; returns how many there are."""
    from ingestion.dlt_context import import_pandas
    from ingestion.sources.sql_database.parquet import write

    database.require_file()
    import_pandas()
    engine = database.engine()
    rows = _asked(database, engine, dataset, month)
    return write(_read(database, engine, rows), rows.schema, path, on_bytes)


def _asked(database: Database, engine: "Engine", dataset: Dataset, month: date | None) -> "Rows":
    from ingestion.sources.sql_database.relation import rows_of

    its_url = f"; its URL is in {database.variable}"
    with database.one_line(f"cannot connect to {database.address()}: ", its_url):
        connection = engine.connect()
    with database.one_line(), connection:
        rows = rows_of(connection, dataset, month)
        if rows.nulls is not None and connection.execute(rows.nulls).scalar():
            raise FetchError(
                f"rows without a value in {dataset.options['cursor']} belong to no month and"
                " would be lost; give a query that leaves them out or gives them one"
            )
        return rows


def _read(database: Database, engine: "Engine", rows: "Rows") -> Iterator["pa.Table"]:
    from ingestion.sources.sql_database.reader import read

    with database.one_line():
        yield from read(engine, rows)
