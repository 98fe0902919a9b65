"""Open a publication: like a warehouse that can only be read, and that no run holds."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.files import address, reader_sql, source_sql
from ingestion.lake.storage.store import Store
from ingestion.publications import storage
from ingestion.publications.manifest import Publication, from_json
from ingestion.publications.retention import still_kept
from ingestion.publications.views import make_views
from ingestion.settings import Settings
from ingestion.warehouse.duckdb.engine import DuckDb, DuckDbSession
from ingestion.warehouse.duckdb.guard import folders_of


def current(settings: Settings) -> Publication | None:
    """The publication that readers see now; None if there is none or nothing is published."""
    if settings.publications_url is None:
        return None
    return storage.current(storage.open_publications(settings))


def kept(settings: Settings) -> list[Publication]:
    """The publications that can be read, the oldest first."""
    store = storage.open_publications(settings)
    seen = storage.current(store)
    # one that was killed before readers saw it is none
    found = [p for p in storage.publications(store, []) if seen and p.id <= seen.id]
    return still_kept(found, settings.keep_publications, datetime.now(UTC))


def find(settings: Settings, which: str) -> Publication:
    """One publication: by its id, by the beginning of it, or by a day (UTC).

    A day means what readers saw at its end. Raises ``UsageError`` where there is none, or several
    ids begin so.
    """
    store = storage.open_publications(settings)
    seen = storage.current(store)
    ids = [i for i in storage.ids(store) if seen and i <= seen.id]
    if not ids:
        raise UsageError(f"Nothing was published yet at {store.url}.")
    if not which:
        raise UsageError("Name a publication, by its id or by a day.")
    if day := _day(which):
        end = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)
        found = [i for i in ids if storage.time_of(i) < end][-1:]
        none = f"The oldest publication is of {storage.time_of(ids[0]):%Y-%m-%d %H:%M} UTC."
    else:
        found = [i for i in ids if i.startswith(which)]
        none = f"There is no publication {which}; medallion publications lists them."
    if not found:
        raise UsageError(none)
    if len(found) > 1:
        raise UsageError(f"{which} is the beginning of {', '.join(found)}; give more of it.")
    name = storage.manifest_of(found[0])
    (content,) = store.read_all([name])
    return from_json(content, store.address(name))


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if "-" in text else None
    except ValueError:
        return None


class PublishedDuckDb(DuckDb):
    """A publication, read through its DuckDB file of views."""

    def __init__(self, settings: Settings, publication: Publication):
        super().__init__(settings)
        self.publication = publication
        self._settings = settings
        self._store: Store = storage.open_publications(settings)
        self.label = f"the publication {publication.id}"

    def exists(self) -> bool:
        """Whether it is there: it is, or it would not have been found."""
        return True

    @contextmanager
    def session(self, read_only: bool = True) -> Iterator[DuckDbSession]:
        """Open it; it cannot be written."""
        assert read_only, "a publication never changes"
        with self._views() as path:
            self._path = path
            with super().session(read_only=True) as session:
                yield session

    @contextmanager
    def _views(self) -> Iterator[Path]:
        """The path of the file of views; one in a bucket is small, and copied.

        It is made here if the files have moved since it was written, or if it is gone.
        """
        name, store = storage.views_of(self.publication.id), self._store
        is_there = self.publication.url == store.url and bool(store.names(name))
        if is_there and store.is_local:
            yield Path(store.path(name))
            return
        with TemporaryDirectory(prefix="medallion-") as folder:
            path = Path(folder) / storage.VIEWS
            if is_there:
                store.fetch(name, path)
            else:
                make_views(self.publication, store.url, path)
            yield path

    def _opened(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the connection read the published files, and the lake for single raw rows."""
        for url in {self._store.url, self._settings.lake_url}:
            attach_lake(connection, url)

    def _readable(self) -> Sequence[str]:
        """The published files."""
        return folders_of(address(self._store.url, ""))

    def loaded_tables(self, session: DuckDbSession, /) -> set[str]:
        """The versions that were loaded when it was published."""
        rows = session.query("select table_name from raw.files where loaded_at is not null").rows
        return {name for (name,) in rows}

    def raw_row_sql(self, table_name: str, lake_path: str) -> str:
        """The statement that selects one raw row from its file in the lake, by its ordinal."""
        catalog = Catalog(self._settings.lake_url)
        found = (v for v in catalog.versions() if v.table_name == table_name)
        version = next(found, None)
        if version is None:
            raise MedallionError(f"The lake does not know {lake_path}, which holds the raw row.")
        source = source_sql(self._settings.lake_url, lake_path)
        return f"select * from {reader_sql(lake_path, version.columns, source)} limit 1 offset ?"
