"""Drop raw tables of versions that were superseded long ago. The lake keeps every version."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.settings import Settings
from ingestion.warehouse import engine_for, files_table
from ingestion.warehouse.base import drop_raw, files_are_there

Version = tuple[str, date | None, int]  # dataset, month and file_key


@dataclass(frozen=True)
class Superseded:
    """A loaded version that no reader sees, as another version of the same file is current."""

    table_name: str
    landed_at: datetime  # first
    superseded_at: datetime  # when another version took its place in the lake
    rows: int


def superseded(
    settings: Settings, older_than: timedelta, in_use: Collection[Version] = ()
) -> list[Superseded]:
    """Loaded versions that have not been current for longer than that, oldest first.

    The time counts from when another version took a version's place, or it was withdrawn. For one
    that never was current, it counts from its last landing. Leaves out versions that are still
    ``in_use``, and versions that the lake's catalog does not know: the warehouse may have the only
    copy.
    """
    catalog = Catalog(settings.lake_url)
    in_lake = {version.table_name: version for version in catalog.versions()}
    engine = engine_for(settings)
    with engine.session(read_only=True) as session:
        if not files_are_there(session):
            return []
        found = session.query(
            "select table_name, row_count, dataset, month, file_key from raw.files"
            " where loaded_at is not null and not is_current"
        )
    versions = [
        Superseded(name, in_lake[name].landed_at, _superseded_at(catalog, in_lake[name]), rows)
        for name, rows, *version in found.rows
        if name in in_lake and tuple(version) not in in_use
    ]
    before = datetime.now(UTC) - older_than
    long_ago = [version for version in versions if version.superseded_at < before]
    return sorted(long_ago, key=lambda version: version.superseded_at)


def _superseded_at(catalog: Catalog, version: FileVersion) -> datetime:
    last = max(
        x.landed_at
        for x in catalog.landings
        if x.key == version.key and x.file_id == version.file_id
    )
    return catalog.superseded_at(version.key).get(version.file_id, last)


def drop_for_good(settings: Settings, versions: Sequence[FileVersion]) -> None:
    """Drop the raw tables of versions that the lake's catalog counts as forgotten.

    The read views leave them first. Their rows of ``raw.files`` stay, without a table.
    """
    engine = engine_for(settings)
    if not engine.exists():
        return
    with engine.session() as session:
        if not files_are_there(session):
            return
        engine.prepare(session)
        with session.transaction():
            files_table.publish(engine, session, lambda: Catalog(settings.lake_url), {})
        for version in versions:
            with session.transaction():
                drop_raw(session, engine.dialect, version.table_name)
                session.execute(
                    "update raw.files set loaded_at = null"
                    " where table_name = ? and status = 'forgotten'",
                    [version.table_name],
                )


def prune(settings: Settings, versions: list[Superseded]) -> None:
    """Drop the raw tables of these versions, each with its load record in one transaction.

    A version that has become current meanwhile is kept. A dropped version can be loaded again from
    the lake.
    """
    engine = engine_for(settings)
    with engine.session() as session:
        for version in versions:
            with session.transaction():
                still = session.query(
                    "select 1 from raw.files where table_name = ? and not is_current",
                    [version.table_name],
                )
                if still.rows:
                    drop_raw(session, engine.dialect, version.table_name)
                    session.execute(
                        "delete from raw.files where table_name = ?", [version.table_name]
                    )
