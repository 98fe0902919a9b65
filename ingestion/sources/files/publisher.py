"""Lists the files that a publisher has now.

A published file is found by HEAD (``https://``, ``http://``) or by listing (``file://``). A month
is taken in the best of its published formats. Its etag, last-modified date and length identify its
content without reading it.
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from ingestion.addresses import local_path
from ingestion.errors import FetchError, UsageError
from ingestion.sources.base import (
    FORMATS,
    Dataset,
    FileFormat,
    PublishedFile,
    Publisher,
    Source,
)
from ingestion.sources.files.bucket import ask_bucket, is_in_bucket
from ingestion.sources.files.http import CONNECTIONS, ask, file_fingerprint, no_way_to

DEFAULT_MONTHS = 3
LOOK_BACK_MONTHS = 15


def published_files(
    publisher: Publisher,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> list[PublishedFile]:
    """List the published files of the datasets (all, if none are named) in these months.

    Without ``start`` a folder gives all its months, and a server the last three published months of
    the source's usual datasets (or of the named ones). Single files are always looked for. If
    asking about a file fails, it has an ``error``. Raises ``FetchError`` where asking fails for all
    files, or where a server has no month at all of a dataset whose newest months are wanted.
    """
    source = publisher.source
    of = {d.name: d for d in source.datasets}
    named = [of[name] for name in datasets]
    monthly = [d for d in named if d.monthly]
    folder = publisher.folder
    if folder is not None:
        if not folder.is_dir():
            raise UsageError(f"{source.url_variable}: there is no folder {folder}.")
        wanted = [
            _Wanted(d, month, (publisher.address(d, d.file_path(month, file_format)),))
            for d in monthly or ([] if named else source.monthly)
            for month, file_format in listed_months(folder, d)
            if (start is None or month >= start) and (end is None or month <= end)
        ]
    elif start is None:
        defaults = monthly or ([] if named else [of[name] for name in source.usual])
        return _newest(publisher, defaults, end) + _ask(_references(publisher, named))
    else:
        wanted = [
            _month(publisher, d, month)
            for d in monthly or ([] if named else source.monthly)
            for month in months_between(max(start, d.first_edition or start), end or _today())
        ]
    return _head_all(wanted + _references(publisher, named))


def asked_again(file: PublishedFile, dataset: Dataset) -> PublishedFile:
    """The file as it is published now; with its ``error`` if that has not passed."""
    stem = file.url.removesuffix(file.file_format)
    if dataset.monthly and not file.month:
        return file  # stands for a whole dataset
    later = FORMATS[FORMATS.index(file.file_format) + 1 :]
    others = [f for f in dataset.formats(file.month) if f in later] if file.month else []
    urls = (file.url, *(f"{stem}{file_format}" for file_format in others))
    return _first_of(_Wanted(dataset, file.month, urls)) or file


@dataclass(frozen=True)
class _Wanted:
    """One file to ask about, with its possible addresses: the first that has it is taken."""

    dataset: Dataset
    month: date | None
    urls: tuple[str, ...]


def overdue(
    publisher: Publisher, published: Iterable[PublishedFile], days: int | None = None
) -> list[str]:
    """The datasets of a source that have had no new month for too long, one line each.

    The limit is ``days`` since the end of the newest published month, by default the source's own.
    A folder has none: nobody publishes there.
    """
    if days is None:
        days = 0 if publisher.folder else publisher.source.overdue_days
    names = {d.name for d in publisher.source.datasets}
    newest: dict[str, date] = {}
    for file in published:
        if file.month and file.dataset in names:
            newest[file.dataset] = max(file.month, newest.get(file.dataset, file.month))
    ends = {dataset: next_month(month) for dataset, month in newest.items()}
    return [
        f"{dataset}: the newest month is {newest[dataset]:%Y-%m}, {(_today() - end).days} days ago"
        for dataset, end in ends.items()
        if days and (_today() - end).days > days
    ]


def is_overdue(source: Source, month: date) -> bool:
    """Whether the source should have published a month by now."""
    return (_today() - next_month(month)).days > source.overdue_days


def months_between(start: date, end: date) -> list[date]:
    """The first days of the months from ``start`` to ``end``, both included."""
    return [
        date(n // 12, n % 12 + 1, 1)
        for n in range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    ]


def next_month(month: date) -> date:
    """The first day of the month after."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _today() -> date:
    return datetime.now(UTC).date()


def _month(publisher: Publisher, dataset: Dataset, month: date) -> _Wanted:
    """A month on a server; its best format is asked for first."""
    paths = (dataset.file_path(month, file_format) for file_format in dataset.formats(month))
    return _Wanted(dataset, month, tuple(publisher.address(dataset, path) for path in paths))


def _references(publisher: Publisher, named: Sequence[Dataset]) -> list[_Wanted]:
    """The single files: the named ones, or all of them if months are wanted."""
    return [
        _Wanted(d, None, (publisher.address(d),))
        for d in publisher.source.datasets
        if not (d.monthly or d.derived)
        and (not named or d in named or any(n.monthly for n in named))
    ]


def month_of_name(dataset: Dataset, name: str) -> tuple[date, FileFormat] | None:
    """The month and the format of a file, by its name in a folder; none if it is not a month."""
    file_name = dataset.path.rpartition("/")[2]
    stem = re.escape(file_name.removesuffix(dataset.file_format))
    # no source has months of another century
    month = stem.replace(r"\{month\}", r"(20\d{2}-(?:0[1-9]|1[0-2]))")
    match = re.fullmatch(month + f"({'|'.join(map(re.escape, FORMATS))})", name, re.ASCII)
    return (date.fromisoformat(f"{match[1]}-01"), cast(FileFormat, match[2])) if match else None


def listed_months(folder: Path, dataset: Dataset) -> list[tuple[date, FileFormat]]:
    """The months of ``dataset`` in a folder, oldest first, each in its best format.

    Raises ``OSError``.
    """
    within = folder / dataset.folder
    if not within.is_dir():
        return []
    found: dict[date, FileFormat] = {}
    for path in within.iterdir():
        if (named := month_of_name(dataset, path.name)) and path.is_file():
            month, file_format = named
            found[month] = min(file_format, found.get(month, file_format), key=FORMATS.index)
    return sorted(found.items())


def _newest(
    publisher: Publisher, datasets: Sequence[Dataset], end: date | None
) -> list[PublishedFile]:
    """The last three published months of each dataset, oldest first."""
    last = end or _today()
    found: list[PublishedFile] = []
    for dataset in datasets:
        first = dataset.first_edition or last
        looked_at = months = months_between(first, last)[-LOOK_BACK_MONTHS:]
        # eight months include the three newest, unless the source is half a year late
        newest: list[PublishedFile] = []
        while months and len(newest) < DEFAULT_MONTHS:
            batch, months = months[-CONNECTIONS:], months[:-CONNECTIONS]
            wanted = [_month(publisher, dataset, m) for m in batch]
            newest = _head_all(wanted) + newest
        if not newest and end is None:
            # for a single month, this answer means that the server does not have it yet
            raise FetchError(
                f"Nothing of {dataset.name} is published since {looked_at[0]:%Y-%m}, up to"
                f" {_month(publisher, dataset, last).urls[0]}. Is that address right"
                f" ({publisher.source.url_variable})? If it is, name the datasets that are"
                " published there."
            )
        found += newest[-DEFAULT_MONTHS:]
    return found


def _head_all(wanted: Sequence[_Wanted]) -> list[PublishedFile]:
    """Ask about all files; raises ``FetchError`` if asking fails for every one."""
    heads = _ask(wanted)
    if heads and all(head.error for head in heads):
        raise FetchError(heads[0].error)
    return heads


def _ask(wanted: Sequence[_Wanted]) -> list[PublishedFile]:
    """The published ones of these files, in the same order."""
    no_way = {
        server: reason
        for server, url in {_server(file): file.urls[0] for file in wanted}.items()
        if urlsplit(url).scheme in ("http", "https") and (reason := no_way_to(url))
    }

    def by_head(file: _Wanted) -> PublishedFile | None:
        reason = no_way.get(_server(file))
        return _faulty(file, file.urls[0], reason) if reason else _first_of(file)

    def by_get(file: _Wanted) -> PublishedFile | None:
        return _first_of(file, by_get=True)

    if not wanted:
        return []
    with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="head") as pool:
        found = dict(zip(wanted, pool.map(by_head, wanted), strict=True))
        # some servers answer every HEAD with "not found"
        known = {_server(file) for file, head in found.items() if head}
        unknown = [
            file
            for file in wanted
            if _server(file) not in known and file.urls[0].startswith(("http://", "https://"))
        ]
        found |= zip(unknown, pool.map(by_get, unknown), strict=True)
    return [head for head in found.values() if head]


def _server(file: _Wanted) -> tuple[str, str]:
    parts = urlsplit(file.urls[0])
    return parts.scheme, parts.netloc


def _first_of(file: _Wanted, by_get: bool = False) -> PublishedFile | None:
    heads = (_head(file, url, by_get) for url in file.urls)
    return next(filter(None, heads), None)


def _head(file: _Wanted, url: str, by_get: bool) -> PublishedFile | None:
    """One file as published, or with an ``error``; none if it is not published."""
    path = local_path(url)
    try:
        if path is not None:
            found = file_fingerprint(path) if path.is_file() else None
        elif is_in_bucket(url):
            found = ask_bucket(url)
        else:
            found = ask(url, by_get)
    except FetchError as exc:
        return _faulty(file, url, str(exc))
    except OSError as exc:
        return _faulty(file, url, f"{path} cannot be read: {exc.strerror}.")
    if not found:
        return None
    file_format = file.dataset.format_of(url)
    return PublishedFile(file.dataset.name, file.month, url, *found, file_format=file_format)


def _faulty(file: _Wanted, url: str, error: str) -> PublishedFile:
    return PublishedFile(
        file.dataset.name,
        file.month,
        url,
        *(None, None, None),
        error=error,
        file_format=file.dataset.format_of(url),
    )
