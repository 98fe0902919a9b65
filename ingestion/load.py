"""Load the lake into the warehouse: one raw table for each file version, then the read views.

``raw.files`` records what is loaded. Each row is written in the same transaction as its table. A
load compares ``raw.files`` with the lake's catalog and does only what is missing, also after a
kill.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ingestion.errors import MedallionError, UnreachableError, UnreadableError, WarehouseError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.errors import Failure, may_pass
from ingestion.lake.storage.store import Store, open_lake
from ingestion.progress import Progress, Quiet
from ingestion.scratch import clear_scratch
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.warehouse import engine_for, files_table
from ingestion.warehouse.base import (
    Engine,
    ReadsInPlace,
    Session,
    files_are_there,
    has_all_columns,
    tables,
)

# The most versions in one run of dlt: a kill costs only the loads that were under way.
BATCH_VERSIONS = 50
# Counting the rows of a file in a bucket is mostly waiting, so several are counted at once.
FOOTERS_AT_ONCE = 8
MICROSECONDS = 6


@dataclass(frozen=True)
class LoadReport:
    """The result of one load: versions loaded, and the errors of the others by table name.

    Among the others, ``quarantined`` cannot be read: they are in ``raw.files`` with the reason. The
    errors of the rest may pass. ``seconds`` are those that each file took, by its name.
    """

    loaded: list[FileVersion] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    quarantined: frozenset[str] = frozenset()
    seconds: dict[str, float] = field(default_factory=dict, compare=False)

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
    drop_unknown: bool = False,
) -> LoadReport:
    """Load the current versions that the warehouse does not hold, then replace the read views.

    The datasets and months limit what is loaded; reference files are always loaded, and the views
    always cover everything loaded. With ``as_of``, a version is current if it was so at the end of
    that day. Raises ``WarehouseBusyError`` when another process holds the warehouse. Raises
    ``MedallionError`` where the views show orphans, versions that the lake's catalog has never had;
    they stay shown, unless ``drop_unknown`` is given.

    A version that cannot be read is put in quarantine, and the version before it is shown. Every
    load tries it again. That reads one file, and succeeds once the file or its reader is mended.
    """
    progress = progress or Quiet()
    engine = engine_for(settings)
    clear_scratch(settings.dlt_dir)

    def known() -> Catalog:
        return Catalog(settings.lake_url)

    whole = known()
    catalog = whole.as_of(as_of) if as_of else whole
    # a document has no columns, and no table: the lake is all that holds it
    current = [version for version in catalog.current() if version.columns]

    def in_scope(version: FileVersion) -> bool:
        if version.month is None:
            return True
        return (
            (not datasets or version.dataset in datasets)
            and (start is None or version.month >= start)
            and (end is None or version.month <= end)
        )

    if _is_up_to_date(engine, catalog, current, in_scope, None if drop_unknown else whole):
        return LoadReport()
    with engine.session() as session:
        try:
            engine.prepare(session)
            loaded, recorded = engine.loaded_tables(session), _loaded(files_table.recorded(session))
            # what was loaded before stays shown, even if it is now read in another way or place
            wanted = [v for v in current if in_scope(v) or v.table_name in recorded]
            todo = [v for v in wanted if v.table_name not in loaded]
            done: list[FileVersion] = []
            failures: dict[FileVersion, Failure] = {}
            seconds: dict[str, float] = defaultdict(float)
            while todo:
                if isinstance(engine, ReadsInPlace):
                    failed = _read_versions(engine, session, todo, recorded, progress, seconds)
                else:
                    failed = _load_versions(settings, engine, session, todo, progress, seconds)
                done += [v for v in todo if v not in failed]
                failures |= failed
                todo = _before(catalog, [v for v in failed if failed[v].is_unreadable], loaded)
            unreadable = {v: f.reason for v, f in failures.items() if f.is_unreadable}
            with session.transaction():
                if isinstance(engine, ReadsInPlace):
                    # in one transaction with the views, which stop reading what is replaced here
                    for version in done:
                        engine.show(session, version)
                        files_table.record_in_place(session, version)
                files_table.publish(engine, session, known, unreadable, as_of, drop_unknown)
        except (WarehouseError, UnreachableError) as exc:
            # errors from dlt name the place already
            where = f"Cannot write to {engine.label}: "
            raise type(exc)(f"{where}{str(exc).removeprefix(where)}") from exc
    return LoadReport(
        done,
        {v.table_name: f.reason for v, f in failures.items()},
        frozenset(v.table_name for v in unreadable),
        dict(seconds),
    )


def not_landed(
    settings: Settings,
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    as_of: date | None = None,
) -> list[str]:
    """The named datasets and months of which the lake has nothing to load, one line each."""
    whole = Catalog(settings.lake_url)
    catalog = whole.as_of(as_of) if as_of else whole
    # of what is passed over, the ledger tells
    held = catalog.current() + catalog.passed_over()
    monthly = {name: dataset.monthly for name, dataset in registry.datasets().items()}
    has = {
        v.dataset
        for v in held
        if v.month is None
        or ((start is None or v.month >= start) and (end is None or v.month <= end))
    }
    span = (f" from {start:%Y-%m}" if start else "") + (f" to {end:%Y-%m}" if end else "")
    if start and start == end:
        span = f" {start:%Y-%m}"
    lacking = [f"{name}{span if monthly[name] else ''}" for name in datasets if name not in has]
    if not datasets and span and not any(monthly.get(name) for name in has):
        lacking = [f"any dataset{span}"]
    by = f" by {as_of}" if as_of else ""
    return [
        f"{name}: the lake had nothing of it to load{by}; medallion land fetches what is published"
        for name in lacking
    ]


def check_lake(settings: Settings, catalog: Catalog) -> None:
    """Raise ``MedallionError`` where the warehouse shows versions that the lake does not know.

    Checked before landing too: if the lake is not mounted, nothing must be landed in its place.
    """
    if error := lake_error(settings, catalog):
        raise MedallionError(error)


def lake_error(settings: Settings, catalog: Catalog) -> str | None:
    """The message where the warehouse shows versions that the lake does not know, or none."""
    engine = engine_for(settings)
    if not engine.exists():
        return None
    with engine.session(read_only=True) as session:
        if not files_are_there(session):
            return None
        return files_table.orphan_error(session, catalog, engine.label)


def tables_in_use(settings: Settings) -> set[str]:
    """The raw tables that the read views show; empty where there is no warehouse yet."""
    return _tables_loaded(settings, "is_current")


def all_tables_loaded(settings: Settings) -> set[str]:
    """All raw tables, including those of versions that are no longer shown."""
    return _tables_loaded(settings, "true")


def _tables_loaded(settings: Settings, of: str) -> set[str]:
    engine = engine_for(settings)
    if not engine.exists():
        return set()
    with engine.session(read_only=True) as session:
        if ("raw", "files") not in tables(session):
            return set()
        rows = session.query(f"select table_name from raw.files where {of}").rows
        return {name for (name,) in rows} & engine.loaded_tables(session)


def _is_up_to_date(
    engine: Engine,
    catalog: Catalog,
    current: Sequence[FileVersion],
    in_scope: Callable[[FileVersion], bool],
    whole: Catalog | None,
) -> bool:
    """Whether every wanted version is loaded, and ``raw.files`` agrees with the catalog.

    Opens the warehouse read-only, so that a night without news disturbs nobody. Raises
    ``MedallionError`` where a shown version is not in the ``whole`` catalog.
    """
    if not engine.exists():
        return False
    with engine.session(read_only=True) as session:
        if ("raw", "files") not in tables(session):
            return False
        if whole:
            files_table.refuse_orphans(session, whole, engine.label)
        if not has_all_columns(session):
            return False
        files = files_table.recorded(session)
        loaded = engine.loaded_tables(session)
        in_view = files_table.shown(catalog, loaded)
        if files_table.orphaned(session, catalog) or files_table.stale_views(
            session, engine, catalog, in_view.values()
        ):
            return False
        read_as = files_table.readings(engine, catalog, in_view.values())
    in_use = {v.table_name for v in current}
    loaded = _loaded(files)
    wanted = {v.table_name for v in current if in_scope(v) or v.table_name in loaded}
    return wanted <= loaded and all(
        files_table.agrees(
            files.get(v.table_name),
            catalog,
            v,
            v.table_name in in_use,
            read_as.get(v.table_name),
        )
        for v in catalog.versions()
        if v.table_name in files or v.status != "landed"
    )


def _loaded(said: Mapping[str, files_table.Recorded]) -> set[str]:
    return {name for name, row in said.items() if row.is_loaded}


def _before(
    catalog: Catalog, unreadable: Sequence[FileVersion], loaded: set[str]
) -> list[FileVersion]:
    """For each unreadable version, the one that was current before it, unless that is loaded."""
    trusted = catalog.trusted() if unreadable else {}
    found = []
    for failed in unreadable:
        names = [v.table_name for v in trusted[failed.key]]
        older = trusted[failed.key][names.index(failed.table_name) + 1 :]
        if older and older[0].table_name not in loaded:
            found.append(older[0])
    return found


def _load_versions(
    settings: Settings,
    engine: Engine,
    session: Session,
    todo: Sequence[FileVersion],
    progress: Progress,
    seconds: dict[str, float],
) -> dict[FileVersion, Failure]:
    """Load each version as one job of dlt; return the failures by version.

    What each took is added to ``seconds``, by the name of its file.
    """
    # The slow imports wait until there is something to load.
    from ingestion.dlt_runner import run_references

    progress.stage("load", len(todo), sum(v.bytes for v in todo))
    store = open_lake(settings)
    failed: dict[FileVersion, Failure] = {}
    for i in range(0, len(todo), BATCH_VERSIONS):
        batch = todo[i : i + BATCH_VERSIONS]
        done = run_references(
            "warehouse",
            engine.destination(session),
            [_reference(store, v) for v in batch],
            settings.dlt_dir,
            engine.label,
            workers=engine.loads_at_once(session),
        )
        for version in batch:
            failure = done.failed.get(version.table_name)
            seconds[version.name] += done.seconds.get(version.table_name, 0)
            if failure:
                failed[version] = failure
            progress.advance(version.bytes)
            note = failure.reason if failure else "loaded"
            progress.file_done(version.name, note, version.row_count)
    return failed


def _read_versions(
    engine: ReadsInPlace,
    session: Session,
    todo: Sequence[FileVersion],
    recorded: set[str],
    progress: Progress,
    seconds: dict[str, float],
) -> dict[FileVersion, Failure]:
    """Read each version in place, once; return the failures by version.

    If a version is ``recorded``, it was loaded or read before: then only its rows are counted. What
    each took is added to ``seconds``, by the name of its file.
    """
    progress.stage("read", len(todo), sum(v.bytes for v in todo))

    def error(version: FileVersion) -> tuple[Failure | None, float]:
        begun = time.monotonic()
        return found(version), time.monotonic() - begun

    def found(version: FileVersion) -> Failure | None:
        try:
            rows = engine.count_rows(session, version, version.table_name not in recorded)
        except WarehouseError as exc:
            reason = str(exc).partition(" LINE 1: ")[0]  # cut off our own statement
            is_unreadable = isinstance(exc, UnreadableError) or not may_pass(exc.__cause__)
            return Failure(reason, is_unreadable)
        if rows == version.row_count:
            return None
        return Failure(f"{rows} rows, not {version.row_count}", is_unreadable=True)

    failed: dict[FileVersion, Failure] = {}
    with ThreadPoolExecutor(FOOTERS_AT_ONCE, thread_name_prefix="count") as pool:
        for version, (failure, took) in zip(todo, pool.map(error, todo), strict=True):
            seconds[version.name] += took
            if failure:
                failed[version] = failure
            progress.advance(version.bytes)
            note = failure.reason if failure else "read in place"
            progress.file_done(version.name, note, version.row_count)
    return failed


def _reference(store: Store, version: FileVersion) -> Any:
    """One job: the version's file, its columns as dlt hints, and the load record to write."""
    from ingestion.dlt_runner import Reference

    return Reference(
        schema=version.dataset,
        table_name=version.table_name,
        url=store.address(version.lake_path),
        columns=_column_hints(version),
        hint=files_table.files_row(version),
    )


def _column_hints(version: FileVersion) -> dict[str, Any]:
    """The columns as dlt hints; the job itself uses the file's own types."""
    import pyarrow as pa
    from dlt.common.libs.pyarrow import (
        UnsupportedArrowTypeException,
        py_arrow_to_table_schema_columns,
    )

    hints: dict[str, Any] = {}
    if version.lake_path.endswith(".parquet"):
        for name, file_type in version.columns:
            # a type that dlt or the catalog cannot name may still be one that the engine has
            with suppress(UnsupportedArrowTypeException, ValueError):
                column = pa.field(name, pa.type_for_alias(file_type))
                hints |= py_arrow_to_table_schema_columns(pa.schema([column]))
    for hint in hints.values():
        # finer than some engines can store; the job reports that
        if hint.get("data_type") == "timestamp" and hint.get("precision", 0) > MICROSECONDS:
            del hint["precision"]
    # a column of null type has no type for dlt
    return {
        name: {"name": name, "data_type": "text"} | hints.get(name, {})
        for name, _ in version.columns
    }
