"""What ``ingestion.load`` and the commands need of an engine."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from ingestion.errors import MedallionError, WarehouseError
from ingestion.lake.catalog import Landing
from ingestion.schema_on_read import Branch, Dialect
from ingestion.sources.base import Dataset

if TYPE_CHECKING:
    import pyarrow as pa
    from dlt.common.destination import Destination

# What is written to a warehouse; raised when an earlier release would read it wrongly. It stands in
# the comment on raw.files.
FORMAT = 1
_FORMAT_COMMENT = "medallion format "
FILES_TABLE = "files"  # in the schema raw: a row a version


@dataclass(frozen=True)
class Result:
    """What a query gave: the names of its columns, and its rows."""

    columns: list[str]
    rows: list[tuple[Any, ...]]

    def records(self) -> list[dict[str, Any]]:
        """The rows as mappings from column to value."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


ONE_THAT_READS = "this is read-only; give one statement that reads"


class Session(Protocol):
    """An open warehouse. Parameters are marked ``?``; faults are ``WarehouseError``, one line."""

    def query(self, sql: str, parameters: Sequence[Any] = (), /) -> Result:
        """Run one statement and fetch what it gives."""

    def execute(self, sql: str, parameters: Sequence[Any] = (), /) -> None:
        """Run statements that give nothing."""

    def execute_patiently(self, sql: str, relation: str, /) -> None:
        """Run a statement that nobody may read ``relation`` for; part of a transaction."""

    def read(self, sql: str, /) -> Result:
        """Run what somebody else has written: one statement, which gives rows and cannot write."""

    def arrow(self, sql: str, /) -> "pa.RecordBatchReader":
        """The same, read in batches."""

    def wait_for_turn(self, what: str, /) -> None:
        """Let nobody else do ``what`` until the end of this transaction, once they are done."""

    def transaction(self) -> AbstractContextManager[None]:
        """Commit at the end of a ``with`` block what was done in it, or nothing of it."""


class Engine(Protocol):
    """One kind of warehouse, with its settings."""

    dialect: Dialect
    label: str  # what to call it in messages; holds no secret

    def exists(self) -> bool:
        """Whether there is a warehouse to look at."""

    def session(self, read_only: bool = False) -> AbstractContextManager[Session]:
        """Open it for the length of a ``with`` block."""

    def only_run(self) -> AbstractContextManager[None]:
        """Keep other runs out, on this machine and on others; raise ``WarehouseBusyError``.

        A lock that is left by a dead process frees itself.
        """

    def check_owner(self) -> None:
        """Raise ``UsageError`` where it belongs to others than a run would write as."""

    def lacks(self, session: Any, /) -> list[str]:
        """What a run would lack there, a sentence each with what to do."""

    def prepare(self, session: Any, /) -> None:
        """Make the schemas raw and of each source, and raw.files, where they are not there."""

    def loads_at_once(self, session: Any, /) -> int:
        """How many versions to load side by side."""

    def destination(self, session: Any, /) -> "Destination[Any, Any]":
        """The dlt destination whose jobs make raw tables and their load records."""

    def environment(self) -> dict[str, str]:
        """What dbt's profile reads to reach the same warehouse."""

    def loaded_tables(self, session: Any, /) -> set[str]:
        """The versions, by table name, that the warehouse can show as this engine reads them."""

    def branches(self, versions: Sequence[Landing]) -> list[Branch]:
        """How a read view reads these versions of one dataset."""

    def replace_view(self, session: Any, dataset: Dataset, branches: Sequence[Branch], /) -> None:
        """Make the read view of a dataset anew, over these versions."""

    def view_comments(self, session: Any, /) -> dict[tuple[str, str], str]:
        """What the comment on each read view says, by schema and name."""

    def raw_row_sql(self, table_name: str, lake_path: str) -> str:
        """The statement that gives one raw row as published, by its ordinal."""


@runtime_checkable
class ReadsInPlace(Protocol):
    """An engine that loads nothing: it reads the lake's files where they lie."""

    def count_rows(self, session: Any, version: Landing, whole: bool, /) -> int:
        """Open the version's file and count its rows; raise ``WarehouseError`` where it cannot.

        The ``whole`` file is read, or only what tells its rows. Threads may count at once.
        """

    def show(self, session: Any, version: Landing, /) -> None:
        """Make ``raw.<version>`` a view of the file, in place of a table that was loaded."""


def files_ddl(text: str, json_type: str) -> str:
    """The statement that makes ``raw.files`` where it is not there, in one engine's types."""
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
            is_newest boolean
        )
    """


def complete_files(session: Session, comment: str | None) -> None:
    """Give ``raw.files`` the columns that an earlier release made it without, and its format."""
    if not has_all_columns(session):
        session.execute("alter table raw.files add column is_newest boolean")
    if comment != f"{_FORMAT_COMMENT}{FORMAT}":
        session.execute(f"comment on table raw.files is '{_FORMAT_COMMENT}{FORMAT}'")


def refuse_later_format(comment: str | None, label: str) -> None:
    """Raise ``MedallionError`` where the comment on ``raw.files`` names a format of the future."""
    written = (comment or "").removeprefix(_FORMAT_COMMENT)
    if written.isdecimal() and int(written) > FORMAT:
        raise MedallionError(
            f"{label[0].upper()}{label[1:]} was written by a later release of Medallion: it has"
            f" format {written}, and this release knows {FORMAT}. Install that release."
        )


def has_all_columns(session: Session) -> bool:
    """Whether ``raw.files`` is as this release makes it."""
    return bool(
        session.query(
            "select 1 from information_schema.columns where table_schema = 'raw'"
            " and table_name = 'files' and column_name = 'is_newest'"
        ).rows
    )


def tables_loaded(session: Session) -> set[str]:
    """The versions that were loaded and are there; a view of a file in the lake is no table."""
    rows = session.query(
        "select table_name from raw.files where status = 'loaded' and table_name in ("
        "select table_name from information_schema.tables"
        " where table_schema = 'raw' and table_type = 'BASE TABLE')"
    ).rows
    return {name for (name,) in rows}


def reason_of(exc: BaseException) -> str:
    """What an engine says of a failed statement, on one line.

    Where several threads work at one, DuckDB now and then tells of a thread that it stopped and
    not of the one that failed (about 1 in 100, DuckDB 1.5.5).
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
    """Write a version's row of ``raw.files`` in place of the one that is there.

    ``execute`` runs a statement with its parameters, which it marks by ``mark``.
    """
    values = [json.dumps(value) if isinstance(value, list) else value for value in row.values()]
    execute(f"delete from {files} where table_name = {mark}", [row["table_name"]])
    marks = ", ".join(mark for _ in row)
    execute(f"insert into {files} ({', '.join(row)}) values ({marks})", values)


def drop_raw(session: Session, dialect: Dialect, table_name: str) -> None:
    """Drop what holds or shows the rows of one version, be it a table or a view."""
    kinds = session.query(
        "select table_type from information_schema.tables"
        " where table_schema = 'raw' and table_name = ?",
        [table_name],
    ).rows
    for (kind,) in kinds:
        what = "view" if kind == "VIEW" else "table"
        relation = f"raw.{dialect.quote(table_name)}"
        session.execute_patiently(f"drop {what} {relation}", relation)


def tables(session: Session) -> set[tuple[str, str]]:
    """Every table and view there is, as (schema, name)."""
    found = session.query("select table_schema, table_name from information_schema.tables")
    return {(schema, name) for schema, name in found.rows}


def files_are_there(session: Session) -> bool:
    """Whether there is a ``raw.files``; raises ``WarehouseError`` where this account may not look.

    What one may not see is not there to ``tables()`` on PostgreSQL.
    """
    may_look = session.query(
        "select has_schema_privilege(nspname, 'usage') from pg_namespace where nspname = 'raw'"
    ).rows
    if may_look == [(False,)]:
        raise WarehouseError(
            "This account may not see the schema raw. Log in as one that loads or transforms."
        )
    return ("raw", "files") in tables(session)
