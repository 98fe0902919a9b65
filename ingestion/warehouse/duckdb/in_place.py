"""DuckDB over the lake in place: the warehouse holds views of the lake's files, and no copy."""

from collections.abc import Sequence

import duckdb

from ingestion.formats.duckdb_sql import NO_HIVE
from ingestion.lake.catalog import FileVersion
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.files import (
    address,
    branches,
    reader_sql,
    source_sql,
)
from ingestion.schema_on_read import DUCKDB, Branch
from ingestion.settings import Settings
from ingestion.warehouse.base import drop_raw
from ingestion.warehouse.duckdb.engine import DuckDb, DuckDbSession
from ingestion.warehouse.duckdb.guard import folders_of


class DuckDbInPlace(DuckDb):
    """The warehouse in the file that the settings name; its raw rows stay in the lake.

    ``raw.<version>`` is a view of the version's file, not a table.
    """

    def __init__(self, settings: Settings):
        super().__init__(settings)
        self._lake_url = settings.lake_url

    def _opened(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the connection read the lake's storage."""
        attach_lake(connection, self._lake_url)

    def _readable(self) -> Sequence[str]:
        """The lake, by its address and by the pattern that matches only it."""
        return folders_of(address(self._lake_url, ""))

    def environment(self) -> dict[str, str]:
        """The environment variables by which dbt reaches the warehouse, and its plugin the lake."""
        return super().environment() | {
            "MEDALLION_RAW": "in_place",
            "MEDALLION_LAKE_URL": self._lake_url,
        }

    def loaded_tables(self, session: DuckDbSession, /) -> set[str]:
        """The versions whose raw view reads a file in this lake; a lake may have moved."""
        found = session.query(
            "select files.table_name from raw.files"
            " inner join duckdb_views() as views"
            " on views.schema_name = 'raw' and views.view_name = files.table_name"
            " where files.loaded_at is not null"
            " and contains(views.sql, ? || files.lake_path || '''')",
            [source_sql(self._lake_url, "x").removesuffix("x'")],
        )
        return {name for (name,) in found.rows}

    def count_rows(self, session: DuckDbSession, version: FileVersion, whole: bool, /) -> int:
        """Open the version's file and count its rows; raise ``WarehouseError`` where it cannot.

        Reads every value of the ``whole`` file, or only as much as the count needs. The full read
        finds the errors that loading would find; else they would appear half-way through the marts.
        """
        what = "count(*), bit_xor(hash(*columns(*)))" if whole else "count(*)"
        # each has its own cursor: many files are counted at once
        with session.connection.cursor() as cursor:
            counted = DuckDbSession(cursor).query(f"select {what} from {self._file(version)}")
        return int(counted.rows[0][0])

    def show(self, session: DuckDbSession, version: FileVersion, /) -> None:
        """Make ``raw.<version>`` a view of the file, in place of a table that was loaded."""
        drop_raw(session, DUCKDB, version.table_name)
        session.execute(
            f"create view raw.{DUCKDB.quote(version.table_name)} as"
            f" select * from {self._file(version)}"
        )

    def branches(self, versions: Sequence[FileVersion]) -> list[Branch]:
        """Read the files themselves, those with the same columns as one list."""
        return branches(self._lake_url, versions)

    def raw_row_sql(self, table_name: str, lake_path: str) -> str:
        """The statement that selects one raw row as published, by its ordinal."""
        if not lake_path.endswith(".parquet"):
            return super().raw_row_sql(table_name, lake_path)
        # DuckDB finds the row group by itself
        source = source_sql(self._lake_url, lake_path)
        return f"select * from read_parquet({source}, {NO_HIVE}) where file_row_number = ?"

    def _file(self, version: FileVersion) -> str:
        source = source_sql(self._lake_url, version.lake_path)
        return reader_sql(version.lake_path, version.columns, source)
