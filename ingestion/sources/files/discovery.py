"""The files that a run should land: those published, and those expected but missing, with a reason.

A missing file must not pass silently. So a file that is named and is not published has an
``error``; so has a file that looks like a month and is not read. Unless named, these are not
reported: datasets that a publisher does not have, and months that are not due yet.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

from ingestion.errors import MedallionError, UsageError
from ingestion.progress import Progress, Quiet
from ingestion.sources.base import Dataset, PublishedFile, Publisher
from ingestion.sources.files.lookalikes import Lookalike, lookalikes, strange_tables
from ingestion.sources.files.publisher import (
    is_overdue,
    listed_months,
    months_between,
    published_files,
)
from ingestion.words import on_one_line

NAMED_AT_MOST = 5


def discover(
    publisher: Publisher,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
    gave_months: Callable[[str], bool] = lambda _url: False,
) -> list[PublishedFile]:
    """The files of ``published_files``, and with an ``error`` those expected but not published.

    ``gave_months`` tells whether months of an address were landed before.

    Expected are: a named dataset; each due month from ``start`` to ``end`` of a dataset that is
    named or has other months there; and a file in a folder that looks like a month. Raises
    ``MedallionError`` where a folder holds nothing, or no month any more, and as
    ``published_files`` does.
    """
    progress = progress or Quiet()
    of = {d.name: d for d in publisher.source.datasets}
    named = [of[name] for name in dict.fromkeys(of[name].published_with for name in datasets)]
    monthly = [d for d in named if d.monthly] or ([] if named else list(publisher.source.monthly))
    folder = publisher.folder
    held: dict[str, list[date]] = {}
    unread: list[Lookalike] = []
    try:
        if folder is not None:
            has_given = partial(gave_months, publisher.url)
            held, unread = _look_into(publisher, folder, monthly, bool(named), progress, has_given)
        found = published_files(publisher, [d.name for d in named], start, end)
    except OSError as exc:
        raise MedallionError(
            f"{exc.filename or folder} cannot be read: {exc.strerror}. Let this account read it;"
            f" it is below what {publisher.source.url_variable} names."
        ) from exc
    scope = _Scope(publisher, named, monthly, start, end)
    missing = _unread(scope, unread, held, progress)
    missing += scope.missing(found, {(f.dataset, f.month) for f in missing}, progress)
    return found + missing


def _look_into(
    publisher: Publisher,
    folder: Path,
    monthly: Sequence[Dataset],
    are_named: bool,
    progress: Progress,
    gave_months: Callable[[], bool],
) -> tuple[dict[str, list[date]], list[Lookalike]]:
    """The months of each dataset in a folder, and lookalikes; raises where there is no month."""
    if not folder.is_dir():
        gone = f"{publisher.source.url_variable}: there is no folder {folder}"
        if gave_months():
            raise MedallionError(f"{gone}, and months were landed from there. Is it mounted?")
        raise UsageError(f"{gone}.")
    source = publisher.source
    held = {d.name: [m for m, _ in listed_months(folder, d)] for d in source.monthly}
    unread = lookalikes(source, folder)
    strange = _some([on_one_line(str(path)) for path in strange_tables(source, folder)])
    if not monthly or any(held.values()):
        if monthly and strange:
            progress.say(f"not read, for no month is called so: {', '.join(strange)}")
        return held, unread
    within = monthly[0].folder
    if (folder / within).is_dir():
        why = f"no month is in {folder / within}"
    else:
        why = f"there is no {within}/ in {folder}: months are looked for there"
        if folder.name == within:
            why += "; name the folder above it"
    others = [d.path for d in source.datasets if not d.monthly]
    if any((folder / path).is_file() for path in others) and not (
        are_named or unread or strange or gave_months()
    ):
        progress.say(why)  # a folder of reference files that never had a month
        return held, unread
    words = [like.words for like in unread if like.dataset.monthly]
    if strange:
        words.append(f"months are called {monthly[0].path}, and not {', '.join(strange)}")
    raise MedallionError(
        ". ".join([f"Nothing is published at {publisher.url}: {why}", *_some(words)])
        + ". If it is a share, is it mounted?"
    )


def _unread(
    scope: "_Scope",
    unread: Sequence[Lookalike],
    held: dict[str, list[date]],
    progress: Progress,
) -> list[PublishedFile]:
    """The lookalikes of months that no other file gives; the others are only reported."""
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
    """The datasets and months of a run, and the missing files among them."""

    def __init__(
        self,
        publisher: Publisher,
        named: Sequence[Dataset],
        monthly: Sequence[Dataset],
        start: date | None,
        end: date | None,
    ):
        self._publisher, self._named, self._monthly = publisher, named, monthly
        self._start, self._end = start, end

    def has(self, dataset: Dataset, month: date | None) -> bool:
        """Whether a file is in scope; if its month is unknown, only where no month is named."""
        if not dataset.monthly:
            # the dataset may have its own address
            url = self._publisher.address(dataset)
            is_named = not self._named or dataset in self._named
            return is_named and url.startswith(f"{self._publisher.url}/")
        if month is None:
            return dataset in self._monthly and not (self._start or self._end)
        return (
            dataset in self._monthly
            and (self._start is None or month >= self._start)
            and (self._end is None or month <= self._end)
        )

    def absent(self, dataset: Dataset, month: date | None, error: str) -> PublishedFile:
        """A missing file, with the address where it would be."""
        if dataset.monthly and month is None:
            url = self._where(dataset)
        elif month:
            formats = dataset.formats(month)
            url = self._publisher.address(
                dataset, dataset.file_path(month, formats[0] if formats else None)
            )
        else:
            url = self._publisher.address(dataset)
        return PublishedFile(
            dataset.name,
            month,
            url,
            *(None, None, None),
            error=error,
            is_missing=True,
            file_format=dataset.format_of(url),
        )

    def _where(self, dataset: Dataset) -> str:
        """The address of the folder of a dataset's months."""
        return f"{self._publisher.url}/{dataset.folder}".rstrip("/")

    def missing(
        self,
        found: Iterable[PublishedFile],
        told: set[tuple[str, date | None]],
        progress: Progress,
    ) -> list[PublishedFile]:
        """The expected files that are missing, except those reported already."""
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
                if month > max(months) and not is_overdue(self._publisher.source, month):
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
                f"Nothing is published at {self._publisher.url}{self._span()}. Are the months"
                f" right, and is {self._publisher.source.url_variable}?"
            )
        return missing

    def _expected(self, dataset: Dataset, months: set[date]) -> Sequence[date]:
        """The months that should exist, as other months of the dataset do."""
        if not self._start or not months:
            return ()
        # a source may withdraw months that it had only as CSV; an archive still has them
        first = max(self._start, min(filter(None, [dataset.first_month, *months])))
        return months_between(first, self._end or max(months))

    def _nothing_of(self, dataset: Dataset) -> PublishedFile:
        if not dataset.monthly:
            absent = self.absent(dataset, None, "")
            return self.absent(dataset, None, f"it is not published: nothing is at {absent.url}.")
        if self._start and self._start == self._end:
            return self._no_month(dataset, self._start)
        error = f"nothing of it is published at {self._where(dataset)}{self._span()}"
        return self.absent(dataset, None, f"{error}{self._first(dataset)}.")

    def _no_month(self, dataset: Dataset, month: date) -> PublishedFile:
        absent = self.absent(dataset, month, "")
        error = f"it is not published: there is no {absent.url}{self._first(dataset)}."
        return self.absent(dataset, month, error)

    def _first(self, dataset: Dataset) -> str:
        first = dataset.first_edition
        is_before = first and self._end and self._end < first
        if not is_before:
            return ""
        title = self._publisher.source.title
        return f"; the first month that {title} published of it is {first:%Y-%m}"

    def _span(self) -> str:
        if self._start and self._start == self._end:
            return f" of {self._start:%Y-%m}"
        since = f" from {self._start:%Y-%m}" if self._start else ""
        return since + (f" to {self._end:%Y-%m}" if self._end else "")


def _some(words: Sequence[str]) -> list[str]:
    more = len(words) - NAMED_AT_MOST
    return [*words[:NAMED_AT_MOST], *([f"and {more} more"] if more > 0 else [])]
