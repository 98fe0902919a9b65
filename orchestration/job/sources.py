"""What each source publishes, and how much of it is landed."""

from dataclasses import dataclass

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.published import import_for_threads, published_now, side_by_side
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile, Source


@dataclass(frozen=True)
class SourceStatus:
    """One source, and the number of its items that are published, landed and stale.

    ``published`` is None if the source cannot be asked; ``error`` says why. An item is stale if its
    published version is not landed. Some sources, such as APIs, give no fingerprints of their
    items, so a change cannot be seen: their items are stale only if they were never landed.
    """

    name: str
    title: str
    kind: str
    address: str
    enabled: bool
    datasets: list[str]
    published: int | None
    landed: int
    stale: int | None
    quarantined: int
    error: str | None


def source_statuses(settings: Settings) -> list[SourceStatus]:
    """Ask every source, enabled or not, side by side: one that is silent lets no other wait."""
    catalog = Catalog(settings.lake_url)
    enabled = {publisher.source.name for publisher in settings.publishers()}
    sources = list(registry.sources().values())
    import_for_threads()
    offers = side_by_side(lambda source: _offers(settings, source), sources)
    return [
        _status(settings, catalog, source, source.name in enabled, offered)
        for source, offered in zip(sources, offers, strict=True)
    ]


def _names(source: Source) -> list[str]:
    return [dataset.name for dataset in source.datasets if not dataset.derived]


def _offers(settings: Settings, source: Source) -> list[PublishedFile] | MedallionError:
    try:
        return [file for file in published_now(settings, _names(source)) if not file.error]
    except MedallionError as exc:
        return exc


def _status(
    settings: Settings,
    catalog: Catalog,
    source: Source,
    is_enabled: bool,
    offers: list[PublishedFile] | MedallionError,
) -> SourceStatus:
    names = _names(source)
    landed = [version for version in catalog.current() if version.dataset in names]
    published: int | None = None
    stale: int | None = None
    error: str | None = None
    if isinstance(offers, MedallionError):
        error = str(offers)
    else:
        known = {version.key for version in landed}
        published = len(offers)
        stale = sum(
            offer.key not in known or (has_fingerprint(offer) and not catalog.holds(offer))
            for offer in offers
        )
    return SourceStatus(
        source.name,
        source.title,
        source.kind,
        settings.publisher(source).url,
        is_enabled,
        names,
        published,
        len(landed),
        stale,
        sum(version.dataset in names for version in catalog.quarantined()),
        error,
    )


def has_fingerprint(offer: PublishedFile) -> bool:
    """Whether the source gives something by which a change shows without a download."""
    return bool(offer.etag or offer.last_modified)
