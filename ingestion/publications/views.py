"""The DuckDB file through which a publication is read: a view for each table, over its files."""

import json
from collections.abc import Sequence
from pathlib import Path

import duckdb

from ingestion.errors import MedallionError, first_line
from ingestion.formats.duckdb_sql import NO_HIVE
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.files import source_sql
from ingestion.publications.manifest import Part, Publication
from ingestion.schema_on_read import DUCKDB

# The folders' names prune the files before DuckDB opens any of them.
HIVE = "hive_partitioning = true, hive_types = {service: varchar, source_month: date}"


def make_views(publication: Publication, url: str, path: Path) -> None:
    """Make the DuckDB file ``path`` over the files at ``url``, which must be there.

    The table ``main.publication`` says which publication it is.
    """
    path.unlink(missing_ok=True)
    try:
        with duckdb.connect(path) as connection:
            attach_lake(connection, url)
            quote = DUCKDB.quote
            for schema in sorted({table.schema for table in publication.tables}):
                connection.execute(f"create schema {quote(schema)}")
            for table in publication.tables:
                connection.execute(
                    f"create view {quote(table.schema)}.{quote(table.name)} as"
                    f" select * from {parts_sql(url, table.parts)}"
                )
            connection.execute(
                "create table main.publication as select ? as id, ?::timestamptz as created_at,"
                " ? as warehouse, ? as run, ? as project_version, ?::json as ledger",
                [
                    publication.id,
                    publication.created_at,
                    publication.origin.warehouse,
                    publication.origin.run,
                    publication.origin.project_version,
                    json.dumps(publication.origin.ledger),
                ],
            )
    except duckdb.Error as exc:
        raise MedallionError(f"The published files cannot be read: {first_line(exc)}.") from exc


def parts_sql(url: str, parts: Sequence[Part]) -> str:
    """The table function that reads exactly these files."""
    files = ", ".join(source_sql(url, part.path) for part in parts)
    return f"read_parquet([{files}], {HIVE if parts[0].source_month else NO_HIVE})"
