"""A session with PostgreSQL, and how it is opened.

libpq makes the connection: ``PGHOST``, ``PGPORT``, ``PGUSER``, ``PGPASSWORD``, ``PGDATABASE``,
``PGSSLMODE`` and all its other variables and files work as everywhere. No password passes through
this module.
"""

import hashlib
import os
import re
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812

from ingestion.errors import (
    LockedError,
    MedallionError,
    UnreachableError,
    UsageError,
    WarehouseError,
)
from ingestion.warehouse.base import (
    ONE_THAT_READS,
    Column,
    Kind,
    Most,
    Result,
    columns_in,
    relations_in,
)
from ingestion.warehouse.postgres.guard import read

if TYPE_CHECKING:
    import pyarrow as pa

# lock_timeout: a reader of many hours must not make a night wait as long. While a statement waits
# for a reader, all later readers wait behind it; so they are let through between two attempts.
# The other settings are the server's defaults, which a database or a role may have changed: a
# month takes longer than a web page may, and the session with a run's lock is idle until the end.
SESSION_OPTIONS = (
    "-c lock_timeout=20s -c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
    " -c idle_session_timeout=0 -c default_transaction_isolation=read\\ committed"
    " -c default_transaction_deferrable=off -c datestyle=ISO,MDY -c intervalstyle=postgres"
    " -c extra_float_digits=1 -c standard_conforming_strings=on -c quote_all_identifiers=off"
)
LOCK_ATTEMPTS = 6
LOCK_PAUSE_SECONDS = 0.5
SEND_BUFFER_BYTES = 4 << 20  # TCP's maximum on Linux; the kernel grants what it allows
# Reasons for a refused connection that may pass; a wrong password or certificate does not.
PASSING_REFUSALS = (
    "Connection refused",
    "No such file or directory",  # the socket of a server that is down
    "timeout expired",
    "Connection timed out",
    "No route to host",
    "server closed the connection",
    "is starting up",
    "is shutting down",
    "in recovery mode",
    "too many",
    "slots are reserved",
)


class PostgresSession:
    """An open connection; each statement outside ``transaction()`` commits by itself."""

    def __init__(self, connection: Connection):
        self.connection = connection

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch its result."""
        with one_line(), self.connection.cursor() as cursor:
            cursor.execute(_marks(sql, parameters), list(parameters) or None)
            with _of_this_calendar():
                rows = cursor.fetchall() if cursor.description else []
            return Result([c.name for c in cursor.description or ()], rows)

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run statements that give no result."""
        with one_line(), self.connection.cursor() as cursor:
            cursor.execute(_marks(sql, parameters), list(parameters) or None)

    def execute_patiently(self, sql: str, relation: str, /) -> None:
        """Run a statement that needs ``relation`` free of readers; part of a transaction.

        While readers hold it, tries again. In the end raises ``LockedError``, which names them.
        """
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            self.execute("savepoint attempt")
            try:
                self.execute(sql)
            except LockedError:
                self.execute("rollback to savepoint attempt")
                if attempt == LOCK_ATTEMPTS:
                    raise LockedError(who_holds(self.connection, relation)) from None
                time.sleep(LOCK_PAUSE_SECONDS)
            else:
                self.execute("release savepoint attempt")
                return

    def read(self, sql: str, /) -> Result:
        """Run a user's query: one statement, which gives rows and cannot write.

        Its settings and locks end with it. Raises ``WarehouseError`` for an account that could
        reach the server's files.
        """
        return self._read(sql)

    def read_first(self, sql: str, most: Most, /) -> Result:
        """Like ``read``, but fetches no more than ``most``; the result says whether it is cut."""
        return self._read(sql, most)

    def done_percent(self) -> float | None:
        """None: the server does not say how far a query is."""
        return None

    def cancel(self) -> None:
        """End the statement that another thread runs here; that raises ``WarehouseError``."""
        with suppress(psycopg2.Error):  # it has ended, or the connection is lost
            self.connection.cancel()

    def _read(self, sql: str, most: Most | None = None) -> Result:
        try:
            with one_line(), self.connection.cursor() as cursor, _of_this_calendar():
                return Result(*read(cursor, sql, most))
        except WarehouseError as exc:
            if isinstance(exc.__cause__, psycopg2.errors.InvalidCursorDefinition):
                raise WarehouseError(ONE_THAT_READS) from exc
            # the rest of the message repeats the statement, and shows our own
            raise WarehouseError(re.split(r" (?:QUERY|CONTEXT): ", str(exc))[0]) from exc

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """Like ``read``, in batches."""
        import pyarrow as pa

        result = self.read(sql)
        columns = list(zip(*result.rows, strict=True)) or [()] * len(result.columns)
        return pa.table([pa.array(c) for c in columns], names=result.columns).to_reader()

    def relations(self) -> dict[tuple[str, str], Kind]:
        """The kind of every table and view that this account may see, by schema and name."""
        return relations_in(self)

    def columns(self, schemas: Sequence[str], /) -> list[Column]:
        """The columns of the tables and views of these schemas, in their order."""
        return columns_in(self, schemas)

    def hides(self, schema: str, relation: str, /) -> bool:
        """Whether there is such a table or view, and this account may not read it."""
        found = self.query(
            "select 1 from pg_class as c inner join pg_namespace as n on c.relnamespace = n.oid"
            " where n.nspname = ? and c.relname = ? and not"
            " (has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'))",
            [schema, relation],
        )
        return bool(found.rows)

    def wait_for_turn(self, what: str, /) -> None:
        """Hold the lock ``what`` until this transaction ends, waiting for its current holder."""
        self.execute("set local lock_timeout = 0")
        self.query(f"select pg_advisory_xact_lock({lock_key(what)})")
        self.execute("reset lock_timeout")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the statements of a ``with`` block at its end; roll back if it raises."""
        with one_line():
            self.connection.autocommit = False
        try:
            yield
            with one_line():
                self.connection.commit()
        except BaseException:
            # a lost connection has nothing to roll back
            with suppress(psycopg2.Error):
                self.connection.rollback()
            raise
        finally:
            if not self.connection.closed:
                with one_line():
                    self.connection.autocommit = True


def connect_libpq(database: str, options: str = "") -> Connection:
    """Connect as libpq's variables say; raise ``MedallionError`` with the server's reason."""
    try:
        # libpq takes everything else from the environment
        connection = psycopg2.connect(
            dbname=database,
            application_name="medallion",
            options=f"{session_options()} {options}",
        )
    except psycopg2.OperationalError as exc:
        reason = " ".join(str(exc).split())
        if "unsupported startup parameter" in reason:
            raise UsageError(f"{_pooler(database)} It says: {reason}") from None
        passing = any(sign in reason for sign in PASSING_REFUSALS)
        raise (UnreachableError if passing else MedallionError)(
            f"Cannot connect to {label_of(database)}: {reason}. {_remedy(reason)}"
        ) from None
    try:
        connection.autocommit = True  # some poolers end a connection that begins a transaction
        with one_line(), connection.cursor() as cursor:
            cursor.execute("select pg_backend_pid()")
            # libpq knows the process it connected to; behind a pooler statements run in another
            is_ours = cursor.fetchone() == (connection.info.backend_pid,)
        connection.autocommit = False
        if not is_ours:
            raise UsageError(_pooler(database))
    except BaseException:
        connection.close()
        raise
    _let_run_ahead(connection)
    return connection


def _pooler(database: str) -> str:
    """The message why a connection pooler cannot be used.

    The lock that keeps two runs apart, the role of a stage, and settings such as ``lock_timeout``
    belong to the session. A pooler loses them, or leaves them to the next client.
    """
    return (
        f"{label_of(database)} is reached through a pooler (such as PgBouncer), which does not keep"
        " the locks, the role and the settings of a session. Connect to the server itself: set"
        " PGHOST and PGPORT to its own address."
    )


def _remedy(reason: str) -> str:
    """What to do about a connection that was refused."""
    if (role := re.search(r'set role "([^"]+)"', reason)) is not None:
        return (
            f"MEDALLION_POSTGRES_ROLES needs it: grant {role[1]} to whoever logs in, or log in as"
            " somebody else (PGUSER)."
        )
    if "role" in reason and 'parameter "role"' in reason:
        return "Make the roles of MEDALLION_POSTGRES_ROLES with: medallion setup-postgres."
    return "Check PGHOST, PGPORT, PGUSER, PGPASSWORD, PGDATABASE and PGSSLMODE."


def session_options() -> str:
    """The options of every session of ours; the user's own options come later and so win."""
    return " ".join(filter(None, [SESSION_OPTIONS, os.environ.get("PGOPTIONS")]))


def lock_key(what: str) -> int:
    """The number of the advisory lock for ``what``."""
    digest = hashlib.sha256(f"medallion {what}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def label_of(database: str) -> str:
    """The server and the database, as a label for messages."""
    host = os.environ.get("PGHOST", "the local socket")
    port = os.environ.get("PGPORT", "5432")
    return f"PostgreSQL at {host}:{port}, database {database}"


def _let_run_ahead(connection: Connection) -> None:
    """Let a client on the server's machine send ahead while the server works.

    The kernel buffers far less for a local socket than for TCP, whose buffers grow by themselves.
    Client and server would take turns, and a month would take half as long again.
    """
    with socket.socket(fileno=os.dup(connection.fileno())) as line:
        if line.family == socket.AF_UNIX:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def who_holds(ours: Connection, *relations: str) -> str:
    """The message that names who holds these tables or views, and says what to do."""
    connection = connect_libpq(ours.info.dbname)
    try:
        # an account outside pg_read_all_stats is not told since when other sessions are active
        found = PostgresSession(connection).query(
            "select format('pid %s (%s, %s%s)', a.pid, a.usename,"
            " coalesce(nullif(a.application_name, ''), 'no application name'),"
            " ', since ' || date_trunc('second', a.xact_start))"
            " from pg_stat_activity as a where a.pid <> ? and a.pid in ("
            "select l.pid from pg_locks as l where l.granted"
            " and l.relation in (select to_regclass(name) from unnest(?) as name)"
            " and l.database = (select oid from pg_database where datname = current_database()))"
            " order by a.xact_start, a.pid",
            [ours.info.backend_pid, list(relations)],
        )
    finally:
        connection.close()
    held = ", ".join(line for (line,) in found.rows) or "nobody any more"
    return (
        f"{' or '.join(relations)} is held by {held}. Run this again when they have ended, or end"
        " them with: select pg_terminate_backend(pid)"
    )


def _marks(sql: str, parameters: Sequence[Any]) -> str:
    """The statement with psycopg's parameter marks; without parameters, unchanged."""
    return sql.replace("%", "%%").replace("?", "%s") if parameters else sql


@contextmanager
def _of_this_calendar() -> Iterator[None]:
    try:
        yield
    except (ValueError, OverflowError) as exc:
        # a time outside Python's calendar, such as the year 10000
        raise WarehouseError(f"{exc}: cast it to text") from exc


@contextmanager
def one_line() -> Iterator[None]:
    """Raise the server's errors as ours, each of one line."""
    try:
        yield
    except psycopg2.errors.QueryCanceled as exc:
        raise WarehouseError(" ".join(str(exc).split())) from exc
    except psycopg2.errors.LockNotAvailable as exc:
        raise LockedError(" ".join(str(exc).split())) from exc
    except psycopg2.Error as exc:
        gone = isinstance(exc, (psycopg2.OperationalError, psycopg2.InterfaceError)) and (
            exc.pgcode is None or exc.pgcode.startswith(("08", "57P"))
        )
        reason = " ".join(str(exc).split())
        raise (UnreachableError if gone else WarehouseError)(reason) from exc
