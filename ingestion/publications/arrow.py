"""Reads the rows of one published mart, as Arrow record batches."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from ingestion.errors import UsageError
from ingestion.lake.reading.arrow import columns_of, months_of, stream
from ingestion.lake.reading.attach import attach_lake
from ingestion.publications.manifest import Part
from ingestion.publications.read import current, find
from ingestion.publications.storage import open_publications
from ingestion.publications.views import parts_sql
from ingestion.schema_on_read import DUCKDB
from ingestion.settings import Settings, load_settings

if TYPE_CHECKING:
    from ingestion.lake.reading.arrow import Day

MARTS = "marts"


def read(
    name: str,
    start: "Day | None" = None,
    end: "Day | None" = None,
    columns: str | Sequence[str] | None = None,
    publication: str | None = None,
    settings: Settings | None = None,
) -> pa.RecordBatchReader:
    """See ``ingestion.marts``."""
    settings = settings or load_settings()
    url = open_publications(settings).url
    first, last = months_of(start, end)
    published = find(settings, publication) if publication else current(settings)
    if published is None:
        raise UsageError(f"Nothing was published yet at {url}.")
    table = published.table(MARTS, name)
    if table is None:
        known = ", ".join(t.name for t in published.tables if t.schema == MARTS)
        raise UsageError(f"There is no mart {name} in {published.id}; there are {known}.")
    parts = table.parts
    if first or last:
        months = sorted(part.source_month for part in parts if part.source_month)
        if not months and "source_month" in _known(url, parts):
            raise UsageError(f"{name} has no month in {published.id}.")
        if not months:
            raise UsageError(f"{name} is not built by the month; leave out start and end.")
        parts = tuple(
            part
            for part in parts
            if part.source_month
            and (first is None or part.source_month >= first)
            and (last is None or part.source_month <= last)
        )
        if not parts:
            raise UsageError(
                f"{name} has none of these months; it has {months[0]:%Y-%m} to {months[-1]:%Y-%m}."
            )
    wanted = columns_of(name, _known(url, parts), columns)
    select = f"select {', '.join(map(DUCKDB.quote, wanted))} from {parts_sql(url, parts)}"
    return stream(settings, url, select, name)


def _known(url: str, parts: tuple[Part, ...]) -> list[str]:
    with duckdb.connect() as connection:
        attach_lake(connection, url)
        found = connection.execute(f"describe select * from {parts_sql(url, parts)}").fetchall()
    return [name for name, *_ in found]
