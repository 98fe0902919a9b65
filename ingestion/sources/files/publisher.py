"""What the publisher offers now.

A published file is found by HEAD (``https://``, ``http://``) or by listing (``file://``), a month
in the best of the formats that it is published in. What identifies its content without reading it
is its etag, last-modified date and length.
"""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast
from urllib.parse import quote, urlsplit

from ingestion.errors import FetchError, UsageError
from ingestion.settings import Settings, local_path
from ingestion.sources.files.http import CONNECTIONS, ask, file_fingerprint, no_way_to
from ingestion.sources.tlc.datasets import DATASETS, FORMATS, Dataset, FileFormat

DEFAULT_MONTHS = 3
LOOK_BACK_MONTHS = 15
MONTHS_FOLDER = "trip-data"
# TLC publishes with a delay of about two months; a silence of twice that is worth a look.
OVERDUE_DAYS = 120


@dataclass(frozen=True)
class PublishedFile:
    """One file as the publisher offers it now."""

    dataset: str
    month: date | None
    url: str
    etag: str | None
    last_modified: datetime | None
    bytes: int | None
    fault: str | None = None  # why the publisher could not be asked about this file
    is_missing: bool = False  # or why it is meant to be there and is not

    @property
    def name(self) -> str:
        """What people call it: ``green 2024-01``."""
        return f"{self.dataset} {self.month:%Y-%m}" if self.month else self.dataset

    @property
    def file_format(self) -> FileFormat:
        """What its address says that it is: ``parquet``, ``csv`` or ``csv.gz``."""
        return DATASETS[self.dataset].format_of(self.url)


def published_files(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> list[PublishedFile]:
    """List what is published of the datasets (all, when none are named) from ``start`` to ``end``.

    Without ``start`` a folder gives every month there is, and a server the last three published
    months of yellow and green (or of the datasets that are named). The zone lookup and TLC's
    report are always looked for. A file that could not be asked about has its ``fault``; raises
    ``FetchError`` where none could be, or where a server has no month at all of a dataset whose
    newest are looked for.
    """
    named = [DATASETS[name] for name in datasets]
    monthly = [d for d in named if d.monthly]
    folder = local_path(settings.tlc_url)
    if folder is not None:
        if not folder.is_dir():
            raise UsageError(f"MEDALLION_TLC_URL: there is no folder {folder}.")
        wanted = [
            _Wanted(d, month, (f"{settings.tlc_url}/{quote(d.file_path(month, file_format))}",))
            for d in monthly or ([] if named else _all_monthly())
            for month, file_format in listed_months(folder, d)
            if (start is None or month >= start) and (end is None or month <= end)
        ]
    elif start is None:
        defaults = monthly or ([] if named else [DATASETS["yellow"], DATASETS["green"]])
        return _newest(settings, defaults, end) + _ask(_references(settings, named))
    else:
        wanted = [
            _month(settings, d, month)
            for d in monthly or ([] if named else _all_monthly())
            for month in months_between(max(start, d.first_edition or start), end or _today())
        ]
    return _head_all(wanted + _references(settings, named))


def asked_again(file: PublishedFile) -> PublishedFile:
    """The file as the publisher offers it now; with its ``fault`` where that has not passed."""
    dataset, stem = DATASETS[file.dataset], file.url.removesuffix(file.file_format)
    if dataset.monthly and not file.month:
        return file  # no file, but all of a dataset
    later = FORMATS[FORMATS.index(file.file_format) + 1 :]
    others = [f for f in dataset.formats(file.month) if f in later] if file.month else []
    urls = (file.url, *(f"{stem}{file_format}" for file_format in others))
    return _first_of(_Wanted(dataset, file.month, urls)) or file


@dataclass(frozen=True)
class _Wanted:
    """One file to ask about, and where it may be: the first address that has it is taken."""

    dataset: Dataset
    month: date | None
    urls: tuple[str, ...]


def overdue(settings: Settings, published: Iterable[PublishedFile]) -> list[str]:
    """Which datasets have had no new month for too long, one line each.

    Counted are the days since the end of the newest published month. A folder of files is only
    looked at when ``MEDALLION_STALE_AFTER_DAYS`` says so: nobody publishes there.
    """
    days = settings.stale_after_days
    if days is None:
        days = 0 if local_path(settings.tlc_url) else OVERDUE_DAYS
    newest: dict[str, date] = {}
    for file in published:
        if file.month:
            newest[file.dataset] = max(file.month, newest.get(file.dataset, file.month))
    ends = {dataset: _next_month(month) for dataset, month in newest.items()}
    return [
        f"{dataset}: the newest month is {newest[dataset]:%Y-%m}, {(_today() - end).days} days ago"
        for dataset, end in ends.items()
        if days and (_today() - end).days > days
    ]


def is_overdue(month: date) -> bool:
    """Whether TLC should have published a month by now."""
    return (_today() - _next_month(month)).days > OVERDUE_DAYS


def months_between(start: date, end: date) -> list[date]:
    """First days of the months from ``start`` to ``end``, both included."""
    return [
        date(n // 12, n % 12 + 1, 1)
        for n in range(start.year * 12 + start.month - 1, end.year * 12 + end.month)
    ]


def _next_month(month: date) -> date:
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)


def _today() -> date:
    return datetime.now(UTC).date()


def _all_monthly() -> list[Dataset]:
    return [d for d in DATASETS.values() if d.monthly]


def _month(settings: Settings, dataset: Dataset, month: date) -> _Wanted:
    """A month on a server, which is asked for the best of its formats first."""
    paths = (dataset.file_path(month, file_format) for file_format in dataset.formats(month))
    return _Wanted(dataset, month, tuple(f"{settings.tlc_url}/{path}" for path in paths))


def _references(settings: Settings, named: Sequence[Dataset]) -> list[_Wanted]:
    return [
        _Wanted(
            d, None, (f"{settings.tlc_url}/{d.path}" if d.path else settings.report_source_url,)
        )
        for d in DATASETS.values()
        if not d.monthly and (not named or d in named or any(n.monthly for n in named))
    ]


def month_of_name(dataset: Dataset, name: str) -> tuple[date, FileFormat] | None:
    """The month and format of a file by its name in a folder; none where it is no month's."""
    file_name = dataset.path.rpartition("/")[2]
    stem = re.escape(file_name.removesuffix(dataset.file_format))
    # of another century no month is anybody's
    month = stem.replace(r"\{month\}", r"(20\d{2}-(?:0[1-9]|1[0-2]))")
    match = re.fullmatch(month + f"({'|'.join(map(re.escape, FORMATS))})", name, re.ASCII)
    return (date.fromisoformat(f"{match[1]}-01"), cast(FileFormat, match[2])) if match else None


def listed_months(folder: Path, dataset: Dataset) -> list[tuple[date, FileFormat]]:
    """Months of ``dataset`` that a folder holds, oldest first, each in the best of its formats.

    Raises ``OSError``.
    """
    if not (folder / MONTHS_FOLDER).is_dir():
        return []
    found: dict[date, FileFormat] = {}
    for path in (folder / MONTHS_FOLDER).iterdir():
        if (named := month_of_name(dataset, path.name)) and path.is_file():
            month, file_format = named
            found[month] = min(file_format, found.get(month, file_format), key=FORMATS.index)
    return sorted(found.items())


def _newest(
    settings: Settings, datasets: Sequence[Dataset], end: date | None
) -> list[PublishedFile]:
    """The last three published months of each dataset, oldest first."""
    last = end or _today()
    found: list[PublishedFile] = []
    for dataset in datasets:
        first = dataset.first_edition or last
        looked_at = months = months_between(first, last)[-LOOK_BACK_MONTHS:]
        # a batch of eight holds the three newest unless TLC is half a year late
        newest: list[PublishedFile] = []
        while months and len(newest) < DEFAULT_MONTHS:
            batch, months = months[-CONNECTIONS:], months[:-CONNECTIONS]
            wanted = [_month(settings, dataset, m) for m in batch]
            newest = _head_all(wanted) + newest
        if not newest and end is None:
            # month by month, it is the answer of a server that does not have that one yet
            raise FetchError(
                f"Nothing of {dataset.name} is published since {looked_at[0]:%Y-%m}, up to"
                f" {_month(settings, dataset, last).urls[0]}. Is that address right"
                " (MEDALLION_TLC_URL)? If it is, name the datasets that are published there."
            )
        found += newest[-DEFAULT_MONTHS:]
    return found


def _head_all(wanted: Sequence[_Wanted]) -> list[PublishedFile]:
    """Ask about all; raise ``FetchError`` where not one could be asked about."""
    heads = _ask(wanted)
    if heads and all(head.fault for head in heads):
        raise FetchError(heads[0].fault)
    return heads


def _ask(wanted: Sequence[_Wanted]) -> list[PublishedFile]:
    """What is published of these, in their order."""
    no_way = {
        server: reason
        for server, url in {_server(file): file.urls[0] for file in wanted}.items()
        if not local_path(url) and (reason := no_way_to(url))
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
        # some servers say to every HEAD that there is no such file
        known = {_server(file) for file, head in found.items() if head}
        unknown = [file for file in wanted if _server(file) not in known | {_FOLDER}]
        found |= zip(unknown, pool.map(by_get, unknown), strict=True)
    return [head for head in found.values() if head]


_FOLDER = ("file", "")


def _server(file: _Wanted) -> tuple[str, str]:
    parts = urlsplit(file.urls[0])
    return parts.scheme, parts.netloc


def _first_of(file: _Wanted, by_get: bool = False) -> PublishedFile | None:
    heads = (_head(file, url, by_get) for url in file.urls)
    return next(filter(None, heads), None)


def _head(file: _Wanted, url: str, by_get: bool) -> PublishedFile | None:
    """What the publisher says of one file, its fault, or none where it is not published."""
    path = local_path(url)
    try:
        if path is not None:
            found = file_fingerprint(path) if path.is_file() else None
        else:
            found = ask(url, by_get)
    except FetchError as exc:
        return _faulty(file, url, str(exc))
    except OSError as exc:
        return _faulty(file, url, f"{path} cannot be read: {exc.strerror}.")
    return PublishedFile(file.dataset.name, file.month, url, *found) if found else None


def _faulty(file: _Wanted, url: str, fault: str) -> PublishedFile:
    return PublishedFile(file.dataset.name, file.month, url, None, None, None, fault)
