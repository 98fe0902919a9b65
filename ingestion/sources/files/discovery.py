"""What a run is to land: what is published, and what is meant and is not, with why.

Silence would be a loss that nobody sees. So what is named and is not published has a fault, and
so has what looks like a month and is not read. What is not named is not missed: datasets that a
publisher does not have, and months that are not due yet.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from urllib.parse import quote

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import Store
from ingestion.progress import Progress, Quiet
from ingestion.settings import REPORT_IN_FOLDER, Settings, local_path
from ingestion.sources.files.lookalikes import Lookalike, lookalikes
from ingestion.sources.files.publisher import (
    MONTHS_FOLDER,
    PublishedFile,
    is_overdue,
    listed_months,
    months_between,
    published_files,
)
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS, Dataset

NAMED_AT_MOST = 5


def discover(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
) -> list[PublishedFile]:
    """What ``published_files`` finds, and with its fault what is meant and is not published.

    That is: a dataset that is named; a month from ``start`` to ``end`` of a dataset that is named
    or has others of them, unless it is not due yet; and what looks like a month in a folder.
    Raises ``MedallionError`` where a folder holds nothing, or no month any more, and as
    ``published_files`` does.
    """
    progress = progress or Quiet()
    named = [DATASETS[name] for name in dict.fromkeys(datasets)]
    monthly = [d for d in named if d.monthly] or ([] if named else list(TRIP_DATASETS))
    folder = local_path(settings.tlc_url)
    held: dict[str, list[date]] = {}
    unread: list[Lookalike] = []
    try:
        if folder is not None:
            held, unread = _look_into(settings, folder, monthly, bool(named), progress)
        found = published_files(settings, [d.name for d in named], start, end)
    except OSError as exc:
        raise MedallionError(
            f"{exc.filename or folder} cannot be read: {exc.strerror}. Let this account read it;"
            " it is below what MEDALLION_TLC_URL names."
        ) from exc
    scope = _Scope(settings, named, monthly, start, end)
    missing = _unread(scope, unread, held, progress)
    missing += scope.missing(found, {(f.dataset, f.month) for f in missing}, progress)
    return found + missing


def _look_into(
    settings: Settings,
    folder: Path,
    monthly: Sequence[Dataset],
    are_named: bool,
    progress: Progress,
) -> tuple[dict[str, list[date]], list[Lookalike]]:
    """The months of every dataset in a folder, and what looks like one; raise where none is."""
    if not folder.is_dir():
        gone = f"MEDALLION_TLC_URL: there is no folder {folder}"
        if _gave_months(settings):
            raise MedallionError(f"{gone}, and months were landed from there. Is it mounted?")
        raise UsageError(f"{gone}.")
    held = {d.name: [m for m, _ in listed_months(folder, d)] for d in TRIP_DATASETS}
    unread = lookalikes(folder)
    if not monthly or any(held.values()):
        return held, unread
    if (folder / MONTHS_FOLDER).is_dir():
        why = f"no month is in {folder / MONTHS_FOLDER}"
    else:
        why = f"there is no {MONTHS_FOLDER}/ in {folder}: months are looked for there"
        if folder.name == MONTHS_FOLDER:
            why += "; name the folder above it"
    others = [d.path or REPORT_IN_FOLDER for d in DATASETS.values() if not d.monthly]
    if any((folder / path).is_file() for path in others) and not (
        are_named or unread or _gave_months(settings)
    ):
        progress.say(why)  # a folder of reference files, which never had a month
        return held, unread
    words = [like.words for like in unread if like.dataset.monthly]
    raise MedallionError(
        ". ".join([f"Nothing is published at {settings.tlc_url}: {why}", *_some(words)])
        + ". If it is a share, is it mounted?"
    )


def _gave_months(settings: Settings) -> bool:
    """Whether months were landed from this publisher before."""
    return any(
        landing.month and landing.source_url.startswith(f"{settings.tlc_url}/")
        for landing in Catalog(Store(settings.lake_url)).landings
    )


def _unread(
    scope: "_Scope",
    unread: Sequence[Lookalike],
    held: dict[str, list[date]],
    progress: Progress,
) -> list[PublishedFile]:
    """What looks like a month that no other file gives; of the rest it is said only."""
    words: dict[tuple[Dataset, date | None], list[str]] = defaultdict(list)
    beside = []
    for like in unread:
        if not scope.has(like.dataset, like.month):
            continue
        if like.month in held.get(like.dataset.name, ()):
            beside.append(like.path.name)
        else:
            words[like.dataset, like.month].append(like.words)
    if beside:
        progress.say(f"not read, for another file gives its month: {', '.join(_some(beside))}")
    return [
        scope.absent(dataset, month, f"not read: {'; '.join(_some(told))}")
        for (dataset, month), told in words.items()
    ]


class _Scope:
    """The datasets and months of a run, and what of them is missing."""

    def __init__(
        self,
        settings: Settings,
        named: Sequence[Dataset],
        monthly: Sequence[Dataset],
        start: date | None,
        end: date | None,
    ):
        self._settings, self._named, self._monthly = settings, named, monthly
        self._start, self._end = start, end

    def has(self, dataset: Dataset, month: date | None) -> bool:
        """Whether a file is in scope; of a month that nobody can tell, where none is named."""
        if not dataset.monthly:
            # the report may be looked for elsewhere
            url = self.absent(dataset, None, "").url
            is_named = not self._named or dataset in self._named
            return is_named and url.startswith(f"{self._settings.tlc_url}/")
        if month is None:
            return dataset in self._monthly and not (self._start or self._end)
        return (
            dataset in self._monthly
            and (self._start is None or month >= self._start)
            and (self._end is None or month <= self._end)
        )

    def absent(self, dataset: Dataset, month: date | None, fault: str) -> PublishedFile:
        """A file that is not there, under the address where it would be."""
        if dataset.monthly and month is None:
            url = f"{self._settings.tlc_url}/{MONTHS_FOLDER}"
        elif dataset.path:
            formats = dataset.formats(month) if month else ()
            path = dataset.file_path(month, formats[0] if formats else None)
            is_folder = local_path(self._settings.tlc_url) is not None
            url = f"{self._settings.tlc_url}/{quote(path) if is_folder else path}"
        else:
            url = self._settings.report_source_url
        return PublishedFile(dataset.name, month, url, None, None, None, fault, is_missing=True)

    def missing(
        self,
        found: Iterable[PublishedFile],
        told: set[tuple[str, date | None]],
        progress: Progress,
    ) -> list[PublishedFile]:
        """What is meant and not there, but for what is told of already."""
        have: dict[str, set[date | None]] = defaultdict(set)
        for file in found:
            have[file.dataset].add(file.month)
        missing = []
        for dataset in self._named:
            if not have[dataset.name] and not any(name == dataset.name for name, _ in told):
                missing.append(self._nothing_of(dataset))
                told = told | {(dataset.name, missing[-1].month)}
        for dataset in self._monthly:
            months = {month for month in have[dataset.name] if month}
            for month in self._expected(dataset, months):
                if month in months or (dataset.name, month) in told:
                    continue
                if month > max(months) and not is_overdue(month):
                    progress.say(f"{dataset.name} {month:%Y-%m} is not published yet")
                    continue
                missing.append(self._no_month(dataset, month))
        if (
            not missing
            and not told
            and self._monthly
            and (self._start or self._end)
            and not any(have[dataset.name] for dataset in self._monthly)
        ):
            raise MedallionError(
                f"Nothing is published at {self._settings.tlc_url}{self._span()}. Are the months"
                " right, and is MEDALLION_TLC_URL?"
            )
        return missing

    def _expected(self, dataset: Dataset, months: set[date]) -> Sequence[date]:
        """Months that are to be there, as others of the dataset are."""
        if not self._start or not months:
            return ()
        # TLC took back what it had as CSV only; who keeps it has it
        first = max(self._start, min(filter(None, [dataset.first_month, *months])))
        return months_between(first, self._end or max(months))

    def _nothing_of(self, dataset: Dataset) -> PublishedFile:
        if not dataset.monthly:
            absent = self.absent(dataset, None, "")
            return self.absent(dataset, None, f"it is not published: nothing is at {absent.url}.")
        if self._start and self._start == self._end:
            return self._no_month(dataset, self._start)
        where = f"{self._settings.tlc_url}/{MONTHS_FOLDER}"
        fault = f"nothing of it is published at {where}{self._span()}"
        return self.absent(dataset, None, f"{fault}{self._first(dataset)}.")

    def _no_month(self, dataset: Dataset, month: date) -> PublishedFile:
        absent = self.absent(dataset, month, "")
        fault = f"it is not published: there is no {absent.url}{self._first(dataset)}."
        return self.absent(dataset, month, fault)

    def _first(self, dataset: Dataset) -> str:
        first = dataset.first_edition
        is_before = first and self._end and self._end < first
        return f"; the first month that TLC published of it is {first:%Y-%m}" if is_before else ""

    def _span(self) -> str:
        if self._start and self._start == self._end:
            return f" of {self._start:%Y-%m}"
        since = f" from {self._start:%Y-%m}" if self._start else ""
        return since + (f" to {self._end:%Y-%m}" if self._end else "")


def _some(words: Sequence[str]) -> list[str]:
    more = len(words) - NAMED_AT_MOST
    return [*words[:NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else [])]
