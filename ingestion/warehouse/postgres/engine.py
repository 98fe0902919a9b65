"""PostgreSQL: the warehouse that a team shares."""

import getpass
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ingestion.errors import MedallionError, UsageError, WarehouseBusyError, WarehouseError
from ingestion.formats.postgres_types import ROW_ORDINAL
from ingestion.lake.catalog import FileVersion
from ingestion.locks import this_process
from ingestion.schema_on_read import (
    ORIGIN,
    POSTGRES,
    Branch,
    key_sql,
    month_sql,
    read_view_sql,
    view_name,
)
from ingestion.settings import AS_OF, ENV_VARIANT, Settings
from ingestion.sources import registry
from ingestion.sources.base import Dataset
from ingestion.warehouse.base import (
    complete_files,
    files_ddl,
    no_environment,
    refuse_later_format,
    tables_loaded,
)
from ingestion.warehouse.postgres.requirements import lacks
from ingestion.warehouse.postgres.roles import (
    BUILT,
    Roles,
    database_sql,
    loaded_schemas,
    managing_roles,
    roles_sql,
    too_powerful_sql,
)
from ingestion.warehouse.postgres.session import (
    PostgresSession,
    connect_libpq,
    label_of,
    lock_key,
    session_options,
)

if TYPE_CHECKING:
    from ingestion.warehouse.postgres.destination import RawPostgres

OLDEST_SERVER = 150000
LONGEST_NAME = 63  # the server would cut off what is longer
KEEPALIVE_OPTIONS = (
    "-c tcp_keepalives_idle=30 -c tcp_keepalives_interval=15 -c tcp_keepalives_count=4"
)


class Postgres:
    """The warehouse in the database that libpq's variables name."""

    dialect = POSTGRES

    def __init__(self, settings: Settings):
        if os.environ.get("PGSERVICE"):
            raise UsageError(
                "PGSERVICE: dbt cannot read it; name the server by PGHOST, PGPORT, PGUSER and"
                " PGDATABASE."
            )
        self._variant = settings.variant
        self._run_command = settings.run_command
        self.roles = Roles(settings.postgres_roles) if settings.postgres_roles else None
        self._environment = settings.environment if settings.is_environment else ""
        # an environment's name follows that of the database beside which it is, as in profiles.yml
        beside = self._variant.replace(f"-{ENV_VARIANT}", f"_{ENV_VARIANT}")
        self.database = _database() + (f"_{beside}" if beside else "")
        if len(self.database.encode()) > LONGEST_NAME:
            raise UsageError(
                f"{self.database} is too long for the name of a PostgreSQL database, which has at"
                f" most {LONGEST_NAME} bytes: take a shorter name for the environment."
            )
        self.label = f"the warehouse {label_of(self.database)}"

    def as_of_copies(self) -> list[str]:
        """Commands that remove the databases beside this one that were built as of past days."""
        connection = connect_libpq("postgres")
        try:
            found = PostgresSession(connection).query(
                "select datname from pg_database where starts_with(datname, ?) order by datname",
                [f"{self.database}_{AS_OF}"],
            )
        finally:
            connection.close()
        return [f"dropdb {shlex.quote(name)}" for (name,) in found.rows]

    def exists(self) -> bool:
        """Whether a variant exists. True for the team's own database: to connect shows that."""
        return not self._variant or has_database(self.database)

    @contextmanager
    def session(self, read_only: bool = False) -> Iterator[PostgresSession]:
        """Connect; raise ``MedallionError`` of one line where that fails."""
        self._refuse_unknown_environment()
        if read_only and not self.exists():
            raise MedallionError(
                f"There is no warehouse at {label_of(self.database)} yet."
                f" Build it with: {self._run_command}"
            )
        if self._variant and not read_only:
            # we may create a variant, but not the team's database
            create_database(self.database, self.roles)
        # readers keep their own role, and so see all that they may see
        connection = connect_libpq(self.database, "" if read_only else self._as_loader())
        try:
            if connection.server_version < OLDEST_SERVER:
                found = connection.server_version // 10000
                raise MedallionError(
                    f"{self.label} is PostgreSQL {found}; 15 is the oldest that works."
                )
            connection.set_session(readonly=read_only, autocommit=True)
            session = PostgresSession(connection)
            refuse_later_format(_files_comment(session), self.label)
            if not read_only:
                ((acting,),) = session.query("select current_user::text").rows
                self._refuse_others(session, acting)
            yield session
        finally:
            connection.close()

    def check_owner(self) -> None:
        """Raise ``UsageError`` where the schemas belong to roles that a run does not act as."""
        if not self.exists():
            return
        connection = connect_libpq(self.database)
        try:
            session = PostgresSession(connection)
            ((login,),) = session.query("select current_user::text").rows
            acting = (self.roles.loader, self.roles.transformer) if self.roles else (login,)
            self._refuse_others(session, *acting)
        finally:
            connection.close()

    def _refuse_others(self, session: PostgresSession, *acting: str) -> None:
        """If roles own the schemas, let only those roles write.

        Another account, even a superuser, would own what it creates: the roles could never replace
        it.
        """
        managing = managing_roles(_owners(session))
        if managing and not set(acting) <= {managing.loader, managing.transformer}:
            raise UsageError(
                f"The schemas of {self.label} belong to the roles {managing.loader} and"
                f" {managing.transformer}, and this would write as {acting[0]}. Set"
                f" MEDALLION_POSTGRES_ROLES={managing.prefix}."
            )

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Hold a lock in the database for the length of a ``with`` block.

        The server releases it when the connection ends, or when the client's machine has not
        answered for about a minute and a half.
        """
        self._refuse_unknown_environment()
        if self._variant:
            create_database(self.database, self.roles)
        self.check_owner()
        connection = connect_libpq(self.database, KEEPALIVE_OPTIONS)
        try:
            connection.autocommit = True
            session = PostgresSession(connection)
            # the one thing about a session that every account may see
            session.query("select set_config('application_name', ?, false)", [this_process()])
            if session.query(f"select pg_try_advisory_lock({lock_key('run')})").rows != [(True,)]:
                who = _who_runs(session) or "it has just ended"
                raise WarehouseBusyError(
                    f"Another run is under way on {self.label}: {who}. Wait for it, or try later."
                )
            yield
        finally:
            connection.close()

    def holder(self) -> str | None:
        """Who holds the lock of ``only_run`` in the database; None if nobody does."""
        if not self.exists():
            return None
        connection = connect_libpq(self.database)
        try:
            return _who_runs(PostgresSession(connection))
        finally:
            connection.close()

    def disk_bytes(self) -> int:
        """The size of the database; of another's schemas in it too."""
        with self.session(read_only=True) as session:
            ((size,),) = session.query("select pg_database_size(current_database())").rows
        return int(size)

    def _refuse_unknown_environment(self) -> None:
        if self._environment and not self.exists():
            raise no_environment(self._environment)

    def _as_loader(self) -> str:
        return f"-c role={self.roles.loader}" if self.roles else ""

    def _as_transformer(self) -> str:
        # a role set as an option survives a rollback; dbt's `set role` in a transaction does not
        return f"-c role={self.roles.transformer}" if self.roles else ""

    def prepare(self, session: PostgresSession, /) -> None:
        """Create the schema raw, one for each source, and raw.files, where they do not exist."""
        with session.transaction():
            # `if not exists` does not protect two sessions that create the same thing at once
            session.wait_for_turn("prepare")
            for schema in ("raw", *registry.schemas()):
                # `if not exists` needs the right to create a schema even where it exists
                if session.query("select to_regnamespace(?)", [schema]).rows == [(None,)]:
                    session.execute(f"create schema if not exists {schema}")
            session.execute(files_ddl(text="text", json_type="jsonb"))
            complete_files(session, _files_comment(session))

    def loads_at_once(self, session: PostgresSession, /) -> int:
        """One stream keeps about one core busy on either side.

        The server does not report its cores. The number that its owner allows for one query is the
        nearest value.
        """
        ((server,),) = session.query("select current_setting('max_parallel_workers')::int").rows
        return max(2, min(os.cpu_count() or 1, int(server)))

    def lacks(self, session: PostgresSession, /) -> list[str]:
        """What a run would lack on this server: for each, one sentence that says what to do."""
        return list(lacks(session, self.roles, self.loads_at_once(session)))

    def destination(self, _session: PostgresSession, /) -> "RawPostgres":
        """The destination; its jobs open their own connections."""
        from ingestion.warehouse.postgres.destination import raw_postgres

        return raw_postgres(self.database, self._as_loader())

    def environment(self) -> dict[str, str]:
        """The environment variables by which dbt's profile and libpq reach this warehouse."""
        return {
            "PGDATABASE": self.database,
            "MEDALLION_ENV": "",  # the database is the environment's already
            "PGOPTIONS": f"{session_options()} {self._as_transformer()}".strip(),
            "MEDALLION_POSTGRES_ROLES": self.roles.prefix if self.roles else "",
        }

    def setup_sql(self, roles: Roles) -> list[str]:
        """Every statement of ``set_up``, to read or to run by hand."""
        return [*roles_sql(roles), *database_sql(roles, self.database)]

    def set_up(self, roles: Roles) -> None:
        """Create the roles and grant each its part of the database, in one transaction.

        Raises ``MedallionError`` where a role exists and can do more than that, or where the
        connecting account may not do this.
        """
        if self._variant:
            create_database(self.database)
        connection = connect_libpq(self.database)
        try:
            session = PostgresSession(connection)
            with session.transaction():
                for statement in self.setup_sql(roles):
                    session.execute(statement)
                powerful = [name for (name,) in session.query(too_powerful_sql(roles)).rows]
                if powerful:
                    raise MedallionError(
                        f"{', '.join(powerful)} can do more than load, transform or read."
                        " Take that from it with `alter role`, or `revoke` what it is a member of,"
                        " or give other names with --prefix."
                    )
        finally:
            connection.close()

    def loaded_tables(self, session: PostgresSession, /) -> set[str]:
        """The versions that were loaded."""
        return tables_loaded(session)

    def branches(self, versions: Sequence[FileVersion]) -> list[Branch]:
        """Read each raw table; one of its columns holds the row's ordinal in the file."""
        return [
            Branch(
                relation=f"raw.{POSTGRES.quote(version.table_name)}",
                row_ordinal=POSTGRES.quote(ROW_ORDINAL),
                columns=version.columns,
                source_month=month_sql(version.month),
                file_key=key_sql(version.file_key),
            )
            for version in versions
        ]

    def replace_view(
        self,
        session: PostgresSession,
        dataset: Dataset,
        branches: Sequence[Branch],
        comment: str,
        /,
    ) -> None:
        """Replace the read view of a dataset by one over these versions, with a comment.

        The server can only add columns at a view's end; it cannot change one. If a column's type
        has changed, the view is dropped with the views that read it; dbt makes those again.
        """
        view = view_name(dataset, POSTGRES)
        there = {
            column.name: column.sql_type
            for column in session.columns([dataset.source])
            if column.relation == dataset.view and column.name not in ORIGIN
        }
        wanted = {name: POSTGRES.sql_type(t) for name, t in dataset.read_schema.items()}
        if not there.items() <= wanted.items():
            session.execute_patiently(f"drop view {view} cascade", view)
            there = {}
        sql = read_view_sql(dataset, branches, POSTGRES, first=list(there))
        session.execute_patiently(sql, view)
        session.execute(f"comment on view {view} is '{comment}'")

    def view_comments(self, session: PostgresSession, /) -> dict[tuple[str, str], str]:
        """The comment on each read view, by schema and name."""
        found = session.query(
            "select nspname, relname, obj_description(pg_class.oid, 'pg_class') from pg_class"
            " inner join pg_namespace on pg_namespace.oid = relnamespace"
            " where nspname = any(?) and relkind = 'v'",
            [list(registry.schemas())],
        )
        return {(schema, view): comment for schema, view, comment in found.rows}

    def raw_row_sql(self, table_name: str, _lake_path: str) -> str:
        """The statement that selects one raw row as published, by its ordinal."""
        return f'select * from raw.{POSTGRES.quote(table_name)} where "{ROW_ORDINAL}" = ?'

    @contextmanager
    def snapshot(self, session: PostgresSession, /) -> Iterator[None]:
        """Let all queries of a ``with`` block see one state of the warehouse."""
        with session.transaction():
            session.execute("set transaction isolation level repeatable read")
            yield

    def export(self, session: PostgresSession, sql: str, path: Path, /) -> None:
        """Write the rows that ``sql`` selects to a Parquet file."""
        # importing pyarrow is slow
        from ingestion.warehouse.postgres.export import export

        export(session, sql, path)

    def holds_file(self, session: PostgresSession, version: FileVersion, path: str, /) -> bool:
        """Whether a raw table has the columns, rows and values of its file, in the same order."""
        from ingestion.warehouse.postgres.compare import holds_file

        return holds_file(session, version, path)


def has_database(name: str) -> bool:
    """Whether the server has a database of that name."""
    connection = connect_libpq("postgres")
    try:
        known = PostgresSession(connection).query(
            "select 1 from pg_database where datname = ?", [name]
        )
        return bool(known.rows)
    finally:
        connection.close()


def create_database(name: str, roles: Roles | None = None) -> None:
    """Create a database if the server does not have it, with each role's part of it.

    A part that is missing, after a kill or because the roles are new, is granted now.
    """
    if not has_database(name):
        connection = connect_libpq("postgres")
        try:
            connection.autocommit = True
            session = PostgresSession(connection)
            session.execute(f"create database {POSTGRES.quote(name)}")
        finally:
            connection.close()
    if roles:
        connection = connect_libpq(name)
        try:
            connection.autocommit = True
            session = PostgresSession(connection)
            if not _has_parts(session, roles):
                with session.transaction():
                    for statement in database_sql(roles, name):
                        session.execute(statement)
        except WarehouseError as exc:
            raise WarehouseError(
                f"Cannot give {', '.join(roles.all)} their part of {label_of(name)}: {exc}. Its"
                " owner or a superuser has to run this once."
            ) from exc
        finally:
            connection.close()


def _has_parts(session: PostgresSession, roles: Roles) -> bool:
    """Whether each role has its schemas; a role gets all its parts in one transaction."""
    return set(_owners(session).items()) >= {
        *((schema, roles.loader) for schema in loaded_schemas()),
        *((schema, roles.transformer) for schema in BUILT),
    }


def _owners(session: PostgresSession) -> dict[str, str]:
    """The owner of each schema."""
    return dict(session.query("select nspname, nspowner::regrole::text from pg_namespace").rows)


def _who_runs(session: PostgresSession) -> str | None:
    """Who holds the lock of a run; the session of an earlier release has only its number."""
    found = session.query(
        "select case when a.application_name like 'pid %' then a.application_name"
        " else 'pid ' || l.pid || ' of the server' end"
        " from pg_locks as l left join pg_stat_activity as a on l.pid = a.pid"
        " where l.locktype = 'advisory' and l.granted"
        " and l.database = (select oid from pg_database where datname = current_database())"
        " and ((l.classid::bigint << 32) | l.objid::bigint) = ?",
        [lock_key("run")],
    )
    return ", ".join(line for (line,) in found.rows) or None


def _database() -> str:
    return os.environ.get("PGDATABASE") or os.environ.get("PGUSER") or getpass.getuser()


def _files_comment(session: PostgresSession) -> str | None:
    # to_regclass raises for a schema that this account may not see into
    rows = session.query(
        "select obj_description(pg_class.oid, 'pg_class') from pg_class"
        " inner join pg_namespace on pg_namespace.oid = relnamespace"
        " where nspname = 'raw' and relname = 'files'"
    ).rows
    return rows[0][0] if rows else None
