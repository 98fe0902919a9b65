"""Cache keys: a task has nothing to do if its published file and its code are unchanged.

Prefect then shows the task as Cached and does not run it. The flow first checks what the lake and
the warehouse hold, so a cache hit is never stale: after a re-publication, or when a table was
dropped, the task runs even if Prefect has a cached result.
"""

import hashlib
from functools import cache

import ingestion
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile


def cache_key(settings: Settings, task: str, place: str, file: PublishedFile) -> str:
    """The key for one task and published file: from its fingerprint, the target and the code."""
    fingerprint = (file.url, file.etag, file.bytes, file.last_modified)
    publisher = settings.publisher(registry.source_of(file.dataset))
    parts = (task, place, publisher.url, file.name, *fingerprint, _code())
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()


@cache
def _code() -> str:
    """sha256 of the source code of ``ingestion``."""
    digest = hashlib.sha256()
    for path in sorted((PROJECT_ROOT / ingestion.__name__).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()
