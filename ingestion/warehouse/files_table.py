"""``raw.files``, with one row for each file version, and the read views.

The row of a loaded version is written in the same transaction as its table. The current version of
each month, and what the views show, are written here, in one transaction of their own.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from ingestion.errors import MedallionError, WarehouseError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.file_version import PASSED_OVER, names_of
from ingestion.schema_on_read import Branch, read_view_sql, reading_of
from ingestion.sources import registry
from ingestion.warehouse.base import Engine, Session, write_load_record


class Recorded(NamedTuple):
    """The values of ``raw.files`` about a version that may change, and whether it is loaded."""

    source_url: str
    etag: str | None
    is_current: bool
    is_newest: bool | None  # none if an earlier release wrote the row
    status: str
    error: str | None
    read_as: str | None  # none if an earlier release wrote the row
    read_as_at_upgrade: str | None
    is_loaded: bool


def publish(
    engine: Engine,
    session: Session,
    known: Callable[[], Catalog],
    unreadable: Mapping[FileVersion, str],
    as_of: date | None = None,
    drop_unknown: bool = False,
) -> None:
    """Make ``raw.files`` and the read views agree with what is loaded; part of one transaction.

    Only rows and views that change are written. The state is read once this process holds the
    lock, as others may have landed, loaded and published while it loaded. Versions that turned out
    to be ``unreadable`` are in quarantine here, with the reason, until they are loaded. Raises
    ``MedallionError`` as ``refuse_orphans()`` does, unless ``drop_unknown`` is given.
    """
    session.wait_for_turn("publish")
    catalog = known()
    if not drop_unknown:
        refuse_orphans(session, catalog, engine.label)
    catalog = catalog.as_of(as_of) if as_of else catalog
    versions = catalog.versions()
    loaded = engine.loaded_tables(session)
    for version, reason in unreadable.items():
        if version.table_name not in loaded:  # another process may have loaded it meanwhile
            write_load_record(
                session.execute, files_row(version) | {"status": "quarantined", "error": reason}
            )
    in_view = shown(catalog, loaded)
    before, read_as = recorded(session), readings(engine, catalog, in_view.values())
    for gone in orphaned(session, catalog):
        session.execute(
            "update raw.files set is_current = false, is_newest = false where table_name = ?",
            [gone.table_name],
        )
    for version in versions:
        is_current = version.table_name in in_view
        row = before.get(version.table_name)
        if agrees(row, catalog, version, is_current, read_as.get(version.table_name)):
            continue
        is_newest = _is_newest(catalog, version)
        if version.status == "quarantined" or (version.status in PASSED_OVER and not row):
            write_load_record(session.execute, files_row(version) | {"is_newest": is_newest})
        elif row and _standing(version, row)[0] == "loaded" and not row.is_loaded:
            # it was taken back: the next load that asks for it loads it
            session.execute("delete from raw.files where table_name = ?", [version.table_name])
        elif row:
            status, error = _standing(version, row)
            session.execute(
                "update raw.files set source_url = ?, etag = ?, last_modified = ?, is_current = ?,"
                " is_newest = ?, status = ?, error = ?, read_as = ?, read_as_at_upgrade = ?"
                " where table_name = ?",
                [
                    version.source_url,
                    version.etag,
                    version.last_modified,
                    is_current,
                    is_newest,
                    status,
                    error,
                    *_read_as(row, read_as.get(version.table_name)),
                    version.table_name,
                ],
            )
    stale = stale_views(session, engine, catalog, in_view.values())
    for name, (branches, fingerprint) in stale.items():
        dataset = catalog.dataset(name)
        try:
            engine.replace_view(session, dataset, branches, fingerprint)
        except WarehouseError as exc:
            raise type(exc)(
                f"{dataset.source}.{dataset.view} could not be replaced: {exc}"
            ) from exc


def recorded(session: Session) -> dict[str, Recorded]:
    """The record of each version in ``raw.files``, by table name."""
    rows = session.query(
        "select table_name, source_url, etag, is_current, is_newest, status, error, read_as,"
        " read_as_at_upgrade, loaded_at is not null from raw.files"
    ).rows
    return {name: Recorded(*row) for name, *row in rows}


def readings(engine: Engine, catalog: Catalog, versions: Iterable[FileVersion]) -> dict[str, str]:
    """How each of these versions is read, by table name: the md5 of ``reading_of()``.

    Versions of a dataset whose source is not there are left out: no view reads them.
    """
    known, wanted = registry.datasets(), list(versions)
    datasets = {name: catalog.dataset(name) for name in {v.dataset for v in wanted} & set(known)}
    return {
        v.table_name: reading_of(datasets[v.dataset], v.columns, engine.dialect)
        for v in wanted
        if v.dataset in datasets
    }


def agrees(
    row: Recorded | None,
    catalog: Catalog,
    version: FileVersion,
    is_current: bool,
    read_as: str | None,
) -> bool:
    """Whether a version's row in ``raw.files`` agrees with the catalog and with ``is_current``.

    ``read_as`` is how it is read now; none for a version that no view reads.
    """
    if row is None:
        return False
    is_newest, standing = _is_newest(catalog, version), _standing(version, row)
    return row[:6] == (version.source_url, version.etag, is_current, is_newest, *standing) and (
        read_as is None or read_as == row.read_as
    )


def _read_as(row: Recorded, read_as: str | None) -> tuple[str | None, str | None]:
    """The ``read_as`` and ``read_as_at_upgrade`` that the row of a version should have.

    An earlier release built months from the rows that it recorded, and its builds do not name how
    those were read. They are taken as read in the way that is found first, as an upgrade must not
    make every month stale. Later rows, and later readings of these rows, are named
    (``version_inputs`` in dbt). If such a row is written anew, its month is built once more.
    """
    if read_as is None:
        return row.read_as, row.read_as_at_upgrade
    is_upgrade = row.read_as is None and row.is_current
    return read_as, read_as if is_upgrade else row.read_as_at_upgrade


def _standing(version: FileVersion, row: Recorded) -> tuple[str, str | None]:
    """The status and the error that the row of a version should have.

    Its table stays while it is passed over, so that it can be taken back.
    """
    if version.status in PASSED_OVER:
        return version.status, version.error
    if row.status in PASSED_OVER:
        return "loaded", None
    return row.status, row.error


def _is_newest(catalog: Catalog, version: FileVersion) -> bool:
    """Whether this version is the latest of its file, trusted or not."""
    newest = catalog.newest(*version.key)
    return newest is not None and newest.file_id == version.file_id


class Orphan(NamedTuple):
    """A version that is current in the warehouse and has no record in the lake's catalog."""

    table_name: str
    dataset: str
    month: date | None


def orphaned(session: Session, catalog: Catalog) -> list[Orphan]:
    """The orphans: they appear when the lake is another one, or comes from an old backup."""
    known = {v.table_name for v in catalog.versions()}
    rows = session.query("select table_name, dataset, month from raw.files where is_current").rows
    return [Orphan(*row) for row in rows if row[0] not in known]


def orphan_error(session: Session, catalog: Catalog, label: str) -> str | None:
    """The message where the warehouse shows orphans; none where it shows none."""
    found = orphaned(session, catalog)
    if not found:
        return None
    named = names_of((gone.dataset, gone.month, None) for gone in found)
    return (
        f"{label[0].upper()}{label[1:]} shows {named}, which the lake {catalog.lake_url} knows"
        " nothing of: it is another lake, it is not mounted, or it has lost records. Nothing was"
        " taken away. Set MEDALLION_LAKE_URL to the lake that holds them; where records are lost,"
        " restore them, or land those files again with medallion land. To do without these files:"
        " medallion load --drop-unknown"
    )


def refuse_orphans(session: Session, catalog: Catalog, label: str) -> None:
    """Raise ``MedallionError`` where the warehouse shows orphans.

    The facts follow the read views: a lake that is not mounted would empty them.
    """
    if error := orphan_error(session, catalog, label):
        raise MedallionError(error)


Stale = dict[str, tuple[list[Branch], str]]


def stale_views(
    session: Session, engine: Engine, catalog: Catalog, shown: Iterable[FileVersion]
) -> Stale:
    """The datasets whose read view differs from the one that these versions should give.

    Each comes with the branches of the new view and their fingerprint. The comment on the present
    view holds the fingerprint that it was made from; its columns show whether somebody replaced it.
    """
    columns = set(session.columns(registry.schemas()))
    comments = engine.view_comments(session)
    versions = list(shown)
    stale: Stale = {}
    for dataset in map(catalog.dataset, registry.datasets()):
        if not dataset.has_rows:
            continue
        branches = engine.branches([v for v in versions if v.dataset == dataset.name])
        sql = read_view_sql(dataset, branches, engine.dialect)
        fingerprint = f"medallion {hashlib.sha256(sql.encode()).hexdigest()[:32]}"
        view = (dataset.source, dataset.view)
        wanted = {
            (*view, name, engine.dialect.sql_type(t)) for name, t in dataset.read_schema.items()
        }
        if comments.get(view) != fingerprint or not wanted <= columns:
            stale[dataset.name] = branches, fingerprint
    return stale


def files_row(version: FileVersion) -> dict[str, Any]:
    """The row of ``raw.files`` for one version, without its load time."""
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
        "status": "loaded" if version.status == "landed" else version.status,
        "error": version.error,
        "is_current": False,
        "is_newest": False,
        "read_as": "",  # until it is shown; null is of an earlier release
    }


def record_in_place(session: Session, version: FileVersion) -> None:
    """Write the row of a version that is read in place; part of one transaction."""
    write_load_record(session.execute, files_row(version) | {"loaded_at": datetime.now(UTC)})


def shown(catalog: Catalog, loaded: set[str]) -> dict[str, FileVersion]:
    """The version of each file that readers see, by table name.

    It is the current version; while that is not loaded, the loaded one that was current before it.
    """
    found = (
        next((v for v in versions if v.table_name in loaded), None)
        for versions in catalog.trusted().values()
    )
    return {v.table_name: v for v in found if v}
