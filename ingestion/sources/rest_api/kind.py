"""The kind ``rest_api``, as land knows it.

An API has no list of months and no etags. So every item in scope is asked for whole, and an
unchanged answer gives the same bytes. Publishers revise: a run asks again for the last months.
"""

from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path

from ingestion.errors import FetchError
from ingestion.progress import Progress, Quiet
from ingestion.sources.base import Dataset, Fetched, PublishedFile, Publisher
from ingestion.sources.files.publisher import is_overdue
from ingestion.sources.months import asked_months
from ingestion.sources.rest_api import config
from ingestion.sources.spool import download_at, part_path


def discover(
    publisher: Publisher,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
    gave_months: Callable[[str], bool] = lambda _url: False,  # noqa: ARG001  of every kind
) -> list[PublishedFile]:
    """The items to ask for; nothing is asked yet.

    A dataset by month has the months from ``start`` to ``end``; without ``start``, its last months
    up to ``end`` or the present one. A named dataset without a month there has an ``error``. Raises
    ``UsageError`` where the variable of a secret is not set.
    """
    of = {d.name: d for d in publisher.source.datasets}
    named = list(dict.fromkeys(datasets))
    found = []
    for dataset in [of[name] for name in named] or of.values():
        config.secrets(publisher, dataset)
        months: list[date | None] = [None]
        if dataset.monthly:
            months = [*asked_months(dataset, start, end)]
        found += [_item(publisher, dataset, month) for month in months]
        if not months:
            error = f"it has none of these months: its first is {dataset.first_month:%Y-%m}"
            if named:
                found.append(_no_month(publisher, dataset, f"{error}, and its last this one."))
            else:
                (progress or Quiet()).say(f"{dataset.name}: {error}")
    return found


def _item(publisher: Publisher, dataset: Dataset, month: date | None) -> PublishedFile:
    url = config.address(publisher, dataset, month)
    return PublishedFile(
        dataset.name, month, url, *(None, None, None), file_format=dataset.file_format
    )


def _no_month(publisher: Publisher, dataset: Dataset, error: str) -> PublishedFile:
    return PublishedFile(
        dataset.name,
        None,
        publisher.url,
        *(None, None, None),
        error=error,
        is_missing=True,
        file_format=dataset.file_format,
    )


def fetch(
    publisher: Publisher,
    file: PublishedFile,
    spool: Path,
    on_bytes: Callable[[int], None] = lambda _: None,
) -> Fetched | None:
    """Ask for all rows of an item, and write them as sorted JSON lines, in bounded memory.

    Returns none for a month without rows, while it is not overdue. Raises ``FetchError`` for every
    error of the API.
    """
    from ingestion.sources.rest_api import ask, exact_json  # dlt is slow to import

    dataset = next(d for d in publisher.source.datasets if d.name == file.dataset)
    part = part_path(file, spool)
    rows = ask.rows(publisher, dataset, file, on_bytes)
    if not exact_json.write_sorted(exact_json.lines(rows), part):
        part.unlink()
        if file.month and not is_overdue(publisher.source, file.month):
            return None
        since = f", {publisher.source.overdue_days} days after its end" if file.month else ""
        raise FetchError(
            f"{file.name}: {file.url} has no rows{since}. Check endpoint in source.toml; if that is"
            " right, ask the publisher."
        )
    return download_at(part)
