"""A catalog of the lake for any DuckDB: a small database of views, and the script that makes it.

Each dataset has ``<name>`` (the current versions), ``<name>_all`` (every version) and the macro
``<name>_as_of(day)``, all under the read schema. There is one table ``versions``. The views read
the lake's files in place, and only those of the months that a query needs. Neither file holds a
credential: the script says how a session finds its own.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from ingestion.errors import MedallionError, UsageError, first_line
from ingestion.formats.duckdb_sql import text_sql
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.file_version import Key
from ingestion.lake.reading.attach import attach_lake, connect_sql
from ingestion.lake.reading.files import (
    Condition,
    LookUp,
    address,
    branches,
    reader_sql,
    source_sql,
)
from ingestion.schema_on_read import DUCKDB, rows_sql
from ingestion.settings import Settings
from ingestion.sources import registry

AS_OF = "as_of_day"
VERSIONS = "versions"  # the table
FOREVER = date.max


@dataclass(frozen=True)
class LakeViews:
    """What was written: the database, its script, and the first statements of a cloud session."""

    database: Path
    script: Path
    versions: int
    connect: list[str]


def write_lake_views(settings: Settings, out: Path) -> LakeViews:
    """Write the database ``out`` and its script beside it, in place of earlier ones.

    Raises ``MedallionError`` where the lake is empty, or where the lake, one of its versions or the
    folder cannot be reached; then the earlier files stay. Raises ``UsageError`` where this function
    did not write the file that is there.
    """
    script = out.with_suffix(".sql")
    _must_be_ours(out, script)
    catalog = Catalog(settings.lake_url)
    if not catalog.versions():
        raise MedallionError(f"The lake {settings.lake_url} is empty. Fill it with: medallion land")
    statements = list(_statements(settings.lake_url, catalog))
    connect = connect_sql(settings.lake_url)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _replace(out, lambda path: _build(path, settings.lake_url, catalog, statements))
        text = ";\n\n".join([*connect, *statements]) + ";\n"
        _replace(script, lambda path: path.write_text(f"{_HEAD}\n{text}"))
    except OSError as exc:
        raise MedallionError(f"Cannot write {out}: {exc.strerror}.") from exc
    return LakeViews(out, script, len(catalog.versions()), connect)


# how the script of any release begins
_OURS = b"-- Views over a lake"
_HEAD = """\
-- Views over a lake, for DuckDB; `medallion catalog` wrote them. Run this in an empty database. The
-- database beside it has them already, and its sessions need only what comes before the table
-- `versions`.
"""


def _must_be_ours(out: Path, script: Path) -> None:
    """Raise ``UsageError`` where a file would be replaced that is not a catalog of the lake."""
    if out.suffix.lower() == ".sql":
        raise UsageError(f"--out names the database, and {out} the script beside it: take .duckdb.")
    for path, is_ours in ((out, _is_our_database), (script, _is_our_script)):
        if path.exists() and not is_ours(path):
            raise UsageError(
                f"{path} exists and was not made by medallion catalog: it would be overwritten."
                " Give another --out."
            )


def _is_our_database(path: Path) -> bool:
    """Whether it holds the objects that this module makes, and no other table or view."""
    datasets = registry.datasets()
    ours = {name for d in datasets for name in (d, f"{d}_all")} | {VERSIONS}
    try:
        with duckdb.connect(path, read_only=True) as connection:
            found = connection.execute(
                "select table_name from duckdb_tables()"
                " union all select view_name from duckdb_views() where not internal"
            ).fetchall()
    except duckdb.Error:
        return False
    names = {name for (name,) in found}
    return names <= ours and {VERSIONS, *datasets} & names > {VERSIONS}


def _is_our_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.readline().startswith(_OURS)
    except OSError:
        return False


def _statements(lake_url: str, catalog: Catalog) -> Iterator[str]:
    current = {(v.key, v.file_id) for v in catalog.current()}
    yield _VERSIONS
    for version in catalog.versions():
        yield _versions_row(lake_url, version, (version.key, version.file_id) in current)
    days: Days = defaultdict(list)
    then = {}
    for version, since, until in catalog.days_current():
        days[version.key, version.file_id].append((since, until))
        then[version.key, version.file_id] = version
    for dataset in map(catalog.dataset, registry.datasets()):
        if not dataset.has_rows:
            continue
        trusted = [
            v
            for v in catalog.versions()
            if v.dataset == dataset.name and v.status in ("landed", "withdrawn")
        ]
        newest = [v for v in trusted if (v.key, v.file_id) in current]
        for name, versions in ((f"{dataset.name}_all", trusted), (dataset.name, newest)):
            rows = rows_sql(dataset, branches(lake_url, versions), DUCKDB)
            yield f"create or replace view {name} as\n{rows}"
        past = [v for v in then.values() if v.dataset == dataset.name]
        rows = rows_sql(dataset, branches(lake_url, past, _current_on(days)), DUCKDB)
        yield f"create or replace macro {dataset.name}_as_of({AS_OF}) as table\n{rows}"


_VERSIONS = """\
create or replace table versions (
    dataset varchar not null,
    month date,
    file_key bigint not null,
    file_id varchar not null,
    landed_at timestamp with time zone not null,
    is_current boolean not null,
    status varchar not null,
    error varchar,
    row_count bigint,
    bytes bigint not null,
    columns json not null,
    source_url varchar not null,
    etag varchar,
    last_modified timestamp with time zone,
    address varchar not null
)"""


def _versions_row(lake_url: str, version: FileVersion, is_current: bool) -> str:
    def sql(value: object) -> str:
        if value is None:
            return "null"
        if isinstance(value, bool | int):
            return str(value).lower()
        return text_sql(str(value))

    values = (
        version.dataset,
        version.month,
        version.file_key,
        version.file_id,
        version.landed_at,
        is_current,
        version.status,
        version.error,
        version.row_count,
        version.bytes,
        json.dumps(version.columns),
        version.source_url,
        version.etag,
        version.last_modified,
        address(lake_url, version.lake_path),
    )
    return f"insert into versions values ({', '.join(map(sql, values))})"


Days = dict[tuple[Key, str], list[tuple[date, date]]]


def _current_on(days: Days) -> Condition:
    """The condition that a version was current on the macro's day."""
    most = max((len(spans) for spans in days.values()), default=0)

    def condition(looked_up: LookUp) -> str:
        def edge(number: int, side: int) -> str:
            def literal(version: FileVersion) -> str:
                spans = days.get((version.key, version.file_id), [])
                return f"date '{spans[number][side] if number < len(spans) else FOREVER}'"

            return looked_up(literal)

        day = f"cast({AS_OF} as date)"
        spans = (f"({edge(n, 0)} <= {day} and {day} < {edge(n, 1)})" for n in range(most))
        return " or ".join(spans) or "false"

    return condition


def _build(path: Path, lake_url: str, catalog: Catalog, statements: list[str]) -> None:
    with duckdb.connect(path) as connection:
        attach_lake(connection, lake_url)
        for statement in statements:
            try:
                connection.execute(statement)
            except (duckdb.Error, OSError) as exc:
                _name_what_cannot_be_read(connection, lake_url, catalog, statement)
                # the lines after the first are our own SQL
                raise MedallionError(f"The views cannot be made: {first_line(exc)}") from exc


def _name_what_cannot_be_read(
    connection: duckdb.DuckDBPyConnection, lake_url: str, catalog: Catalog, statement: str
) -> None:
    """Raise for the first version in a statement that cannot be opened."""
    for version in catalog.versions():
        source = source_sql(lake_url, version.lake_path)
        if source not in statement:
            continue
        try:
            connection.execute(
                f"describe from {reader_sql(version.lake_path, version.columns, source)}"
            )
        except (duckdb.Error, OSError) as exc:
            raise MedallionError(
                f"{version.name}, {version.lake_path} cannot be read from the lake:"
                " medallion verify says what is wrong with it and how to restore it."
            ) from exc


def _replace(target: Path, write: Callable[[Path], object]) -> None:
    """Write a file under another name, and rename it when it is whole."""
    partial = target.with_name(f"{target.name}.partial")
    partial.unlink(missing_ok=True)
    try:
        write(partial)
        partial.replace(target)
    except duckdb.IOException as exc:
        raise MedallionError(f"Cannot write {target}: {first_line(exc)}") from exc
    finally:
        partial.unlink(missing_ok=True)
