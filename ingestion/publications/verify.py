"""Prove that the files of every publication are as they were written."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ingestion.progress import Progress, Quiet
from ingestion.publications import storage
from ingestion.publications.manifest import Part
from ingestion.settings import Settings

READS_AT_ONCE = 4


@dataclass(frozen=True)
class VerifiedFile:
    """One published file; ``error`` is none if it is intact."""

    path: str
    publications: tuple[str, ...]  # the ids of those that hold it
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
    for publication in storage.publications(store):
        for table in publication.tables:
            for part in table.parts:
                tables.setdefault(f"{table.schema}.{table.name}", {})[part.path] = part
                holders.setdefault(part.path, []).append(publication.id)

    def one(part: Part) -> VerifiedFile:
        try:
            found = store.sha256(part.path)
        except FileNotFoundError:
            error = "it is gone"
        else:
            error = "" if found == part.sha256 else f"its bytes have changed (sha256 {found})"
        progress.advance(part.bytes)
        return VerifiedFile(part.path, tuple(holders[part.path]), error or None)

    progress.stage("verify published", len(tables))
    verified: list[VerifiedFile] = []
    with ThreadPoolExecutor(READS_AT_ONCE, thread_name_prefix="verify") as pool:
        for name, parts in tables.items():
            files = list(pool.map(one, parts.values()))
            faulty = sum(file.error is not None for file in files)
            progress.file_done(name, f"{faulty} files are damaged" if faulty else "intact")
            verified += files
    damaged = sorted(file.path for file in verified if file.error)
    if damaged or store.names(storage.DAMAGED):
        with storage.turn(settings, progress):
            store.write(storage.DAMAGED, json.dumps(damaged).encode())
    return verified
