"""Make publications of a few rows, without a warehouse."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb

from ingestion.publications.diff import Side
from ingestion.publications.manifest import Origin, Part, Publication, Table
from ingestion.publications.storage import new_id

Month = tuple[str, date] | None  # service and month; None for a table that is one file


def published(folder: Path, name: str, marts: Mapping[str, Mapping[Month, str]]) -> Side:
    """A publication of the rows that each query gives, by mart and month."""
    tables = []
    with duckdb.connect() as connection:
        for mart, queries in marts.items():
            parts = [_part(connection, folder, mart, month, sql) for month, sql in queries.items()]
            tables.append(Table("marts", mart, tuple(parts)))
    origin = Origin("a test", "run", "1", state=name)
    now = datetime.now(UTC)
    digest = hashlib.sha256(name.encode()).hexdigest()
    made = Publication(new_id(now, digest), 1, now, origin, tuple(tables))
    return Side(made, folder.as_uri())


def _part(
    connection: duckdb.DuckDBPyConnection, folder: Path, mart: str, month: Month, sql: str
) -> Part:
    below = f"marts/{mart}"
    if month:
        below += f"/service={month[0]}/source_month={month[1]}"
    (folder / below).mkdir(parents=True, exist_ok=True)
    partial = folder / below / "partial"
    connection.execute(f"copy ({sql}) to '{partial}' (format parquet)")
    sha256 = hashlib.sha256(partial.read_bytes()).hexdigest()
    # named as a run names it: a month's file begins with the key of what it was built from
    path = f"{below}/{'0' * 16 + '-' if month else ''}{sha256[:16]}.parquet"
    size = partial.stat().st_size
    partial.replace(folder / path)
    ((rows,),) = connection.execute(f"select count(*) from ({sql})").fetchall()
    return Part(path, rows, size, sha256, "", *(month or (None, None)))


def values(columns: Sequence[str], *rows: Sequence[object]) -> str:
    """A query that gives these rows."""
    written = ", ".join(f"({', '.join(map(_sql, row))})" for row in rows)
    return f"select * from (values {written}) as t({', '.join(columns)})"


def _sql(value: object) -> str:
    match value:
        case None:
            return "null"
        case str():
            return "'" + value.replace("'", "''") + "'"
        case float() if value != value:
            return "'nan'::double"
        case _:
            return str(value)
