"""Read a lake in a folder, and the outcomes of landing in it."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from ingestion.addresses import local_path
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.land import LandReport
from ingestion.settings import Settings

# what a CDN sends instead of a file
BROKEN = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"


def lake_file(settings: Settings, landing: FileVersion) -> Path:
    """The path of the bytes of a file version."""
    root = local_path(settings.lake_url)
    assert root is not None
    return root / landing.lake_path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def objects(settings: Settings) -> dict[str, str]:
    """The sha256 of everything in the lake except the catalog, by path."""
    lake = local_path(settings.lake_url)
    assert lake is not None
    files = [p for p in lake.rglob("*") if p.is_file()]
    paths = {p.relative_to(lake).as_posix(): p for p in files}
    return {name: sha256(p) for name, p in paths.items() if not name.startswith("catalog/")}


def said(settings: Settings) -> list[FileVersion]:
    """All records of the catalog, with one same time in place of ``landed_at``."""
    same = datetime(2024, 1, 1, tzinfo=UTC)
    landings = [replace(x, landed_at=same) for x in Catalog(settings.lake_url).landings]
    return sorted(landings, key=lambda x: x.lake_path)


def outcomes(report: LandReport) -> dict[str, str]:
    return {f.published.name: f.outcome.value for f in report.files}


def current(settings: Settings) -> list[str]:
    return [x.file_id for x in Catalog(settings.lake_url).current()]
