"""DuckDB: the warehouse is one file."""

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from ingestion.errors import MedallionError, WarehouseBusyError, WarehouseError
from ingestion.formats.duckdb_sql import NO_HIVE, path_pattern, text_sql
from ingestion.lake.catalog import FileVersion
from ingestion.lake.reading.files import reader_sql
from ingestion.locks import HeldError, holder_of, locked_file
from ingestion.schema_on_read import DUCKDB, Branch, key_sql, month_sql, read_view_sql, view_name
from ingestion.settings import AS_OF, Settings
from ingestion.sources import registry
from ingestion.sources.base import Dataset
from ingestion.warehouse.base import (
    Column,
    Kind,
    Most,
    Result,
    columns_in,
    complete_files,
    files_ddl,
    no_environment,
    reason_of,
    refuse_later_format,
    relations_in,
    tables_loaded,
)
from ingestion.warehouse.duckdb.guard import check_that_it_reads, lock

if TYPE_CHECKING:
    import pyarrow as pa

    from ingestion.warehouse.duckdb.destination import RawDuckDb


READERS_SECONDS = 5.0
GLANCE_SECONDS = 0.5  # a reader has opened the file, and sees only then that a run has begun
READERS_POLL_SECONDS = 0.05


class DuckDbSession:
    """An open DuckDB file; ``readable`` are the folders that its views read."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, readable: Sequence[str] = ()):
        self.connection = connection
        self._readable = readable

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch its result."""
        with _one_line():
            cursor = self._executed(sql, parameters)
            return Result([c[0] for c in cursor.description or ()], cursor.fetchall())

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run statements that give no result."""
        with _one_line():
            self.connection.execute(sql, list(parameters))

    def execute_patiently(self, sql: str, _relation: str, /) -> None:
        """Run a statement; no other process can be reading."""
        self.execute(sql)

    def read(self, sql: str, /) -> Result:
        """Run a user's query: one statement, which gives rows and cannot write.

        From then on the connection can read only the warehouse.
        """
        self._let_only_read(sql)
        return self.query(sql)

    def read_first(self, sql: str, most: Most, /) -> Result:
        """Like ``read``, but fetches no more than ``most``; the result says whether it is cut."""
        self._let_only_read(sql)
        with _one_line():
            cursor = self._executed(sql)
            columns = [c[0] for c in cursor.description or ()]
            return Result(columns, *most.fetch(cursor.fetchmany))

    def done_percent(self) -> float | None:
        """How far the statement is that another thread runs here; None if DuckDB cannot say."""
        percent = self.connection.query_progress()
        return percent if percent >= 0 else None

    def cancel(self) -> None:
        """End the statement that another thread runs here; that raises ``WarehouseError``."""
        self.connection.interrupt()

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """Like ``read``, in batches."""
        self._let_only_read(sql)
        with _one_line():
            return self._executed(sql).to_arrow_reader()

    def _let_only_read(self, sql: str) -> None:
        with _one_line():
            lock(self.connection, self._readable)
            check_that_it_reads(self.connection, sql)

    def _executed(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        cursor: duckdb.DuckDBPyConnection | None = self.connection.execute(sql, list(parameters))
        if cursor is None:  # an empty text, or nothing but a comment
            raise WarehouseError("there is no statement in it")
        return cursor

    def relations(self) -> dict[tuple[str, str], Kind]:
        """The kind of every table and view, by schema and name."""
        return relations_in(self)

    def columns(self, schemas: Sequence[str], /) -> list[Column]:
        """The columns of the tables and views of these schemas, in their order."""
        return columns_in(self, schemas)

    def hides(self, _schema: str, _relation: str, /) -> bool:
        """False: who can open the file sees all of it."""
        return False

    def wait_for_turn(self, what: str, /) -> None:
        """Do nothing: only one process at a time can have the file open to write."""

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit the statements of a ``with`` block at its end; roll back if it raises."""
        self.connection.begin()
        try:
            yield
            with _one_line():
                self.connection.commit()
        except BaseException:
            with suppress(duckdb.TransactionException):  # a failed commit has ended it already
                self.connection.rollback()
            raise


class DuckDb:
    """The warehouse in the file that the settings name."""

    dialect = DUCKDB

    def __init__(self, settings: Settings):
        self._path = settings.duckdb_path
        self._memory_limit = settings.duckdb_memory_limit
        self._run_command = settings.run_command
        self._environment = settings.environment if settings.is_environment else ""
        self.label = f"the warehouse {self._path}"

    def as_of_copies(self) -> list[str]:
        """Commands that remove the files beside this one that were built as of past days."""
        beside = self._path.parent.iterdir() if self._path.parent.is_dir() else ()
        begin = f"{self._path.stem}.{AS_OF}"
        return [f"rm {shlex.quote(str(p))}" for p in sorted(beside) if p.name.startswith(begin)]

    def exists(self) -> bool:
        """Whether the file is there."""
        return self._path.exists()

    @contextmanager
    def session(self, read_only: bool = False) -> Iterator[DuckDbSession]:
        """Open the file; if another process holds it, the error names that process."""
        self._refuse_unknown_environment()
        if read_only and not self.exists():
            raise MedallionError(
                f"There is no warehouse at {self._path} yet. Build it with: {self._run_command}"
            )
        connection = self._connect(read_only, 0.0 if read_only else GLANCE_SECONDS)
        try:
            refuse_later_format(_files_comment(connection), self.label)
            self._opened(connection)
            yield DuckDbSession(connection, self._readable())
        finally:
            connection.close()

    def _connect(self, read_only: bool, patience: float = 0.0) -> duckdb.DuckDBPyConnection:
        """Open the file; wait so many seconds until others have closed it."""
        deadline = time.monotonic() + patience
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                return duckdb.connect(
                    self._path, read_only=read_only, config={"memory_limit": self._memory_limit}
                )
            except duckdb.Error as exc:
                error = _cannot_open(self._path, exc)
                if not isinstance(error, WarehouseBusyError) or time.monotonic() > deadline:
                    raise error from exc
                time.sleep(READERS_POLL_SECONDS)
            except OSError as exc:
                raise MedallionError(f"Cannot write {self.label}: {exc.strerror}.") from exc

    def _refuse_unknown_environment(self) -> None:
        if self._environment and not self.exists():
            raise no_environment(self._environment)

    def _readable(self) -> Sequence[str]:
        """The folders that this warehouse's views read."""
        return ()

    def _opened(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Prepare what this connection needs besides the file."""

    def lacks(self, _session: DuckDbSession, /) -> list[str]:
        """Nothing: an account that can open the file can do everything with it."""
        return []

    def check_owner(self) -> None:
        """Do nothing: a file has no other owner than the account that may write it."""

    @contextmanager
    def only_run(self) -> Iterator[None]:
        """Keep other runs out by a lock: between two stages no process holds the file itself.

        Waits a few seconds for those who read the file. Who comes later finds the lock, and reads
        the publication.
        """
        self._refuse_unknown_environment()
        with ExitStack() as stack:
            try:
                stack.enter_context(locked_file(self._run_lock))
            except HeldError as exc:
                raise WarehouseBusyError(
                    f"Another run ({exc}) is under way on {self.label}; wait for it, or try later."
                ) from None
            except OSError as exc:
                raise MedallionError(f"Cannot write {self.label}: {exc.strerror}.") from exc
            if self.exists():
                self._connect(read_only=False, patience=READERS_SECONDS).close()
            yield

    def holder(self) -> str | None:
        """Who holds the lock file of ``only_run``; None if nobody does."""
        try:
            return holder_of(self._run_lock)
        except OSError as exc:
            raise MedallionError(f"Cannot read {self._run_lock}: {exc.strerror}.") from exc

    @property
    def _run_lock(self) -> Path:
        return self._path.with_name(f"{self._path.name}.run")

    def disk_bytes(self) -> int:
        """The size of the file."""
        return self._path.stat().st_size

    def prepare(self, session: DuckDbSession, /) -> None:
        """Create the schema raw, one for each source, and raw.files, where they do not exist."""
        for schema in ("raw", *registry.schemas()):
            session.execute(f"create schema if not exists {schema}")
        session.execute(files_ddl(text="varchar", json_type="json"))
        complete_files(session, _files_comment(session.connection))

    def loads_at_once(self, _session: DuckDbSession, /) -> int:
        """Two: while one waits for its only row group, the other fills the cores.

        More would only use memory.
        """
        return 2

    def destination(self, session: DuckDbSession, /) -> "RawDuckDb":
        """The destination on the same connection: a process can open the file only once."""
        from ingestion.warehouse.duckdb.destination import raw_duckdb

        return raw_duckdb(session.connection)

    def environment(self) -> dict[str, str]:
        """The environment variables by which dbt's profile reaches the same warehouse."""
        return {
            "MEDALLION_DUCKDB_PATH": str(self._path),
            "MEDALLION_DUCKDB_MEMORY_LIMIT": self._memory_limit,
            "MEDALLION_ENV": "",  # the path is the environment's already
        }

    def loaded_tables(self, session: DuckDbSession, /) -> set[str]:
        """The versions that were loaded."""
        return tables_loaded(session)

    def branches(self, versions: Sequence[FileVersion]) -> list[Branch]:
        """Read each raw table, whose ``rowid`` is the row's ordinal in the file."""
        return [self._table(version) for version in versions]

    def _table(self, version: FileVersion) -> Branch:
        has_rowid = any(name.lower() == "rowid" for name, _ in version.columns)
        return Branch(
            relation=f"raw.{DUCKDB.quote(version.table_name)}",
            row_ordinal="row_number() over () - 1" if has_rowid else "rowid",
            columns=version.columns,
            source_month=month_sql(version.month),
            file_key=key_sql(version.file_key),
        )

    def replace_view(
        self, session: DuckDbSession, dataset: Dataset, branches: Sequence[Branch], comment: str, /
    ) -> None:
        """Replace the read view of a dataset by one over these versions, with a comment."""
        session.execute(read_view_sql(dataset, branches, DUCKDB))
        view = view_name(dataset, DUCKDB)
        session.execute(f"comment on view {view} is {text_sql(comment)}")

    def view_comments(self, session: DuckDbSession, /) -> dict[tuple[str, str], str]:
        """The comment on each read view, by schema and name."""
        found = session.query(
            "select schema_name, view_name, comment from duckdb_views() where not internal"
        )
        return {(schema, view): comment for schema, view, comment in found.rows}

    def raw_row_sql(self, table_name: str, _lake_path: str) -> str:
        """The statement that selects one raw row as published, by its ordinal."""
        return f"select * from raw.{DUCKDB.quote(table_name)} limit 1 offset ?"

    def snapshot(self, session: DuckDbSession, /) -> AbstractContextManager[None]:
        """One transaction: no other process writes meanwhile."""
        return session.transaction()

    def export(self, session: DuckDbSession, sql: str, path: Path, /) -> None:
        """Write the rows that ``sql`` selects to a Parquet file, with DuckDB's own writer."""
        # 3, DuckDB's own level, takes a sixth more time, for files that are a fifteenth smaller
        options = "format parquet, compression zstd, compression_level 2"
        session.execute(f"copy ({sql}) to {text_sql(str(path))} ({options})")
        file = f"select * from read_parquet({text_sql(path_pattern(str(path)))}, {NO_HIVE})"
        asked, written = (
            [row[:2] for row in session.query(f"describe {query}").rows] for query in (sql, file)
        )
        for (name, kind), (_, kept) in zip(asked, written, strict=True):
            if kind != kept:
                raise WarehouseError(
                    f"Parquet does not keep the type {kind} of column {name}: give the column"
                    " another type"
                )

    def holds_file(self, session: DuckDbSession, version: FileVersion, path: str, /) -> bool:
        """Whether a raw table has the columns, rows and values of its file, in the same order."""
        table = f"raw.{DUCKDB.quote(version.table_name)}"
        file = reader_sql(version.lake_path, version.columns, text_sql(path_pattern(path)))
        columns, of_file = (
            [row[:2] for row in session.query(f"describe select * from {relation}").rows]
            for relation in (table, file)
        )
        rows = session.query(f"select count(*) from {table}").rows
        if columns != of_file or rows != [(version.row_count,)]:
            return False
        # columns are renamed c0, c1 ..., so that both sides can stand in one condition
        names = [f"c{i}" for i, _ in enumerate(columns)]
        named = f"({', '.join(names)})"
        differing = " or ".join(f"a.{name} is distinct from b.{name}" for name in names)
        found = session.query(
            f"select 1 from (from {table}) as a{named}"
            f" positional join (from {file}) as b{named} where {differing} limit 1"
        )
        return not found.rows


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except duckdb.Error as exc:
        raise WarehouseError(_with_remedy(exc)) from exc


def _with_remedy(exc: duckdb.Error) -> str:
    """DuckDB's message, with what to do if its file was changed while it was open."""
    is_damage = "Corrupt database file" in str(exc) or isinstance(
        exc, duckdb.SerializationException
    )
    remedy = ". The file is damaged: delete it, and medallion run makes it anew from the lake"
    return reason_of(exc) + (remedy if is_damage else "")


def _cannot_open(path: Path, exc: duckdb.Error) -> MedallionError:
    text = str(exc)
    if "Could not set lock on file" not in text:
        return MedallionError(f"Cannot open the warehouse {path}: {_with_remedy(exc)}")
    holder = re.search(r"held in (.+? \(PID \d+\))", text)
    who = holder[1] if holder else "another process"
    return WarehouseBusyError(
        f"The warehouse {path} is held by {who}. DuckDB lets one process write and no other"
        " look on; close that one, or wait for it, and try again."
    )


def _files_comment(connection: duckdb.DuckDBPyConnection) -> str | None:
    with _one_line():
        found = connection.execute(
            "select comment from duckdb_tables() where schema_name = 'raw' and table_name = 'files'"
        ).fetchone()
    return found[0] if found else None
