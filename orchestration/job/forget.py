"""Remove file versions for good: from the lake, the warehouse and the publications."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingestion.errors import MedallionError
from ingestion.lake import forget as in_lake
from ingestion.lake.file_version import FileVersion, Key
from ingestion.progress import Progress, Quiet
from ingestion.publications import retention, storage
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import files_are_there, tables
from ingestion.warehouse.environments import environments_of
from ingestion.warehouse.retention import drop_for_good
from orchestration.job.under_way import only_run


@dataclass(frozen=True)
class Rows:
    """The rows of a version in one table of the warehouse."""

    table: str
    rows: int | None


@dataclass(frozen=True)
class Kept:
    """Where a version is: what ``forget`` removes, and what has to be removed in another way.

    ``marts`` are the tables whose months the next build replaces. ``published`` are publications
    that hold the version. ``as_of`` are commands that remove the warehouses of earlier days and
    the environments, because each of these may have a copy.
    """

    versions: list[FileVersion]
    objects: dict[str, int]  # in the lake, with their bytes
    raw_tables: list[Rows]
    marts: list[Rows]
    published: list[str]
    as_of: list[str]


def kept(settings: Settings, key: Key, short_id: str | None = None) -> Kept:
    """Find where the named version of a published file is, or all its versions; change nothing.

    Raises ``UsageError`` if the lake knows no such version.
    """
    versions = in_lake.to_forget(settings, key, short_id)
    raw_tables, marts = _in_warehouse(settings, versions)
    return Kept(
        versions,
        in_lake.objects_of(settings, versions),
        raw_tables,
        marts,
        published_copies(settings, versions),
        engine_for(settings).as_of_copies() + _environment_copies(settings),
    )


def forget(
    settings: Settings,
    key: Key,
    short_id: str | None,
    reason: str,
    progress: Progress | None = None,
) -> Kept:
    """Forget one version of a published file, or all; return where there still are copies.

    The next build removes the rows from the marts. If this is killed half-way, call it again.
    Raises ``WarehouseBusyError`` while a run is under way, because that run might load it again.
    """
    progress = progress or Quiet()
    with only_run(settings):
        versions = in_lake.to_forget(settings, key, short_id)
        in_lake.forget(settings, versions, reason, progress)
        drop_for_good(settings, versions)
        delete_published(settings, versions, progress)
    return kept(settings, key, short_id)


def _environment_copies(settings: Settings) -> list[str]:
    if settings.environment:
        return []
    drop = settings.run_command.replace("run", "env drop {}", 1)
    return [drop.format(name) for name in environments_of(settings).sizes()]


def _in_warehouse(
    settings: Settings, versions: Sequence[FileVersion]
) -> tuple[list[Rows], list[Rows]]:
    """The raw tables of these versions, and the rows that were built from them by table."""
    engine = engine_for(settings)
    if not engine.exists():
        return [], []
    with engine.session(read_only=True) as session:
        if not files_are_there(session):
            return [], []
        there = {name for schema, name in tables(session) if schema == "raw"}
        raw = [Rows(f"raw.{v.table_name}", v.row_count) for v in versions if v.table_name in there]
        if ("intermediate", "month_builds") not in tables(session):
            return raw, []
        built = session.query(
            "select table_name, service, source_month, file_key, row_count"
            " from intermediate.month_builds where source_month is not null order by table_name"
        ).rows
    wanted = {(v.dataset, v.month, v.file_key) for v in versions}
    return raw, [Rows(table, rows) for table, *of, rows in built if tuple(of) in wanted]


def published_copies(settings: Settings, versions: Sequence[FileVersion]) -> list[str]:
    """The ids of publications whose facts hold one of these versions, the oldest first."""
    if settings.publications_url is None:
        return []
    return [
        publication.id
        for publication in storage.publications(storage.open_publications(settings))
        if any(
            v.month
            and publication.origin.versions.get(v.dataset, {}).get(f"{v.month:%Y-%m}") == v.file_id
            for v in versions
        )
    ]


def delete_published(
    settings: Settings, versions: Sequence[FileVersion], progress: Progress
) -> None:
    """Delete the publications that hold these versions, except the one that readers see.

    The next run publishes another one; forget again after that run.
    """
    if settings.publications_url is None:
        return
    store = storage.open_publications(settings)
    with storage.turn(settings, progress):
        current = storage.current(store)
        gone = set(published_copies(settings, versions)) - ({current.id} if current else set())
        if gone and not retention.delete(store, gone):
            raise MedallionError(
                f"Past publications at {store.url} hold it too, and were not deleted: a manifest"
                " there cannot be read. medallion verify names the manifest. Repair or delete it,"
                " and forget again."
            )
