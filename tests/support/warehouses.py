"""Read and compare the files in a DuckDB warehouse, or hold it open."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import duckdb

from ingestion.land import land
from ingestion.load import LoadReport, load
from ingestion.settings import Settings
from tests.support import processes


@contextmanager
def opened(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the warehouse."""
    with duckdb.connect(settings.duckdb_path, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with opened(settings) as connection:
        return connection.sql(sql).fetchall()


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All raw tables and read views of a warehouse, without dlt's own tables and load times."""
    with opened(settings) as connection:

        def all_of(sql: str) -> list[tuple[Any, ...]]:
            return connection.sql(sql).fetchall()

        tables = all_of(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema in ('raw', 'tlc') and table_name not like '\\_dlt%' escape '\\'"
        )
        found = {}
        for (table,) in tables:
            if table == "raw.files":
                found[table] = all_of(
                    "select * exclude (loaded_at), loaded_at is null from raw.files"
                    " order by table_name"
                )
            elif table.startswith("raw."):
                found[table] = all_of(f"select rowid, * from {table} order by rowid")
            else:
                found[table] = all_of(f"from {table} order by source_month, row_ordinal")
        return found


def first_difference(left: list[Any], right: list[Any]) -> Any:
    """The first pair that differs, or None; pytest itself would compare all lines of both."""
    return next((pair for pair in zip_longest(left, right) if pair[0] != pair[1]), None)


def differences(
    left: dict[str, list[tuple[Any, ...]]], right: dict[str, list[tuple[Any, ...]]]
) -> dict[str, Any]:
    """The tables that differ between two warehouses, each with its first differing rows."""
    found = {t: first_difference(left.get(t, []), right.get(t, [])) for t in left | right}
    return {table: pair for table, pair in found.items() if pair}


def shown_months(settings: Settings, view: str = "green_tripdata") -> dict[str, int]:
    """The number of rows of each version in a read view, by the first 8 digits of its sha256."""
    counted = rows(settings, f"select file_key, count(*) from tlc.{view} group by all")
    return {f"{key:015x}"[:8]: count for key, count in counted}


def landed_and_loaded(settings: Settings) -> LoadReport:
    """Land what is published and load it; return the report of the load."""
    land(settings)
    return load(settings)


def _look_on(settings: Settings, read_only: bool, holding: Any, enough: Any) -> None:
    with duckdb.connect(settings.duckdb_path, read_only=read_only):
        holding.set()
        enough.wait(processes.PATIENCE_SECONDS)


@contextmanager
def held_by_another(settings: Settings, read_only: bool = False) -> Iterator[int]:
    """Let another process hold the warehouse open during the block; gives its process id."""
    holding, enough = processes.event(), processes.event()
    process = processes.start(_look_on, settings, read_only, holding, enough)
    assert holding.wait(processes.PATIENCE_SECONDS)
    try:
        yield process.pid
    finally:
        enough.set()
        process.join(processes.PATIENCE_SECONDS)
