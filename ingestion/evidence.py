"""What the warehouse says of itself: ``raw.files``, a row a version, and the read views.

The row of a loaded version is written with its table, in the transaction of the load; which version
of a month is current, and what the views show, is said here, in one transaction of its own.
"""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from ingestion.catalog import Catalog, Landing
from ingestion.datasets import DATASETS
from ingestion.engines.base import Engine, Session
from ingestion.errors import WarehouseError
from ingestion.read_views import Dialect


def publish(engine: Engine, session: Session, known: Callable[[], Catalog]) -> None:
    """Bring ``raw.files`` and the read views to what is loaded now; part of one transaction.

    Only rows and views that say something else now are written. What is known is asked when it is
    this process's turn: others have landed, loaded and published while it loaded.
    """
    session.wait_for_turn("publish")
    catalog = known()
    versions = catalog.versions()
    shown = _shown(versions, catalog.current(), engine.held(session))
    before = said(session)
    stale = stale_views(session, engine.dialect)
    for table_name, dataset in unknown(session, catalog):
        stale.add(dataset)
        session.execute(
            "update raw.files set is_current = false where table_name = ?", [table_name]
        )
    for version in versions:
        is_current = version.table_name in shown
        if before.get(version.table_name) == (version.source_url, version.etag, is_current):
            continue
        if version.status == "quarantined":
            _replace_row(session, files_row(version))
        elif version.table_name in before:
            stale.add(version.dataset)
            session.execute(
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
    for name in sorted(stale):
        branches = engine.branches([v for v in shown.values() if v.dataset == name])
        try:
            engine.replace_view(session, DATASETS[name], branches)
        except WarehouseError as exc:
            view = f"tlc.{DATASETS[name].view}"
            raise WarehouseError(f"{view} could not be replaced: {exc}") from exc


def said(session: Session) -> dict[str, tuple[str, str | None, bool]]:
    """What ``raw.files`` says of each version that may change: address, etag, whether current."""
    rows = session.query("select table_name, source_url, etag, is_current from raw.files").rows
    return {name: (url, etag, is_current) for name, url, etag, is_current in rows}


def unknown(session: Session, catalog: Catalog) -> list[tuple[str, str]]:
    """Table and dataset of what is current here and in no catalog, as of a lake from a backup."""
    known = {v.table_name for v in catalog.versions()}
    rows = session.query("select table_name, dataset from raw.files where is_current").rows
    return [(name, dataset) for name, dataset in rows if name not in known]


def stale_views(session: Session, dialect: Dialect) -> set[str]:
    """Datasets whose read view is not there, or not with the columns of the read schema."""
    rows = session.query(
        "select table_name, column_name, data_type from information_schema.columns"
        " where table_schema = 'tlc'"
    ).rows
    columns = {(view, name, data_type.lower()) for view, name, data_type in rows}
    return {
        dataset.name
        for dataset in DATASETS.values()
        if not {(dataset.view, n, dialect.types[t]) for n, t in dataset.read_schema.items()}
        <= columns
    }


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
    }


def record_in_place(session: Session, version: Landing) -> None:
    """Write the row of a version that is read where it lies; part of one transaction."""
    _replace_row(session, files_row(version) | {"loaded_at": datetime.now(UTC)})


def _replace_row(session: Session, row: dict[str, Any]) -> None:
    names, marks = ", ".join(row), ", ".join("?" for _ in row)
    values = [json.dumps(v) if isinstance(v, list) else v for v in row.values()]
    session.execute("delete from raw.files where table_name = ?", [row["table_name"]])
    session.execute(f"insert into raw.files ({names}) values ({marks})", values)


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
