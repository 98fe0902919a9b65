"""The kind ``files``, as land knows it."""

from collections.abc import Callable
from pathlib import Path

from ingestion.sources.base import Fetched, PublishedFile, Publisher
from ingestion.sources.files import download
from ingestion.sources.files.discovery import discover

__all__ = ["discover", "fetch"]


def fetch(
    publisher: Publisher,
    file: PublishedFile,
    spool: Path,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Fetched:
    """Download the whole ``file``; raises ``FetchError`` if that fails."""
    return download.fetch(file, spool, on_bytes, publisher.least_rate)
