"""A look into a lake that lies in a folder."""

from pathlib import Path

from ingestion.catalog import Landing
from ingestion.settings import Settings, local_path


def lake_file(settings: Settings, landing: Landing) -> Path:
    """Where the bytes of a version lie."""
    root = local_path(settings.lake_url)
    assert root is not None
    return root / landing.lake_path
