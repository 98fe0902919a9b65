"""DuckDB as a dlt destination whose job makes one raw table and its record in one transaction."""

from datetime import UTC, datetime
from typing import Any

import duckdb as engine
from dlt.common.destination.client import RunnableLoadJob
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.destinations import duckdb
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient

from ingestion.dlt_runner import FILE_HINT, UnreadableFileError, lake_file
from ingestion.errors import first_line
from ingestion.formats.duckdb_sql import path_pattern
from ingestion.lake.reading.errors import may_pass
from ingestion.lake.reading.files import reader_sql
from ingestion.warehouse.base import FILES_TABLE, write_load_record
from ingestion.warehouse.load_jobs import FileVersionClient


class RawTableJob(RunnableLoadJob):
    """Replace the raw table of one file version, and its load record in ``raw.files``.

    The table has the file's columns, types and rows, in the file's order: ``rowid`` is the row's
    ordinal. A second run gives the same result; a killed run leaves nothing.
    """

    _job_client: DuckDbClient

    def run(self) -> None:
        """Replace table and record in one transaction; raise if the row count is wrong."""
        sql: DuckDbSqlClient = self._job_client.sql_client
        record: dict[str, Any] = self._load_table[FILE_HINT]  # type: ignore[literal-required]
        table = sql.make_qualified_table_name(self.load_table_name)
        files = sql.make_qualified_table_name(FILES_TABLE)
        connection = sql.native_connection
        with lake_file(self._file_path, record["file_id"]) as path, sql.begin_transaction():
            try:
                if self._is_view(connection):  # a view of the lake's file: it was read in place
                    connection.execute(f"drop view {table}")
                connection.execute(
                    f"create or replace table {table} as"
                    f" select * from {reader_sql(record['lake_path'], record['columns'])}",
                    [path_pattern(path)],
                )
                counted = connection.execute(f"select count(*) from {table}")
                ((raw_rows,),) = counted.fetchall()
                row = record | {"loaded_at": datetime.now(UTC)}
                write_load_record(connection.execute, row, files)
            except engine.Error as exc:
                # dlt would retry at once, which helps with neither error
                error = DestinationTerminalException if may_pass(exc) else UnreadableFileError
                raise error(first_line(exc)) from exc
            if raw_rows != record["row_count"]:
                raise UnreadableFileError(
                    f"{raw_rows} rows were loaded of {record['row_count']} in the file"
                )

    def _is_view(self, connection: engine.DuckDBPyConnection) -> bool:
        found = connection.execute(
            "select 1 from duckdb_views() where schema_name = 'raw' and view_name = ?",
            [self.load_table_name],
        )
        return found.fetchone() is not None


class RawClient(FileVersionClient, DuckDbClient):
    """dlt's DuckDB client, with our job for file versions."""

    file_version_job = RawTableJob


class RawDuckDb(duckdb):
    """dlt's DuckDB destination with ``RawClient``."""

    @property
    def client_class(self) -> type[RawClient]:
        """The client that dlt makes for each load."""
        return RawClient


def raw_duckdb(connection: engine.DuckDBPyConnection) -> RawDuckDb:
    """The warehouse behind an open connection, which its opener closes."""
    return RawDuckDb(credentials=connection)
