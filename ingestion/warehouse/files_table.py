"""What the warehouse says of itself: ``raw.files``, a row a version, and the read views.

The row of a loaded version is written with its table, in the transaction of the load; which version
of a month is current, and what the views show, is said here, in one transaction of its own.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from ingestion.errors import MedallionError, WarehouseError
from ingestion.lake.catalog import Catalog, Landing
from ingestion.lake.file_version import names_of
from ingestion.schema_on_read import Branch, read_view_sql, view_name
from ingestion.sources import registry
from ingestion.warehouse.base import Engine, Session, write_load_record


class Recorded(NamedTuple):
    """What ``raw.files`` says of a version that may change, and whether it is loaded."""

    source_url: str
    etag: str | None
    is_current: bool
    is_newest: bool | None  # none where an earlier release wrote it
    is_loaded: bool


def publish(
    engine: Engine,
    session: Session,
    known: Callable[[], Catalog],
    unreadable: Mapping[Landing, str],
    as_of: date | None = None,
    drop_unknown: bool = False,
) -> None:
    """Bring ``raw.files`` and the read views to what is loaded now; part of one transaction.

    Only rows and views that say something else now are written. What is known is asked when it is
    this process's turn: others have landed, loaded and published while it loaded. Versions that
    turned out to be ``unreadable`` are in quarantine here, with the reason, until they are loaded.
    Raises ``MedallionError`` as ``refuse_orphans()`` does, unless told to ``drop_unknown``.
    """
    session.wait_for_turn("publish")
    catalog = known()
    if not drop_unknown:
        refuse_orphans(session, catalog, engine.label)
    catalog = catalog.as_of(as_of) if as_of else catalog
    versions = catalog.versions()
    loaded = engine.loaded_tables(session)
    for version, reason in unreadable.items():
        if version.table_name not in loaded:  # another may have loaded it meanwhile
            write_load_record(
                session.execute, files_row(version) | {"status": "quarantined", "error": reason}
            )
    in_view = shown(versions, catalog.current(), loaded)
    before = recorded(session)
    for gone in orphaned(session, catalog):
        session.execute(
            "update raw.files set is_current = false, is_newest = false where table_name = ?",
            [gone.table_name],
        )
    for version in versions:
        is_current = version.table_name in in_view
        row = before.get(version.table_name)
        if agrees(row, catalog, version, is_current):
            continue
        is_newest = _is_newest(catalog, version)
        if version.status == "quarantined":
            write_load_record(session.execute, files_row(version) | {"is_newest": is_newest})
        elif row:
            session.execute(
                "update raw.files set source_url = ?, etag = ?, last_modified = ?,"
                " is_current = ?, is_newest = ? where table_name = ?",
                [
                    version.source_url,
                    version.etag,
                    version.last_modified,
                    is_current,
                    is_newest,
                    version.table_name,
                ],
            )
    stale = stale_views(session, engine, in_view.values())
    for name, (branches, fingerprint) in stale.items():
        dataset = registry.datasets()[name]
        view = view_name(dataset, engine.dialect)
        try:
            engine.replace_view(session, dataset, branches)
            session.execute(f"comment on view {view} is '{fingerprint}'")
        except WarehouseError as exc:
            raise type(exc)(
                f"{dataset.source}.{dataset.view} could not be replaced: {exc}"
            ) from exc


def recorded(session: Session) -> dict[str, Recorded]:
    """What ``raw.files`` says of each version, by table name."""
    rows = session.query(
        "select table_name, source_url, etag, is_current, is_newest, status = 'loaded'"
        " from raw.files"
    ).rows
    return {name: Recorded(*row) for name, *row in rows}


def agrees(row: Recorded | None, catalog: Catalog, version: Landing, is_current: bool) -> bool:
    """Whether ``raw.files`` says of a version what the catalog does, and whether it is shown."""
    known = (version.source_url, version.etag, is_current, _is_newest(catalog, version))
    return row is not None and row[:4] == known


def _is_newest(catalog: Catalog, version: Landing) -> bool:
    """Whether this content is what was published last of its file, trusted or not."""
    newest = catalog.newest(*version.key)
    return newest is not None and newest.file_id == version.file_id


class Orphan(NamedTuple):
    """A version that is current here and in no record of the lake's catalog."""

    table_name: str
    dataset: str
    month: date | None


def orphaned(session: Session, catalog: Catalog) -> list[Orphan]:
    """What is current here and not known there, as in another lake or one from a backup."""
    known = {v.table_name for v in catalog.versions()}
    rows = session.query("select table_name, dataset, month from raw.files where is_current").rows
    return [Orphan(*row) for row in rows if row[0] not in known]


def orphan_error(session: Session, catalog: Catalog, label: str) -> str | None:
    """What to say where the warehouse shows what the lake does not know of."""
    found = orphaned(session, catalog)
    if not found:
        return None
    named = names_of((gone.dataset, gone.month) for gone in found)
    return (
        f"{label[0].upper()}{label[1:]} shows {named}, which the lake {catalog.lake_url} knows"
        " nothing of: it is another lake, it is not mounted, or it has lost records. Nothing was"
        " taken away. Set MEDALLION_LAKE_URL to the lake that holds them; where records are lost,"
        " restore them, or land those files again with medallion land. To do without these files:"
        " medallion load --drop-unknown"
    )


def refuse_orphans(session: Session, catalog: Catalog, label: str) -> None:
    """Raise ``MedallionError`` where the warehouse shows what the lake does not know of.

    The facts follow what is shown: a lake that is not there would empty them.
    """
    if fault := orphan_error(session, catalog, label):
        raise MedallionError(fault)


Stale = dict[str, tuple[list[Branch], str]]


def stale_views(session: Session, engine: Engine, shown: Iterable[Landing]) -> Stale:
    """The datasets whose read view is not what this release makes of the versions to be shown.

    Each with the branches of that view, and its fingerprint: a comment on the view says what it was
    made from, and its columns whether somebody else has made it anew.
    """
    rows = session.query(
        "select table_schema, table_name, column_name, data_type from information_schema.columns"
        f" where table_schema in ({', '.join('?' for _ in registry.schemas())})",
        registry.schemas(),
    ).rows
    columns = {(schema, view, name, kind.lower()) for schema, view, name, kind in rows}
    comments = engine.view_comments(session)
    versions = list(shown)
    stale: Stale = {}
    for dataset in registry.datasets().values():
        branches = engine.branches([v for v in versions if v.dataset == dataset.name])
        sql = read_view_sql(dataset, branches, engine.dialect)
        fingerprint = f"medallion {hashlib.sha256(sql.encode()).hexdigest()[:32]}"
        types = engine.dialect.types
        view = (dataset.source, dataset.view)
        wanted = {(*view, name, types[t]) for name, t in dataset.read_schema.items()}
        if comments.get(view) != fingerprint or not wanted <= columns:
            stale[dataset.name] = branches, fingerprint
    return stale


def files_row(version: Landing) -> dict[str, Any]:
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
        "is_newest": False,
    }


def record_in_place(session: Session, version: Landing) -> None:
    """Write the row of a version that is read where it lies; part of one transaction."""
    write_load_record(session.execute, files_row(version) | {"loaded_at": datetime.now(UTC)})


def shown(
    versions: Sequence[Landing], current: Sequence[Landing], loaded: set[str]
) -> dict[str, Landing]:
    """The version of each file that readers see.

    It is the current one, or while that is not loaded, the newest before it that is.
    """
    wanted = {v.key: v for v in current}
    found: dict[tuple[str, date | None], Landing] = {}
    for version in versions:  # oldest first
        target = wanted.get(version.key)
        if target and version.table_name in loaded and version.landed_at <= target.landed_at:
            found[version.key] = version
    found |= {key: v for key, v in wanted.items() if v.table_name in loaded}
    return {v.table_name: v for v in found.values()}
