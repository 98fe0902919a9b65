"""Prove that the files of every publication are as they were written."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ingestion.lake.storage.store import Store
from ingestion.progress import Progress, Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Part
from ingestion.settings import Settings
from ingestion.words import counted_are

READS_AT_ONCE = 4


@dataclass(frozen=True)
class VerifiedFile:
    """One published file; ``error`` is none if it is intact."""

    path: str
    publications: tuple[str, ...]  # the ids of those that hold it; none for a damaged manifest
    error: str | None


def verify(settings: Settings, progress: Progress | None = None) -> list[VerifiedFile]:
    """Read every published file again and compare its sha256 with the manifests.

    What is damaged is noted beside the publications, and the next run writes it again, if the marts
    still hold it. Gives nothing where nothing is published.
    """
    progress = progress or Quiet()
    if settings.publications_url is None:
        return []
    store = storage.open_publications(settings)
    tables: dict[str, dict[str, Part]] = {}
    holders: dict[str, list[str]] = {}
    errors: list[str] = []
    verified: list[VerifiedFile] = []
    for publication in storage.publications(store, errors):
        views = storage.views_of(publication.id)
        if publication.views_sha256 and (error := _error(store, views, publication.views_sha256)):
            verified.append(VerifiedFile(views, (publication.id,), error))
        for table in publication.tables:
            for part in table.parts:
                tables.setdefault(f"{table.schema}.{table.name}", {})[part.path] = part
                holders.setdefault(part.path, []).append(publication.id)

    def one(part: Part) -> VerifiedFile:
        error = _error(store, part.path, part.sha256)
        progress.advance(part.bytes)
        return VerifiedFile(part.path, tuple(holders[part.path]), error)

    verified += [VerifiedFile(error.partition(" ")[0], (), error) for error in errors]
    seen = storage.current(store) if not errors else None
    if seen and (error := _error(store, storage.VIEWS, seen.views_sha256)):
        verified.append(VerifiedFile(storage.VIEWS, (seen.id,), error))
    progress.stage("verify published", len(tables))
    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="verify") as pool:
        for name, parts in tables.items():
            files = list(pool.map(one, parts.values()))
            faulty = sum(file.error is not None for file in files)
            progress.file_done(
                name, f"{counted_are(faulty, 'file')} damaged" if faulty else "intact"
            )
            verified += files
    damaged = sorted(file.path for file in verified if file.error and file.path in holders)
    if damaged or store.names(storage.DAMAGED):
        with storage.turn(settings, progress):
            store.write(storage.DAMAGED, json.dumps(damaged).encode())
    return verified


def _error(store: Store, path: str, sha256: str) -> str | None:
    """What is wrong with a file; none if it is intact."""
    try:
        found = store.sha256(path)
    except FileNotFoundError:
        return "it is gone"
    return None if found == sha256 else f"its bytes have changed (sha256 {found})"
