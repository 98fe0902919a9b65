"""The interface of an engine, as ``ingestion.load`` and the commands use it."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

from ingestion.errors import MedallionError, UsageError, WarehouseError
from ingestion.formats.duckdb_sql import text_sql
from ingestion.lake.catalog import FileVersion
from ingestion.schema_on_read import Branch, Dialect
from ingestion.sources.base import Dataset

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.common.destination import Destination

# The format version of a warehouse. Raise it when an earlier release would read a new warehouse
# wrongly. It is stored in the comment on raw.files.
FORMAT = 1
_FORMAT_COMMENT = "medallion format "
FILES_TABLE = "files"  # in the schema raw: one row for each file version


@dataclass(frozen=True)
class Result:
    """The result of a query: the names of its columns, and its rows; ``is_cut`` if it has more."""

    columns: list[str]
    rows: list[tuple[Any, ...]]
    is_cut: bool = False

    def records(self) -> list[dict[str, Any]]:
        """The rows as mappings from column to value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


Kind = Literal["table", "view"]
Rows = list[tuple[Any, ...]]


class Most(NamedTuple):
    """As much as is fetched of a result: so many rows, and about so many characters."""

    rows: int
    characters: int

    def fetch(self, fetch: Callable[[int], Rows]) -> tuple[Rows, bool]:
        """Rows from ``fetch``, which gives so many more, and whether there are others.

        The batches grow, so that few large rows do not fill the memory.
        """
        found: Rows = []
        size, step = 0, 1
        while batch := fetch(min(step, self.rows + 1 - len(found))):
            found += batch
            size += sum(len(str(value)) for row in batch for value in row)
            if len(found) > self.rows:
                return found[: self.rows], True
            if size > self.characters:
                return found, bool(fetch(1))
            step *= 2
        return found, False


class Column(NamedTuple):
    """A column of a table or view; its type is spelled as the engine does, in lower case."""

    schema: str
    relation: str
    name: str
    sql_type: str


ONE_THAT_READS = "this is read-only; give one statement that reads"


class Session(Protocol):
    """An open warehouse. Parameters are marked ``?``; raises ``WarehouseError`` of one line."""

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch its result."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run statements that give no result."""

    def relations(self) -> "dict[tuple[str, str], Kind]":
        """The kind of every table and view that this account may see, by schema and name."""

    def columns(self, schemas: Sequence[str], /) -> "list[Column]":
        """The columns of the tables and views of these schemas, in their order."""

    def hides(self, schema: str, relation: str, /) -> bool:
        """Whether there is such a table or view, and this account may not read it."""

    def execute_patiently(self, sql: str, relation: str, /) -> None:
        """Run a statement that needs ``relation`` free of readers; part of a transaction."""

    def read(self, sql: str, /) -> Result:
        """Run a user's query: one statement, which gives rows and cannot write."""

    def read_first(self, sql: str, most: Most, /) -> Result:
        """Like ``read``, but fetches no more than ``most``; the result says whether it is cut."""

    def done_percent(self) -> float | None:
        """How far the statement is that another thread runs here; None if the engine cannot say."""

    def cancel(self) -> None:
        """End the statement that another thread runs here; that raises ``WarehouseError``."""

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """Like ``read``, in batches."""

    def wait_for_turn(self, what: str, /) -> None:
        """Hold the lock ``what`` until this transaction ends, waiting for its current holder."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit the statements of a ``with`` block at its end; roll back if it raises."""


class Engine(Protocol):
    """One kind of warehouse, with its settings."""

    dialect: Dialect
    label: str  # what to call it in messages; holds no secret

    def exists(self) -> bool:
        """Whether the warehouse is there."""

    def session(self, read_only: bool = False) -> AbstractContextManager[Session]:
        """Open it for the length of a ``with`` block."""

    def only_run(self) -> AbstractContextManager[None]:
        """Keep other runs out, on this machine and on others; raise ``WarehouseBusyError``.

        The lock of a dead process is released by itself.
        """

    def holder(self) -> str | None:
        """Who holds the lock of ``only_run``, and since when; None if nobody does.

        It only looks: a run that begins at the same moment is not refused, and another process may
        have the warehouse open.
        """

    def disk_bytes(self) -> int:
        """The bytes that it takes on disk; raises ``MedallionError`` or ``OSError``."""

    def check_owner(self) -> None:
        """Raise ``UsageError`` where the warehouse belongs to other roles than a run writes as."""

    def as_of_copies(self) -> list[str]:
        """Commands that remove the warehouses beside this one that were built as of past days."""

    def lacks(self, session: Any, /) -> list[str]:
        """What a run would lack there: for each, one sentence that also says what to do."""

    def prepare(self, session: Any, /) -> None:
        """Create the schema raw, one for each source, and raw.files, where they do not exist."""

    def loads_at_once(self, session: Any, /) -> int:
        """How many versions to load at once."""

    def destination(self, session: Any, /) -> "Destination[Any, Any]":
        """The dlt destination whose jobs make raw tables and their load records."""

    def environment(self) -> dict[str, str]:
        """The environment variables by which dbt's profile reaches the same warehouse."""

    def loaded_tables(self, session: Any, /) -> set[str]:
        """The table names of the versions that the warehouse can show with this engine."""

    def branches(self, versions: Sequence[FileVersion]) -> list[Branch]:
        """The branches by which a read view reads these versions of one dataset."""

    def replace_view(
        self, session: Any, dataset: Dataset, branches: Sequence[Branch], comment: str, /
    ) -> None:
        """Replace the read view of a dataset by one over these versions, with a comment."""

    def view_comments(self, session: Any, /) -> dict[tuple[str, str], str]:
        """The comment on each read view, by schema and name."""

    def raw_row_sql(self, table_name: str, lake_path: str) -> str:
        """The statement that selects one raw row as published, by its ordinal."""

    def snapshot(self, session: Any, /) -> AbstractContextManager[None]:
        """Let all queries of a ``with`` block see one state of the warehouse."""

    def export(self, session: Any, sql: str, path: Path, /) -> None:
        """Write the rows that ``sql`` selects to a Parquet file, in bounded memory.

        Every value is written exactly; raises ``WarehouseError`` of one line.
        """

    def holds_file(self, session: Any, version: FileVersion, path: str, /) -> bool:
        """Whether a raw table has the columns, rows and values of its file, in the same order.

        Reads both as a whole, and writes nothing.
        """


@runtime_checkable
class ReadsInPlace(Protocol):
    """An engine that loads nothing: it reads the lake's files in place."""

    def count_rows(self, session: Any, version: FileVersion, whole: bool, /) -> int:
        """Open the version's file and count its rows; raise ``WarehouseError`` where it cannot.

        Reads the ``whole`` file, or only as much as the count needs. Several threads may call it.
        """

    def show(self, session: Any, version: FileVersion, /) -> None:
        """Make ``raw.<version>`` a view of the file, in place of a table that was loaded."""


def no_environment(name: str) -> UsageError:
    """The error of a command for an environment that does not exist; a misspelled name makes none.

    A warehouse that a command made by itself would be built from nothing, at full cost.
    """
    return UsageError(
        f"There is no environment {name}: medallion env create {name} makes it, and medallion env"
        " list shows those that there are."
    )


def files_ddl(text: str, json_type: str) -> str:
    """The statement that creates ``raw.files`` if it does not exist, in one engine's types."""
    return f"""
        create table if not exists raw.files (
            file_id {text} not null,
            file_key bigint not null,
            dataset {text} not null,
            month date,
            source_url {text} not null,
            etag {text},
            last_modified timestamp with time zone,
            bytes bigint not null,
            row_count bigint,
            columns {json_type} not null,
            lake_path {text} not null,
            landed_at timestamp with time zone not null,
            table_name {text} not null,
            loaded_at timestamp with time zone,
            status {text} not null,
            error {text},
            is_current boolean not null,
            is_newest boolean,
            read_as {text},
            read_as_at_upgrade {text}
        )
    """


# The columns of raw.files that an earlier release did not have; each may be null.
_LATER_COLUMNS = {"is_newest": "boolean", "read_as": "text", "read_as_at_upgrade": "text"}


def complete_files(session: Session, comment: str | None) -> None:
    """Add to ``raw.files`` its format, and the columns that an earlier release did not have."""
    for name in _lacking_columns(session):
        session.execute(f"alter table raw.files add column {name} {_LATER_COLUMNS[name]}")
    if comment != format_comment():
        session.execute(f"comment on table raw.files is '{format_comment()}'")


def format_comment() -> str:
    """The comment on ``raw.files``."""
    return f"{_FORMAT_COMMENT}{FORMAT}"


def refuse_later_format(comment: str | None, label: str) -> None:
    """Raise ``MedallionError`` where the comment on ``raw.files`` names a later format."""
    written = (comment or "").removeprefix(_FORMAT_COMMENT)
    if written.isdecimal() and int(written) > FORMAT:
        raise MedallionError(
            f"{label[0].upper()}{label[1:]} was written by a later release of Medallion: it has"
            f" format {written}, and this release knows {FORMAT}. Install that release."
        )


def has_all_columns(session: Session) -> bool:
    """Whether ``raw.files`` has every column of this release."""
    return not _lacking_columns(session)


def _lacking_columns(session: Session) -> list[str]:
    there = session.query(f"select * from raw.{FILES_TABLE} where false").columns
    return [name for name in _LATER_COLUMNS if name not in there]


def tables_loaded(session: Session) -> set[str]:
    """The versions whose raw tables exist; a view of a file in the lake does not count."""
    rows = session.query("select table_name from raw.files where loaded_at is not null").rows
    there = session.relations()
    return {name for (name,) in rows if there.get(("raw", name)) == "table"}


def reason_of(exc: BaseException) -> str:
    """An engine's reason for a failed statement, on one line.

    Where several threads work on one statement, DuckDB now and then reports a thread that it
    stopped, not the one that failed (about 1 in 100, DuckDB 1.5.5).
    """
    reason = " ".join(str(exc).split())
    if reason.startswith("INTERRUPT Error"):
        return "it failed half-way, and DuckDB does not say why; run it again"
    return reason


def write_load_record(
    execute: Callable[[str, list[Any]], object],
    row: Mapping[str, Any],
    files: str = "raw.files",
    mark: str = "?",
) -> None:
    """Write a version's load record, its row of ``raw.files``, in place of the present one.

    ``execute`` runs a statement with its parameters; ``mark`` is its parameter mark.
    """
    values = [json.dumps(value) if isinstance(value, list) else value for value in row.values()]
    execute(f"delete from {files} where table_name = {mark}", [row["table_name"]])
    marks = ", ".join(mark for _ in row)
    execute(f"insert into {files} ({', '.join(row)}) values ({marks})", values)


def drop_raw(session: Session, dialect: Dialect, table_name: str) -> None:
    """Drop the raw table or view of one version."""
    if kind := session.relations().get(("raw", table_name)):
        relation = f"raw.{dialect.quote(table_name)}"
        session.execute_patiently(f"drop {kind} {relation}", relation)


def relations_in(session: Session) -> dict[tuple[str, str], Kind]:
    """``Session.relations()`` of an engine with an ``information_schema``."""
    found = session.query(
        "select table_schema, table_name, table_type from information_schema.tables"
    )
    return {
        (schema, name): "view" if kind == "VIEW" else "table" for schema, name, kind in found.rows
    }


def columns_in(session: Session, schemas: Sequence[str]) -> list[Column]:
    """``Session.columns()`` of an engine with an ``information_schema``."""
    found = session.query(
        "select table_schema, table_name, column_name, lower(data_type)"
        " from information_schema.columns"
        # no parameters: DuckDB imports pandas, if it is installed, before it binds one
        f" where table_schema in ({', '.join(map(text_sql, schemas))})"
        " order by table_schema, table_name, ordinal_position"
    )
    return [Column(*row) for row in found.rows]


def tables(session: Session) -> set[tuple[str, str]]:
    """Every table and view, as (schema, name)."""
    return set(session.relations())


def files_are_there(session: Session) -> bool:
    """Whether ``raw.files`` exists; raises ``WarehouseError`` where this account may not see it.

    On PostgreSQL, ``tables()`` leaves out what the account may not see.
    """
    if session.hides("raw", FILES_TABLE):
        raise WarehouseError(
            "This account may not see the schema raw. Log in as one that loads or transforms."
        )
    return ("raw", "files") in tables(session)
