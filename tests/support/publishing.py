"""Ask what the source of the trips publishes, with a test's settings."""

from collections.abc import Iterable
from datetime import date

from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile, Publisher
from ingestion.sources.files import publisher


def publisher_of(settings: Settings) -> Publisher:
    """The publisher of the trips, at the address in the settings."""
    return settings.publisher(registry.source_of("green"))


def published_files(
    settings: Settings,
    datasets: Iterable[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> list[PublishedFile]:
    return publisher.published_files(publisher_of(settings), datasets, start, end)


def asked_again(file: PublishedFile) -> PublishedFile:
    return publisher.asked_again(file, registry.datasets()[file.dataset])
