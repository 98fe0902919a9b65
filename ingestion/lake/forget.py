"""Forget versions for good: their bytes leave the lake, and a record stays that they were there.

The record is written first. From then on no version of these bytes is used, on any past day, and
none is stored again. So what is killed half-way is completed by doing it again.
"""

from collections.abc import Sequence

from ingestion.errors import UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.decision import decide
from ingestion.lake.file_version import FileVersion, Key
from ingestion.lake.reading.convert import CONVERTED, parquet_of
from ingestion.lake.storage.store import open_lake
from ingestion.lake.withdraw import versions_named
from ingestion.locks import turns_with_files
from ingestion.progress import Progress
from ingestion.settings import Settings


def to_forget(settings: Settings, key: Key, short_id: str | None) -> list[FileVersion]:
    """The named version of a published file, or all; and what was read out of them.

    Versions that are forgotten already are among them: their bytes may still be there.
    """
    catalog = Catalog(open_lake(settings))
    return catalog.with_derived(versions_named(catalog, key, short_id))


def objects_of(settings: Settings, versions: Sequence[FileVersion]) -> dict[str, int]:
    """The objects in the lake that hold these versions, with their bytes."""
    store = open_lake(settings)
    named = _paths_of(Catalog(store), versions)
    folders = ("raw", "quarantine", CONVERTED)
    there = {path: n for folder in folders for path, n in store.sizes(folder).items()}
    return {path: there[path] for path in sorted(named & there.keys())}


def forget(
    settings: Settings, versions: Sequence[FileVersion], reason: str, progress: Progress
) -> None:
    """Record that these versions are forgotten, and delete their objects.

    Raises ``UsageError`` if there is no reason to record.
    """
    with turns_with_files(settings, {v.name for v in versions}, progress):
        store = open_lake(settings)
        catalog = Catalog(store)
        left = [v for v in versions if not _is_forgotten(catalog, v)]
        if left and not reason:
            raise UsageError("Say why it must go, for the record that stays: --reason TEXT")
        for version in left:
            catalog.decide(decide(version, "forgotten", reason))
        for path in _paths_of(catalog, versions):
            store.delete(path)


def _paths_of(catalog: Catalog, versions: Sequence[FileVersion]) -> set[str]:
    """The objects that hold these versions, and those that they were converted to."""
    converted = {parquet_of(v.table_name, v.lake_path) for v in versions}
    return {*catalog.paths_of(versions), *converted}


def _is_forgotten(catalog: Catalog, version: FileVersion) -> bool:
    decided = catalog.decided(version)
    return decided is not None and decided.decision == "forgotten"
