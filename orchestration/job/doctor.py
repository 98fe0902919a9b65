"""Checks of everything that a run needs."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog, clock_warning
from ingestion.lake.reading.attach import attach_lake, extensions
from ingestion.lake.storage.store import open_lake
from ingestion.load import check_lake
from ingestion.publications.storage import current as current_publication
from ingestion.publications.storage import open_publications
from ingestion.published import published_by_source
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import files_are_there
from ingestion.words import counted, counted_are

LOW_DISK_BYTES = 5 << 30


@dataclass(frozen=True)
class Check:
    """One thing that a run needs, and whether it is good."""

    name: str
    good: bool
    detail: str


def doctor(settings: Settings) -> list[Check]:
    """Check everything that a run needs; secrets are never shown."""
    return [
        *_show_settings(settings),
        _try("publisher", lambda: _reach(settings)),
        _try("lake", lambda: _lake(settings)),
        _try("work folder", lambda: _writable(settings.work_dir)),
        _try("publications", lambda: _publications(settings)),
        *_extensions(settings),
        _try("warehouse", lambda: _open_warehouse(settings)),
    ]


def _show_settings(settings: Settings) -> list[Check]:
    set_values = settings.model_dump(mode="json")  # masks secrets
    addresses = {name: set_values.pop(name) for name in settings.model_extra or {}}
    values: dict[str, object] = addresses | set_values
    for publisher in settings.publishers(list(registry.datasets())):
        for dataset in publisher.source.datasets:
            if dataset.url_variable:
                name = dataset.url_variable.removeprefix("MEDALLION_").lower()
                values[name] = publisher.address(dataset)
    return [Check(f"MEDALLION_{name.upper()}", True, str(v or "-")) for name, v in values.items()]


def _extensions(settings: Settings) -> list[Check]:
    """Check the extensions with which DuckDB reads this lake, and say where they come from.

    They are only loaded if raw data is read in place.
    """

    def attach() -> str:
        if settings.raw == "in_place":
            with duckdb.connect() as connection:
                attach_lake(connection, settings.lake_url)
        found = extensions(settings.lake_url)
        if settings.lake_url.startswith("gs:"):
            return "gcsfs, for DuckDB"
        return "; ".join(e.origin for e in found) or "nothing but DuckDB itself"

    return [_try("reading in place", attach)]


def _try(name: str, attempt: Any) -> Check:
    try:
        return Check(name, True, attempt())
    except (MedallionError, OSError) as exc:
        return Check(name, False, str(exc))


def _reach(settings: Settings) -> str:
    found, errors = published_by_source(settings)
    if errors:
        raise MedallionError(" ".join(map(str, errors)))
    if missing := [f"{file.name}: {file.error}" for file in found if file.is_missing]:
        raise MedallionError(" ".join(missing))
    places = ", ".join(publisher.url for publisher in settings.publishers())
    return f"{counted_are(len(found), 'file')} landed by default, at {places}"


def _lake(settings: Settings) -> str:
    store = open_lake(settings)
    store.probe()
    catalog, now = Catalog(store), datetime.now(UTC)
    if ahead := catalog.ahead_of(now):
        raise MedallionError(clock_warning(ahead, now))
    return f"{settings.lake_url} can be written, {counted(len(catalog.versions()), 'version')}"


def _publications(settings: Settings) -> str:
    if settings.publications_url is None:
        return "nothing is published: MEDALLION_PUBLISH_URL is off"
    store = open_publications(settings)
    store.probe()
    latest = current_publication(store)
    seen = f"readers see {latest.id}" if latest else "the first run publishes"
    return f"{store.url} can be written; {seen}"


def _writable(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        raise MedallionError(f"Only {free / 1e9:.1f} GB are free in {folder}.")
    return f"{folder} can be written, {free / 1e9:.0f} GB free"


def _open_warehouse(settings: Settings) -> str:
    engine = engine_for(settings)
    if not engine.exists():
        return f"{engine.label} will be made by the first run"
    engine.check_owner()
    with engine.session(read_only=True) as session:
        if lacking := engine.lacks(session):
            raise MedallionError(f"{engine.label} opens. {' '.join(lacking)}")
        versions = engine.loaded_tables(session) if files_are_there(session) else ()
    check_lake(settings, Catalog(settings.lake_url))
    return f"{engine.label} opens, {counted(len(versions), 'version')} in it"
