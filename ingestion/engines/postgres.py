"""PostgreSQL: the warehouse that a team shares.

The connection is libpq's own business: ``PGHOST``, ``PGPORT``, ``PGUSER``, ``PGPASSWORD``,
``PGDATABASE``, ``PGSSLMODE`` and all its other variables and files work as everywhere, and no
password passes through here.
"""

import getpass
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from ingestion.catalog import Landing
from ingestion.engines.base import Result, files_ddl
from ingestion.errors import MedallionError, WarehouseError
from ingestion.read_views import POSTGRES, Branch
from ingestion.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion.destinations.postgres import RawPostgres

OLDEST_SERVER = 150000
# Beside the file's columns in each raw table: a row's ordinal in its file, from 0.
ROW_ORDINAL = "_row_ordinal"


class PostgresSession:
    """An open connection; statements outside ``transaction()`` commit by themselves."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch what it gives."""
        with _one_line(), self.connection.cursor() as cursor:
            cursor.execute(_marks(sql, parameters), list(parameters) or None)
            rows = cursor.fetchall() if cursor.description else []
            return Result([c.name for c in cursor.description or ()], rows)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run statements that give nothing."""
        with _one_line(), self.connection.cursor() as cursor:
            cursor.execute(_marks(sql, parameters), list(parameters) or None)

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """Run one query and read what it gives in batches."""
        import pyarrow as pa

        result = self.query(sql)
        columns = list(zip(*result.rows, strict=True)) or [()] * len(result.columns)
        return pa.table([pa.array(c) for c in columns], names=result.columns).to_reader()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit at the end of a ``with`` block what was done in it, or nothing of it."""
        self.connection.autocommit = False
        try:
            yield
            with _one_line():
                self.connection.commit()
        except BaseException:
            if not self.connection.closed:
                self.connection.rollback()
            raise
        finally:
            if not self.connection.closed:
                self.connection.autocommit = True


class Postgres:
    """The warehouse in the database that libpq's variables name."""

    dialect = POSTGRES
    files_ddl = files_ddl(text="text", json_type="jsonb")

    def __init__(self, settings: Settings):
        self._edition = settings.edition
        self.database = _database() + (f"_{self._edition}" if self._edition else "")
        self.place = f"the warehouse {_where(self.database)}"
        # one stream keeps about a core of the client and one of the server busy
        self.loads_at_once = max(2, os.cpu_count() or 1)

    def exists(self) -> bool:
        """A server is there, or connecting says why not."""
        return True

    @contextmanager
    def session(self, read_only: bool = False) -> Iterator[PostgresSession]:
        """Connect; raise ``MedallionError`` in one line where that cannot be done."""
        if self._edition:
            # an edition is ours to make; the database of the team is not
            create_database(self.database)
        connection = connect_libpq(self.database)
        try:
            if connection.server_version < OLDEST_SERVER:
                found = connection.server_version // 10000
                raise MedallionError(
                    f"{self.place} is PostgreSQL {found}; 15 is the oldest that works."
                )
            connection.set_session(readonly=read_only, autocommit=True)
            yield PostgresSession(connection)
        finally:
            connection.close()

    def destination(self, _session: PostgresSession, /) -> "RawPostgres":
        """The destination, whose jobs connect by themselves."""
        from ingestion.destinations.postgres import raw_postgres

        return raw_postgres(self.database)

    def environment(self) -> dict[str, str]:
        """What dbt's profile reads to reach the same warehouse."""
        return {"PGDATABASE": self.database}

    def branch(self, version: Landing) -> Branch:
        """Read the raw table, where a column holds the row's ordinal in the file."""
        return Branch(
            relation=f"raw.{POSTGRES.quote(version.table_name)}",
            row_ordinal=POSTGRES.quote(ROW_ORDINAL),
            columns=version.columns,
            month=version.month,
            file_key=version.file_key,
        )

    def raw_row_sql(self, table_name: str) -> str:
        """The statement that gives one raw row as published, by its ordinal."""
        return f'select * from raw.{POSTGRES.quote(table_name)} where "{ROW_ORDINAL}" = ?'


def connect_libpq(database: str, options: str = "") -> Connection:
    """Connect as libpq's variables say; raise ``MedallionError`` with the server's reason."""
    try:
        # libpq takes everything else from the environment
        return psycopg2.connect(
            dbname=database,
            application_name="medallion",
            options=" ".join(filter(None, [os.environ.get("PGOPTIONS"), options])),
        )
    except psycopg2.OperationalError as exc:
        reason = " ".join(str(exc).split())
        raise MedallionError(
            f"Cannot connect to {_where(database)}: {reason}. Check PGHOST, PGPORT, PGUSER,"
            " PGPASSWORD, PGDATABASE and PGSSLMODE."
        ) from None


def create_database(name: str) -> None:
    """Make a database on the server where it is not there yet."""
    connection = connect_libpq("postgres")
    try:
        connection.autocommit = True
        with _one_line(), connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", [name])
            if not cursor.fetchone():
                cursor.execute(f"create database {POSTGRES.quote(name)}")
    finally:
        connection.close()


def _database() -> str:
    return os.environ.get("PGDATABASE") or os.environ.get("PGUSER") or getpass.getuser()


def _where(database: str) -> str:
    host = os.environ.get("PGHOST", "the local socket")
    port = os.environ.get("PGPORT", "5432")
    return f"PostgreSQL at {host}:{port}, database {database}"


def _marks(sql: str, parameters: Sequence[Any]) -> str:
    """The statement with psycopg's parameter marks; without parameters it is taken as it is."""
    return sql.replace("%", "%%").replace("?", "%s") if parameters else sql


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except psycopg2.Error as exc:
        raise WarehouseError(" ".join(str(exc).split())) from exc
