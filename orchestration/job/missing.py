"""Published files whose newest version is not in the facts, and where each of them stopped."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from ingestion.lake.catalog import Catalog, FileVersion, name_of
from ingestion.lake.file_version import PASSED_OVER
from orchestration.job.ledger import File, Files, Identity, SingleFile

Stage = Literal["land", "load", "transform", "decided"]


@dataclass(frozen=True)
class Missing:
    """A published file whose newest version is not in the facts, and the stage where it stopped.

    ``older_in_use`` says whether an older version is in use instead. The stage ``decided`` is no
    error: an operator has withdrawn or forgotten the version. A newer version ends this.
    """

    dataset: str
    month: date | None
    file_id: str
    stage: Stage
    reason: str
    older_in_use: bool
    table_name: str  # the name of its raw table, also if it is not loaded
    still_in_use: bool = False  # withdrawn or forgotten, and still in the warehouse
    item: str | None = None  # the name of one of several files of a dataset

    @property
    def name(self) -> str:
        """What people call the file: the dataset, and the month as 2024-01, or the item."""
        return name_of(self.dataset, self.month, self.item)

    @property
    def identity(self) -> Identity:
        """Dataset, month and sha256 of the version."""
        return self.dataset, self.month, self.file_id


def find_missing(
    catalog: Catalog,
    ledger: Collection[File],
    singles: Collection[SingleFile],
    files: Files | None,
    built: Collection[tuple[Any, ...]] | None,
) -> list[Missing]:
    """Files whose newest version is not in the facts; reference files that are not loaded.

    ``built`` has service, month and file_key of what is built. ``files`` and ``built`` are None for
    an account that may only read the marts.
    """
    counted = {(f.dataset, f.month, f.file_id) for f in ledger}
    used = counted | {(s.dataset, None, s.file_id) for s in singles}
    shown = {(f.dataset, f.month) for f in ledger} | {
        (dataset, month) for (dataset, month, _), row in (files or {}).items() if row["is_current"]
    }

    def lacks(version: FileVersion) -> tuple[Stage, str] | None:
        identity: Identity = (version.dataset, version.month, version.file_id)
        row = (files or {}).get(identity)
        if version.status in PASSED_OVER:
            if row and row["is_current"]:
                return "load", version.error or ""
            if identity in used:
                return "transform", version.error or ""
            return "decided", version.error or ""
        if version.status == "quarantined":
            return "land", f"it is in quarantine: {version.error}"
        if row and row["status"] == "quarantined":
            return "load", f"it could not be loaded: {row['error']}"
        if not version.columns:  # a document: it is held by the lake alone
            return None
        if identity in counted or (row and row["is_current"] and version.month is None):
            return None
        if row and row["is_current"]:
            known = (version.dataset, version.month, version.file_key)
            is_built = built is None or known in built
            return None if is_built else ("transform", "it is loaded and not built")
        if files is None and version.month is None:
            return None
        return "load", "it is not loaded" if files is not None else "it is not in the ledger"

    found = []
    items_in_use = {v.key for v in catalog.current() if v.item is not None}
    for version in catalog.versions():
        dataset, month, item = version.key
        newest = catalog.newest(*version.key)
        is_newest = newest is not None and newest.file_id == version.file_id
        if not is_newest and version.status not in PASSED_OVER:
            continue
        lacked = lacks(version)
        still = version.status in PASSED_OVER and lacked is not None and lacked[0] != "decided"
        if lacked and (is_newest or still):
            # the other items of a dataset are no older versions of this one
            is_shown = (dataset, month) in shown if item is None else version.key in items_in_use
            older = is_shown and lacked[0] != "transform"
            name = version.table_name
            found.append(
                Missing(dataset, month, version.file_id, *lacked, older, name, still, item)
            )
    return sorted(found, key=lambda m: (m.dataset, m.month or date.min, m.item or ""))
