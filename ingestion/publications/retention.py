"""Delete publications that nobody needs any more, and files that none of the others names."""

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from ingestion.lake.storage.store import Store
from ingestion.publications import storage
from ingestion.publications.manifest import Publication

# a reader that has opened a publication may read on for so long, and a publication take so long
GRACE = timedelta(days=1)


def delete_old(store: Store, keep_days: int, now: datetime) -> list[str]:
    """Delete what is older than ``keep_days`` and a day of grace; returns the deleted ids.

    The age of a publication counts from when another took its place. The current one always stays,
    and so does every file that a publication that stays names. Files that a killed publication left
    go too.
    """
    storage.clear_unfinished(store, now - GRACE)
    ids = storage.ids(store)
    gone = _outdated(ids, now - timedelta(days=keep_days) - GRACE)
    return gone if gone and delete(store, gone) else []


def delete(store: Store, gone: Collection[str]) -> bool:
    """Delete publications, and every file that none of the others names.

    Deletes nothing, and returns false, while a manifest cannot be read: its files are not known.
    ``verify`` names it.
    """
    errors: list[str] = []
    there = storage.publications(store, errors)
    if errors:
        return False
    named = {path for p in there if p.id not in gone for path in p.parts}
    ours = {f"{table.schema}/{table.name}" for p in there for table in p.tables}
    # files first: if this is killed, the next call finds the manifest and deletes the rest
    for path in storage.listing(store):
        part = storage.IS_PART.fullmatch(path)
        if part and part[1] in ours and path not in named:
            store.delete(path)
    for publication_id in gone:
        storage.forget(store, publication_id)
    return True


def still_kept(kept: Sequence[Publication], keep_days: int, now: datetime) -> list[Publication]:
    """The publications that are not outdated; those in their day of grace are."""
    outdated = _outdated([p.id for p in kept], now - timedelta(days=keep_days))
    return [publication for publication in kept if publication.id not in outdated]


def _outdated(ids: Sequence[str], before: datetime) -> list[str]:
    """Those in whose place another was there ``before`` then."""
    return [old for old, newer in pairwise(ids) if storage.time_of(newer) < before]
