"""When a task has nothing to do: its source and its code are what they were.

Prefect then shows the task as Cached and does not run it. What the lake and the warehouse really
hold is asked beforehand, so a hit is never stale: after a re-publication, or when a table was
dropped, the task runs whatever Prefect remembers.
"""

import hashlib
from functools import cache

import ingestion
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile


def cache_key(settings: Settings, task: str, place: str, file: PublishedFile) -> str:
    """A key for one task on one published file: its fingerprint, where to, and the code."""
    fingerprint = (file.url, file.etag, file.bytes, file.last_modified)
    publisher = settings.publisher(registry.source_of(file.dataset))
    parts = (task, place, publisher.url, file.name, *fingerprint, _code())
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@cache
def _code() -> str:
    """sha256 of the sources of ``ingestion``."""
    digest = hashlib.sha256()
    for path in sorted((PROJECT_ROOT / ingestion.__name__).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
