"""The kind ``documents``: lists the files at an address, and fetches one, whatever it is."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from urllib.parse import quote, urlsplit

from ingestion.addresses import local_path
from ingestion.errors import FetchError, MedallionError, UsageError
from ingestion.progress import Progress, Quiet
from ingestion.sources.base import DOCUMENT, Dataset, Fetched, PublishedFile, Publisher
from ingestion.sources.documents.pages import documents_of
from ingestion.sources.files import download
from ingestion.sources.files.bucket import ask_bucket, is_in_bucket, list_bucket
from ingestion.sources.files.http import (
    CONNECTIONS,
    Fingerprint,
    ask,
    file_fingerprint,
    no_way_to,
)

MOST_FILES = 100_000  # of one folder or bucket


def discover(
    publisher: Publisher,
    datasets: Iterable[str] = (),
    start: date | None = None,  # noqa: ARG001  of every kind
    end: date | None = None,  # noqa: ARG001  of every kind
    progress: Progress | None = None,
    gave_months: Callable[[str], bool] = lambda _url: False,  # noqa: ARG001  of every kind
) -> list[PublishedFile]:
    """Every document of the datasets, and with an ``error`` those that are named and not there.

    Months mean nothing here. Raises ``MedallionError`` where a folder is not there, holds no
    document, or more than can be meant; ``FetchError`` where no document can be asked about.
    """
    wanted = dict.fromkeys(map(documents_of, datasets))
    progress = progress or Quiet()
    found: list[PublishedFile] = []
    for dataset in publisher.source.datasets:
        if not dataset.has_rows and (not wanted or dataset.name in wanted):
            found += _documents(publisher, dataset, progress)
    return found


def fetch(
    publisher: Publisher,
    file: PublishedFile,
    spool: Path,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Fetched:
    """Download the whole document, unchanged; raises ``FetchError`` if that fails."""
    if file.file_format != DOCUMENT:
        raise FetchError(
            f"{file.name}: it is not published; medallion land makes it from the document."
        )
    return download.fetch(file, spool, on_bytes, publisher.least_rate)


def _documents(publisher: Publisher, dataset: Dataset, progress: Progress) -> list[PublishedFile]:
    folder, base = publisher.folder, publisher.url
    if folder is not None and not folder.is_dir():
        raise UsageError(f"{publisher.source.url_variable}: there is no folder {folder}.")
    addresses: dict[str, str] = dataset.options["addresses"]
    names = [*dataset.options["files"], *addresses]
    if not names:
        pattern = dataset.options["pattern"]
        listed = (
            _listed(folder, pattern, progress)
            if folder is not None
            else (name for name in list_bucket(base) if fnmatch(name, pattern))
        )
        names = sorted(islice(listed, MOST_FILES + 1))
        if len(names) > MOST_FILES:
            raise MedallionError(
                f"{dataset.name}: {base} has more than {MOST_FILES:,} files for the"
                f" pattern {pattern}: name a narrower one in the source's source.toml."
            )
        if not names:
            raise MedallionError(
                f"{dataset.name}: no file at {base} is of the pattern {pattern}. If it is"
                " a share, is it mounted?"
            )
    urls = {name: f"{base}/{name if is_in_bucket(base) else quote(name)}" for name in names}
    if folder is None:
        urls |= addresses
    servers = {urlsplit(url).netloc: url for url in urls.values() if url.startswith("http")}
    no_way = {server: no_way_to(url) for server, url in servers.items()}

    def document(name: str) -> PublishedFile:
        return _document(dataset, name, urls[name], no_way.get(urlsplit(urls[name]).netloc))

    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="head") as pool:
        found = list(pool.map(document, names))
    if all(file.error and not file.is_missing for file in found):
        raise FetchError(str(found[0].error))
    return found


def _listed(folder: Path, pattern: str, progress: Progress) -> Iterator[str]:
    """The files of a pattern in a folder, by their paths in it; reports links that lead out."""
    home = folder.resolve()
    try:
        for path in folder.glob(pattern):
            if not path.is_file():
                continue
            name = path.relative_to(folder).as_posix()
            if not path.resolve().is_relative_to(home):
                progress.say(f"not read, for it is a link out of {folder}: {name!r}")
            elif not _is_text(name):
                progress.say(f"not read, for its name is not UTF-8: {name!r}")
            else:
                yield name
    except OSError as exc:
        raise MedallionError(
            f"{exc.filename or folder} cannot be read: {exc.strerror}. Let this account read it."
        ) from exc


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def _document(dataset: Dataset, name: str, url: str, no_way: str | None) -> PublishedFile:
    path = local_path(url)
    error: str | None = no_way
    found: Fingerprint | None = None
    is_missing = False
    try:
        if path is not None:
            found = Fingerprint(*file_fingerprint(path)) if path.is_file() else None
        elif no_way is None:
            found = ask_bucket(url) if is_in_bucket(url) else ask(url)
        is_missing = found is None and no_way is None
    except FetchError as exc:
        error = str(exc)
    except OSError as exc:
        error = f"{path} cannot be read: {exc.strerror}."
    if is_missing:
        error = f"it is not published: there is no {url}."
    return PublishedFile(
        dataset.name,
        None,
        url,
        *(found or Fingerprint(None, None, None)),
        error=error,
        is_missing=is_missing,
        file_format=DOCUMENT,
        item=name,
    )
