"""What the sources publish now, of the datasets and months that are asked for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import date
from importlib import import_module
from typing import TypeVar

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import Store
from ingestion.progress import Progress
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import DOCUMENT, PublishedFile, Publisher
from ingestion.sources.kinds import kind_of
from ingestion.words import counted_are

Asked = TypeVar("Asked")
Said = TypeVar("Said")

GONE_NAMED = 3  # documents of a dataset that are named where they are not published any more


def published_now(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
) -> list[PublishedFile]:
    """The published files of the datasets and months, and the expected ones that are missing.

    A missing file has the reason in its ``error``. Without ``datasets``, gives the files of all
    enabled sources. Raises ``MedallionError`` where a source cannot be asked, has none of them, or
    no file any more.
    """
    found, errors = published_by_source(settings, datasets, start, end, progress)
    for error in errors:
        raise error
    return found


def published_by_source(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
    progress: Progress | None = None,
) -> tuple[list[PublishedFile], list[MedallionError]]:
    """What ``published_now`` gives, of the sources that can be asked; and each other's error.

    Raises ``MedallionError`` if no source can be asked, and ``UsageError`` for a wrong setting of
    any source.
    """
    named = list(dict.fromkeys(datasets))
    publishers = settings.publishers(named)

    def ask(publisher: Publisher) -> list[PublishedFile] | MedallionError:
        theirs = [name for name in named if registry.source_of(name) == publisher.source]
        try:
            return _published_by(settings, publisher, theirs, start, end, progress)
        except UsageError:
            raise
        except MedallionError as exc:
            return exc if len(publishers) == 1 else _of_source(publisher, exc)

    if sum(publisher.folder is None for publisher in publishers) > 1:
        import_for_threads()
    answers = side_by_side(ask, publishers)
    found = [file for answer in answers if isinstance(answer, list) for file in answer]
    errors = [answer for answer in answers if isinstance(answer, MedallionError)]
    if errors and len(errors) == len(publishers):
        *others, last = errors
        for other in others:
            last.add_note(str(other))
        raise last
    return found, errors


def import_for_threads() -> None:
    """Import what asks a server: two threads that begin with other modules of dlt would be stuck.

    It takes half a second, which folders do not need.
    """
    import_module("dlt.sources.helpers.requests")


def side_by_side(ask: Callable[[Asked], Said], of: Sequence[Asked]) -> list[Said]:
    """What ``ask`` gives of each, in their order: one that is silent lets no other wait."""
    if len(of) < 2:
        return [ask(one) for one in of]
    with ThreadPoolExecutor(len(of), thread_name_prefix="ask") as pool:
        # a thread knows whose log its lines belong to by the context
        asked = [pool.submit(copy_context().run, ask, one) for one in of]
        return [each.result() for each in asked]


def _of_source(publisher: Publisher, exc: MedallionError) -> MedallionError:
    """The error, which begins with the source's name."""
    name = publisher.source.name
    return exc if str(exc).startswith(f"{name}:") else type(exc)(f"{name}: {exc}")


def _published_by(
    settings: Settings,
    publisher: Publisher,
    datasets: Sequence[str],
    start: date | None,
    end: date | None,
    progress: Progress | None,
) -> list[PublishedFile]:
    def gave_months(url: str) -> bool:
        return any(
            landing.month and landing.source_url.startswith(f"{url}/")
            for landing in Catalog(Store(settings.lake_url)).landings
        )

    kind = kind_of(publisher)
    offered = kind.discover(publisher, datasets, start, end, progress, gave_months)
    if progress and any(file.file_format == DOCUMENT for file in offered):
        for line in _gone(settings, offered):
            progress.say(line)
    return offered


def _gone(settings: Settings, offered: Sequence[PublishedFile]) -> Iterator[str]:
    """A line for each dataset with documents in use that its source does not have any more."""
    there = {file.key for file in offered}
    held = [v for v in Catalog(Store(settings.lake_url)).current() if not v.columns]
    for dataset in dict.fromkeys(file.dataset for file in offered):
        names = [v.item or "" for v in held if v.dataset == dataset and v.key not in there]
        if names:
            more = f" and {len(names) - GONE_NAMED:,} more" if len(names) > GONE_NAMED else ""
            yield (
                f"{dataset}: {counted_are(len(names), 'document')} not published any more, and"
                f" still in use: {', '.join(map(repr, names[:GONE_NAMED]))}{more}. To take one out"
                f" of use: medallion withdraw {dataset} --item NAME"
            )
