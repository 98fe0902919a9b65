"""Try a source: fetch one item of each dataset and check it, without landing anything."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from ingestion.errors import MedallionError
from ingestion.formats.validate import check
from ingestion.lake.catalog import Catalog
from ingestion.progress import Progress, Quiet
from ingestion.settings import Settings
from ingestion.sources.base import Dataset, PublishedFile, Publisher, Source
from ingestion.sources.kinds import kind_of
from ingestion.sources.read_types import read_type_of


@dataclass(frozen=True)
class Tried:
    """The newest item of one dataset; ``error`` says why it could not be landed.

    ``columns`` are the file's: published name, type in the file, and read type, which is none for a
    column that is kept in raw and not read.
    """

    dataset: str
    items: int  # published, as far as the source was asked
    item: str | None = None
    address: str | None = None
    bytes: int | None = None
    rows: int | None = None
    columns: list[tuple[str, str, str | None]] = field(default_factory=list)
    remarks: tuple[str, ...] = ()
    error: str | None = None


def try_source(
    settings: Settings, source: Source, progress: Progress | None = None
) -> Iterator[Tried]:
    """Try the newest item of each dataset of a source; an error of one is no error of the others.

    Raises ``UsageError`` where what the source needs is not set.
    """
    publisher = settings.publisher(source)
    catalog = Catalog(settings.lake_url)
    for dataset in (d for d in source.datasets if not d.derived):
        yield _tried(settings, publisher, catalog.dataset(dataset.name), progress or Quiet())


def _tried(settings: Settings, publisher: Publisher, dataset: Dataset, progress: Progress) -> Tried:
    try:
        found = kind_of(publisher).discover(publisher, [dataset.name], progress=progress)
    except MedallionError as exc:
        if exc.exit_code != 1:
            raise
        return Tried(dataset.name, 0, error=str(exc))
    found = [file for file in found if file.dataset == dataset.name]
    published = [file for file in found if not file.error]
    if not published:
        errors = "; ".join(str(file.error) for file in found)
        return Tried(dataset.name, 0, error=errors or "nothing of it is published")
    with _folder(settings.work_dir) as folder:
        return _fetched(publisher, dataset, published, folder, progress)


def _fetched(
    publisher: Publisher,
    dataset: Dataset,
    published: Sequence[PublishedFile],
    folder: Path,
    progress: Progress,
) -> Tried:
    progress.stage("try", 1)
    for file in reversed(published):  # the newest that the source has
        tried = Tried(dataset.name, len(published), file.name, file.url)
        try:
            fetched = kind_of(publisher).fetch(publisher, file, folder, progress.advance)
            if fetched is None:
                continue
            checked = check(fetched.path, dataset, file.month, file.file_format)
        except MedallionError as exc:
            if exc.exit_code != 1:
                raise
            return replace(tried, error=str(exc))
        progress.file_done(file.name, "tried", checked.row_count)
        return replace(
            tried,
            bytes=fetched.bytes,
            rows=checked.row_count,
            columns=[(n, t, _read_as(dataset, n, t)) for n, t in checked.columns],
            remarks=checked.remarks,
        )
    return Tried(dataset.name, len(published), error="the source has no row of these months yet")


def _read_as(dataset: Dataset, name: str, file_type: str) -> str | None:
    known = dataset.read_schema.get(dataset.read_name(name))
    return known or (read_type_of(file_type) or "text" if dataset.from_files else None)


@contextmanager
def _folder(within: Path) -> Iterator[Path]:
    try:
        within.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="try-", dir=within))
    except OSError as exc:
        raise MedallionError(f"Cannot write to {within}: {exc.strerror}.") from exc
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
