"""Load what the lake holds into the warehouse: a raw table per file version, then the read views.

What is loaded is said by ``raw.files``, whose rows are written in the same transaction as their
tables; it is compared with the lake's catalog, so a load does what is missing and nothing else,
and after a kill it does the rest.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from ingestion.catalog import Catalog, Landing
from ingestion.datasets import DATASETS
from ingestion.errors import MedallionError, UsageError, WarehouseBusyError
from ingestion.lake import lake_file
from ingestion.progress import Progress, Quiet
from ingestion.read_views import DUCKDB, Branch, read_view_sql
from ingestion.settings import Settings

# Two jobs side by side fill the cores while one waits for its only row group; more only use memory.
LOADS_AT_ONCE = 2
# One run of dlt for so many versions: a kill costs no more than what was under way.
BATCH_VERSIONS = 50

# In place of rowid, where a file has a column of that name.
_ROW_ORDINAL = "row_number() over () - 1"

_FILES_DDL = """
    create schema if not exists raw;
    create schema if not exists tlc;
    create table if not exists raw.files (
        file_id varchar not null,
        file_key bigint not null,
        dataset varchar not null,
        month date,
        source_url varchar not null,
        etag varchar,
        last_modified timestamp with time zone,
        bytes bigint not null,
        row_count bigint,
        columns json not null,
        lake_path varchar not null,
        landed_at timestamp with time zone not null,
        table_name varchar not null,
        loaded_at timestamp with time zone,
        status varchar not null,
        error varchar,
        is_current boolean not null
    )
"""


@dataclass(frozen=True)
class LoadReport:
    """What one load did: versions loaded, with errors by version name for those that were not."""

    loaded: list[Landing] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Rows loaded."""
        return sum(v.row_count or 0 for v in self.loaded)


def load(
    settings: Settings,
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    as_of: date | None = None,
    progress: Progress | None = None,
) -> LoadReport:
    """Load the current versions that the warehouse does not hold, then replace the read views.

    The datasets and months narrow what is loaded (reference files always are); the views always
    cover everything loaded. With ``as_of``, current is what had been landed by the end of that
    day. Raises ``WarehouseBusyError`` when another process holds the warehouse.
    """
    progress = progress or Quiet()
    if settings.target != "duckdb" or settings.raw != "loaded":
        raise UsageError("Only MEDALLION_TARGET=duckdb with MEDALLION_RAW=loaded works so far.")
    catalog = Catalog(settings.lake_url)
    current = catalog.current(as_of)

    def in_scope(version: Landing) -> bool:
        if version.month is None:
            return True
        return (
            (not datasets or version.dataset in datasets)
            and (start is None or version.month >= start)
            and (end is None or version.month <= end)
        )

    wanted = [v for v in current if in_scope(v)]
    if _is_up_to_date(settings, catalog, current, wanted):
        return LoadReport()
    with connect(settings) as connection:
        connection.execute(_FILES_DDL)
        held = _held(connection)
        todo = [v for v in wanted if v.table_name not in held]
        failed = _load_versions(settings, connection, todo, progress)
        _publish(connection, catalog, current)
    return LoadReport([v for v in todo if v.table_name not in failed], failed)


@contextmanager
def connect(settings: Settings, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the DuckDB warehouse; say who holds it, when another process does."""
    path = settings.duckdb_path
    if read_only and not path.exists():
        raise MedallionError(f"There is no warehouse at {path} yet. Build it with: medallion run")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            path,
            read_only=read_only,
            config={"memory_limit": settings.duckdb_memory_limit},
        )
    except duckdb.IOException as exc:
        raise _cannot_open(path, exc) from exc
    except OSError as exc:
        raise MedallionError(f"Cannot write the warehouse {path}: {exc.strerror}.") from exc
    try:
        yield connection
    except (duckdb.IOException, duckdb.TransactionException, duckdb.OutOfMemoryException) as exc:
        raise MedallionError(f"The warehouse {path} failed: {' '.join(str(exc).split())}") from exc
    finally:
        connection.close()


def _cannot_open(path: Path, exc: duckdb.Error) -> MedallionError:
    text = str(exc)
    if "lock" not in text:
        return MedallionError(f"Cannot open the warehouse {path}: {text.splitlines()[0]}")
    holder = re.search(r"held in (.+? \(PID \d+\))", text)
    who = holder[1] if holder else "another process"
    return WarehouseBusyError(
        f"The warehouse {path} is held by {who}. DuckDB lets one process write and no other"
        " look on; close that one, or wait for it, and try again."
    )


def _held(connection: duckdb.DuckDBPyConnection) -> set[str]:
    rows = connection.execute("select table_name from raw.files where status = 'loaded'")
    return {name for (name,) in rows.fetchall()}


def _is_up_to_date(
    settings: Settings, catalog: Catalog, current: Sequence[Landing], wanted: Sequence[Landing]
) -> bool:
    """Whether the wanted versions are loaded, and ``raw.files`` says what the catalog says.

    Asked read-only, so that a night without news disturbs nobody.
    """
    if not settings.duckdb_path.exists():
        return False
    with connect(settings, read_only=True) as connection:
        known = connection.execute(
            "select 1 from information_schema.tables"
            " where table_schema = 'raw' and table_name = 'files'"
        ).fetchone()
        if not known:
            return False
        rows = connection.execute(
            "select table_name, source_url, etag, is_current from raw.files"
        ).fetchall()
    files = {table_name: said for table_name, *said in rows}
    in_use = {v.table_name for v in current}
    return {v.table_name for v in wanted} <= files.keys() and all(
        files.get(v.table_name) == [v.source_url, v.etag, v.table_name in in_use]
        for v in catalog.versions()
        if v.table_name in files or v.status == "quarantined"
    )


def _load_versions(
    settings: Settings,
    connection: duckdb.DuckDBPyConnection,
    todo: Sequence[Landing],
    progress: Progress,
) -> dict[str, str]:
    """Load each version as one job of dlt; return the errors of those that failed by table name."""
    if not todo:
        return {}
    # The slow imports wait until there is something to load.
    from ingestion.destinations.duckdb import raw_duckdb
    from ingestion.destinations.references import configure_dlt, run_references

    progress.stage("load", len(todo), sum(v.bytes for v in todo))
    failed: dict[str, str] = {}
    for i in range(0, len(todo), BATCH_VERSIONS):
        batch = todo[i : i + BATCH_VERSIONS]
        configure_dlt(workers=min(LOADS_AT_ONCE, os.cpu_count() or 1))
        references = [_reference(settings, v) for v in batch]
        failed |= run_references(
            "warehouse",
            raw_duckdb(connection),
            references,
            settings.dlt_dir,
            place=f"the warehouse {settings.duckdb_path}",
        )
        for version in batch:
            error = failed.get(version.table_name)
            progress.advance(version.bytes)
            progress.file_done(version.name, error or "loaded", version.row_count)
    return failed


def _reference(settings: Settings, version: Landing) -> Any:
    """One job: the version's file, dlt's view of its columns, and the evidence that it leaves."""
    from ingestion.destinations.references import Reference

    path = lake_file(settings, version)
    return Reference(
        schema=version.dataset,
        table_name=version.table_name,
        url=str(path),
        columns=_column_hints(path, version),
        hint=_files_row(version),
    )


def _column_hints(path: Path, version: Landing) -> dict[str, Any]:
    """What dlt is to know of the columns; the job takes the file's own types in any case."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns

    hints: dict[str, Any] = {}
    if DATASETS[version.dataset].file_format == "parquet":
        # a file that cannot be read fails in its job, by itself
        with suppress(OSError, pa.ArrowException):
            hints = dict(py_arrow_to_table_schema_columns(pq.read_schema(path)))
    # a column of null type has no type for dlt
    return {
        name: {"name": name, "data_type": "text"} | hints.get(name, {})
        for name, _ in version.columns
    }


def _files_row(version: Landing) -> dict[str, Any]:
    """The row of ``raw.files`` that speaks of one version, but for when it was loaded."""
    return {
        "file_id": version.file_id,
        "file_key": version.file_key,
        "dataset": version.dataset,
        "month": version.month.isoformat() if version.month else None,
        "source_url": version.source_url,
        "etag": version.etag,
        "last_modified": version.last_modified.isoformat() if version.last_modified else None,
        "bytes": version.bytes,
        "row_count": version.row_count,
        "columns": [list(c) for c in version.columns],
        "lake_path": version.lake_path,
        "landed_at": version.landed_at.isoformat(),
        "table_name": version.table_name,
        "status": "loaded" if version.status == "landed" else "quarantined",
        "error": version.error,
        "is_current": False,
    }


def _publish(
    connection: duckdb.DuckDBPyConnection, catalog: Catalog, current: Sequence[Landing]
) -> None:
    """Bring ``raw.files`` and the read views to what is loaded now, in one transaction.

    Only rows and views that say something else now are written.
    """
    versions = catalog.versions()
    shown = _shown(versions, current, _held(connection))
    said = {
        table_name: tuple(rest)
        for table_name, *rest in connection.execute(
            "select table_name, source_url, etag, is_current from raw.files"
        ).fetchall()
    }
    views = {
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.views where table_schema = 'tlc'"
        ).fetchall()
    }
    stale_views = {d.name for d in DATASETS.values() if d.view not in views}
    connection.begin()
    try:
        for version in versions:
            is_current = version.table_name in shown
            if said.get(version.table_name) == (version.source_url, version.etag, is_current):
                continue
            if version.status == "quarantined":
                _replace_row(connection, _files_row(version))
            elif version.table_name in said:
                stale_views.add(version.dataset)
                connection.execute(
                    "update raw.files set source_url = ?, etag = ?, last_modified = ?,"
                    " is_current = ? where table_name = ?",
                    [
                        version.source_url,
                        version.etag,
                        version.last_modified,
                        is_current,
                        version.table_name,
                    ],
                )
        for name in stale_views:
            branches = [_branch(v) for v in shown.values() if v.dataset == name]
            connection.execute(read_view_sql(DATASETS[name], branches, DUCKDB))
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _shown(
    versions: Sequence[Landing], current: Sequence[Landing], held: set[str]
) -> dict[str, Landing]:
    """The version of each file that readers see.

    It is the current one, or while that is not loaded, the newest before it that is.
    """
    wanted = {v.key: v for v in current}
    shown: dict[tuple[str, date | None], Landing] = {}
    for version in versions:  # oldest first
        target = wanted.get(version.key)
        if target and version.table_name in held and version.landed_at <= target.landed_at:
            shown[version.key] = version
    shown |= {key: v for key, v in wanted.items() if v.table_name in held}
    return {v.table_name: v for v in shown.values()}


def _branch(version: Landing) -> Branch:
    return Branch(
        relation=f"raw.{DUCKDB.quote(version.table_name)}",
        row_ordinal=_ROW_ORDINAL
        if any(n.lower() == "rowid" for n, _ in version.columns)
        else "rowid",
        columns=version.columns,
        month=version.month,
        file_key=version.file_key,
    )


def _replace_row(connection: duckdb.DuckDBPyConnection, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    values = [json.dumps(v) if isinstance(v, list) else v for v in row.values()]
    connection.execute("delete from raw.files where table_name = ?", [row["table_name"]])
    connection.execute(f"insert into raw.files ({names}) values ({marks})", values)
