"""PostgreSQL as a dlt destination whose job is one binary COPY with its table and its record.

dlt's own Parquet job reinterprets the bits of a column whose type differs from the table's, and is
about half as fast. This job maps the file's types, casts safely or refuses, and commits table, rows
and load record together.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from dlt.common.destination import DestinationCapabilitiesContext
from dlt.common.destination.client import RunnableLoadJob
from dlt.common.destination.exceptions import DestinationTerminalException
from dlt.common.schema import Schema
from dlt.common.schema.typing import TSchemaTables, TTableSchemaColumns
from dlt.destinations import postgres
from dlt.destinations.impl.postgres.configuration import (
    PostgresClientConfiguration,
    PostgresCredentials,
)
from dlt.destinations.impl.postgres.postgres import PostgresClient
from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

from ingestion.dlt_runner import FILE_HINT, MANIFEST_FORMAT, UnreadableFileError, lake_file
from ingestion.errors import UntrustedFileError, first_line
from ingestion.formats.csv_reader import csv_batches
from ingestion.formats.json_lines import arrow_schema, json_batches
from ingestion.formats.postgres_types import CopyColumn, copy_columns
from ingestion.warehouse.base import FILES_TABLE, write_load_record
from ingestion.warehouse.load_jobs import FileVersionClient
from ingestion.warehouse.postgres.arrow_copy import PieceReader, copy_stream
from ingestion.warehouse.postgres.session import connect_libpq, who_holds

# Classes of SQLSTATE that mean a value, name or type that the server cannot store: data exception,
# feature not supported, syntax error or name, program limit exceeded.
UNHOLDABLE = ("22", "0A", "42", "54")
NO_RIGHT = "42501"


class RawTableJob(RunnableLoadJob):
    """Replace the raw table of one file version, and its load record in ``raw.files``.

    A second run gives the same result; a killed run leaves nothing.
    """

    _job_client: "RawClient"

    def run(self) -> None:
        """Replace table and record in one transaction; raise if the row count is wrong."""
        record: dict[str, Any] = self._load_table[FILE_HINT]  # type: ignore[literal-required]
        with lake_file(self._file_path, record["file_id"]) as path:
            self._load(path, record)

    def _load(self, path: str, record: dict[str, Any]) -> None:
        sql = self._job_client.sql_client
        table = sql.make_qualified_table_name(self.load_table_name)
        files = sql.make_qualified_table_name(FILES_TABLE)
        stream: PieceReader | None = None
        try:
            with sql.begin_transaction(), sql.native_connection.cursor() as cursor:
                if _is_loaded(cursor, files, record["table_name"], table):
                    return  # another worker has loaded it meanwhile
                columns, batches = open_file(path, record["lake_path"], record["columns"])
                _make_empty(cursor, table, _definitions(columns))
                names = ", ".join(_quoted(c.name) for c in columns)
                stream = copy_stream(columns, batches)
                # this transaction made the table empty, so COPY may write the rows as frozen
                cursor.copy_expert(
                    f"copy {table} ({names}) from stdin (format binary, freeze)",
                    stream,
                )
                if cursor.rowcount != record["row_count"]:
                    raise UnreadableFileError(
                        f"{cursor.rowcount} rows were loaded of {record['row_count']}"
                    )
                row = record | {"loaded_at": datetime.now(UTC)}
                write_load_record(cursor.execute, row, files, mark="%s")
            with sql.native_connection.cursor() as cursor:
                cursor.execute(f"analyze {table}")
        except (pa.ArrowException, UntrustedFileError, ValueError, OSError) as exc:
            raise _error(_is_in_file(exc))(f"{path}: {first_line(exc)}") from exc
        except psycopg2.errors.LockNotAvailable as exc:
            held = who_holds(sql.native_connection, table, files)
            raise DestinationTerminalException(held) from exc
        except psycopg2.Error as exc:
            if stream and stream.error:
                reason = f"{path}: {first_line(stream.error)}"
                raise _error(_is_in_file(stream.error))(reason) from exc
            context = " ".join((exc.diag.context or "").split())
            where = f" ({context})" if context else ""  # row and column of a COPY
            code = exc.pgcode or ""
            unreadable = code.startswith(UNHOLDABLE) and code != NO_RIGHT
            raise _error(unreadable)(f"{table}: {first_line(exc)}{where}") from exc


def _error(unreadable: bool) -> type[DestinationTerminalException]:
    return UnreadableFileError if unreadable else DestinationTerminalException


def _is_in_file(exc: BaseException) -> bool:
    """Whether the error is in the file; for a damaged one Arrow's ``OSError`` has no ``errno``.

    An ``OSError`` of the system has one. It may pass, as may a lack of memory or an interrupt.
    """
    passing = (MemoryError, KeyboardInterrupt, SystemExit)
    return not (isinstance(exc, passing) or getattr(exc, "errno", None))


def _make_empty(cursor: Any, table: str, definitions: str) -> None:
    """Create the table again, or empty it if views still read it though its record is gone."""
    cursor.execute("savepoint before_table")
    try:
        cursor.execute(f"drop table if exists {table}")
        cursor.execute(f"create table {table} ({definitions})")
    except psycopg2.errors.DependentObjectsStillExist:
        cursor.execute("rollback to savepoint before_table")
        cursor.execute(f"truncate {table}")
    cursor.execute("release savepoint before_table")


def _is_loaded(cursor: Any, files: str, table_name: str, table: str) -> bool:
    """Whether the version is loaded; waits while another session loads it."""
    _wait_for_turn(cursor, table_name)
    cursor.execute(
        f"select 1 from {files} where table_name = %s and loaded_at is not null"
        " and to_regclass(%s) is not null",
        [table_name, table],
    )
    return cursor.fetchone() is not None


def _wait_for_turn(cursor: Any, what: str) -> None:
    """Hold the lock ``what`` until this transaction ends; wait for its current holder."""
    # wait without limit: the other session is at work, or its end has released its lock
    cursor.execute("set local lock_timeout = 0")
    cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 0))", [what])
    cursor.execute("reset lock_timeout")


def open_file(
    path: str, lake_path: str, file_columns: Sequence[Sequence[str]]
) -> tuple[list[CopyColumn], Iterator[pa.RecordBatch]]:
    """The columns of the raw table, and the file's rows with their ordinals, batch by batch.

    ``file_columns`` are the file's, as (name, type).
    """
    gzipped = lake_path.endswith(".gz")
    if ".jsonl" in lake_path:
        columns = [(name, file_type) for name, file_type in file_columns]
        return copy_columns(arrow_schema(columns)), json_batches(path, gzipped, columns)
    if not lake_path.endswith(".parquet"):
        names = [name for name, _ in file_columns]
        schema = pa.schema([(name, pa.string()) for name in names])
        batches = csv_batches(path, gzipped, names)
        return copy_columns(schema), batches
    # by default pyarrow would buffer the whole file
    file = pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16)
    return copy_columns(file.schema_arrow), file.iter_batches(batch_size=1 << 16)


def _definitions(columns: list[CopyColumn]) -> str:
    return ", ".join(f"{_quoted(c.name)} {c.sql_type}" for c in columns)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class LibpqSqlClient(Psycopg2SqlClient):
    """dlt's SQL client on a connection from libpq's own variables."""

    def open_connection(self) -> "psycopg2.extensions.connection":
        """Connect, with dlt's dataset on the search path."""
        options = (self.credentials.query or {}).get("options", "")
        self._conn = connect_libpq(
            self.credentials.database,
            f"-c search_path={self.dataset_name},public {options}",
        )
        self._reset_connection()
        return self._conn


class RawClient(FileVersionClient, PostgresClient):
    """dlt's PostgreSQL client, with our connection and our job for file versions."""

    file_version_job = RawTableJob

    def __init__(
        self,
        schema: Schema,
        config: PostgresClientConfiguration,
        capabilities: DestinationCapabilitiesContext,
    ):
        super().__init__(schema, config, capabilities)
        own = self.sql_client
        self.sql_client = LibpqSqlClient(
            own.dataset_name, own.staging_dataset_name, config.credentials, capabilities
        )

    @contextmanager
    def maybe_ddl_transaction(self) -> Iterator[None]:
        """Let one process at a time look which of dlt's own tables are missing and create these.

        Two that are the first in a warehouse would both create them, and the second would fail.
        dlt's ``retry_schema_update`` would run the whole pipeline again, which then tells nothing
        of the jobs that were done before:
        https://dlthub.com/docs/running-in-production/running#retrying-only-the-schema-update-evolution
        """
        with super().maybe_ddl_transaction():
            with self.sql_client.native_connection.cursor() as cursor:
                _wait_for_turn(cursor, "dlt's tables")
            yield

    def _build_schema_update_sql(
        self, storage_tables: Iterable[tuple[str, TTableSchemaColumns]]
    ) -> tuple[list[str], TSchemaTables]:
        """Leave raw tables to their jobs, which create table and rows together."""
        own = ((n, c) for n, c in storage_tables if FILE_HINT not in self.schema.tables[n])
        return super()._build_schema_update_sql(own)


class RawPostgres(postgres):
    """dlt's PostgreSQL destination with ``RawClient``."""

    def _raw_capabilities(self) -> DestinationCapabilitiesContext:
        caps = super()._raw_capabilities()
        formats = caps.supported_loader_file_formats or ()
        caps.supported_loader_file_formats = [*formats, MANIFEST_FORMAT]
        return caps

    @property
    def client_class(self) -> type[RawClient]:
        """The client that dlt makes for each load."""
        return RawClient


def raw_postgres(database: str, options: str) -> RawPostgres:
    """The dlt destination for one database of libpq's server, in sessions with ``options``."""
    # dlt requires credentials; LibpqSqlClient leaves all but the database to libpq
    credentials = PostgresCredentials()
    credentials.database = database
    credentials.username = credentials.password = credentials.host = "libpq"  # noqa: S105
    credentials.query = {"options": options}
    return RawPostgres(credentials=credentials)
