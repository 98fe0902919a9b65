"""Which stage every file has reached."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from ingestion.errors import MedallionError, errors_of
from ingestion.lake.catalog import Catalog, FileVersion, file_key
from ingestion.lake.file_version import PASSED_OVER, Key
from ingestion.publications.read import current as current_publication
from ingestion.published import published_by_source
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import PublishedFile
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import files_are_there, tables
from ingestion.warehouse.files_table import orphan_error
from orchestration.job.last_run import last_recorded
from orchestration.job.reading import reading
from orchestration.job.reread import reread_months
from orchestration.job.sources import has_fingerprint
from orchestration.job.under_way import RunUnderWay, run_under_way


@dataclass(frozen=True)
class FileStatus:
    """One published or landed file, and the stages that it has reached."""

    dataset: str
    month: date | None
    published: bool | None  # None if the publisher was not or could not be asked
    # the published fingerprint is not the one landed last; false if the source has no fingerprints
    changed: bool
    versions: int
    loaded: bool
    built: bool
    quarantined: str | None
    item: str | None = None  # the name of one of several files of a dataset
    # if an operator has withdrawn or forgotten the newest version: who, when and why
    withdrawn: str | None = None
    # false if that holds for every version: loaded and built then mean that the warehouse still
    # has one of them
    wanted: bool = True
    reread: bool = False  # it is read in another way since it was built

    @property
    def stale(self) -> str | None:
        """The first stage that has work to do for this file; None if there is none."""
        if self.published and (self.changed or not self.versions):
            return "land"
        if not self.wanted:
            return "load" if self.loaded else "transform" if self.built else None
        if self.quarantined and not self.loaded:
            return None
        if self.versions and not self.loaded:
            return "load"
        if self.loaded and self.month and (self.reread or not self.built):
            return "transform"
        return None


@dataclass(frozen=True)
class Seen:
    """The publication that readers see.

    After a rollback, ``restores`` is the publication that it published again, and ``hides`` the one
    that it took out of sight.
    """

    id: str
    made_at: datetime
    restores: str | None
    hides: str | None


@dataclass(frozen=True)
class Status:
    """Every file, the last run, the run under way, and what readers see.

    The last run is a run of the whole job that this machine recorded, or a run of dbt alone.
    ``publication`` is None if nothing was published; ``publication_error`` says why it is unknown.
    """

    files: list[FileStatus]
    unreachable: str | None
    missing: list[str]  # expected files that are not published, one line each
    unknown: str | None  # the error for orphans: versions in use that the lake does not know
    last_run: dict[str, Any] | None
    run_under_way: RunUnderWay | None
    publication: Seen | None = None
    publication_error: str | None = None


def status(
    settings: Settings,
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    as_of: date | None = None,
    say: Callable[[str], object] = lambda _: None,
) -> Status:
    """Compare publisher, lake and warehouse: one HEAD request a published file and three queries.

    Without ``start``, a server is only asked for the newest months of each dataset. ``as_of`` shows
    the lake as it was at the end of that day. The publisher is then not asked: it only knows the
    present.

    While a run is under way, the publication is read in place of the warehouse; ``say`` is then
    called with the name of the publication.
    """
    under_way = run_under_way(settings)
    unreachable: str | None = None
    published: list[PublishedFile] = []
    missing: list[str] = []
    try:
        if not as_of:
            offers, errors = published_by_source(settings, datasets, start, end)
            unreachable = " ".join(map(str, errors)) or None
            published = [offer for offer in offers if not offer.is_missing]
            missing = [f"{offer.name}: {offer.error}" for offer in offers if offer.is_missing]
    except MedallionError as exc:
        unreachable = " ".join(errors_of(exc))
    catalog = Catalog(settings.lake_url)
    warehouse = _warehouse(settings, catalog, say)
    if as_of:
        catalog = catalog.as_of(as_of)
    last_run = max(
        filter(None, [warehouse.last_run, last_recorded(settings)]),
        key=lambda run: run["completed_at"],
        default=None,
    )
    current = {v.key: v for v in catalog.current()}
    passed_over: dict[Key, list[FileVersion]] = defaultdict(list)
    for version in catalog.passed_over():
        passed_over[version.key].append(version)
    offered = {p.key: p for p in published}
    asked_from = _asked_from(settings, published, start)
    keys = dict.fromkeys([*offered, *(v.key for v in catalog.versions())])
    if not (unreachable or as_of):
        keys |= dict.fromkeys((name, None, None) for name in _single_files(settings, datasets))
    files = []
    for key in sorted(keys, key=lambda k: (k[0], k[1] or date.min, k[2] or "")):
        dataset, month, item = key
        wanted = current.get(key)
        if (datasets and dataset not in datasets) or (
            month and ((start and month < start) or (end and month > end))
        ):
            continue
        offer = offered.get(key)
        is_asked = not (unreachable or as_of or registry.datasets()[dataset].derived) and (
            month is None or month >= asked_from.get(dataset, date.max)
        )
        newest = catalog.newest(*key)
        distrust = newest.error if newest and newest.status == "quarantined" else None
        if wanted and not distrust:
            distrust = warehouse.unreadable.get(wanted.table_name)
        over = passed_over.get(key, [])
        using = [wanted] if wanted else over
        files.append(
            FileStatus(
                dataset,
                month,
                published=key in offered if is_asked else None,
                changed=offer is not None and has_fingerprint(offer) and not catalog.holds(offer),
                versions=sum(v.key == key for v in catalog.versions()),
                # a document is held by the lake alone
                loaded=any(v.table_name in warehouse.loaded for v in using)
                or (wanted is not None and not wanted.columns),
                built=any((dataset, month, v.file_key) in warehouse.built for v in using),
                quarantined=distrust,
                item=item,
                # medallion history shows the decisions on older versions
                withdrawn=newest.error if newest and newest.status in PASSED_OVER else None,
                wanted=wanted is not None or not over,
                reread=wanted is not None and (dataset, month, wanted.file_key) in warehouse.reread,
            )
        )
    seen, error = _seen(settings)
    return Status(files, unreachable, missing, warehouse.unknown, last_run, under_way, seen, error)


def _seen(settings: Settings) -> tuple[Seen | None, str | None]:
    """The publication that readers see, or why it cannot be read."""
    try:
        found = current_publication(settings)
    except MedallionError as exc:
        return None, str(exc)
    if found is None or found.origin.warehouse != engine_for(settings).label:
        return None, None
    return Seen(found.id, found.created_at, found.restores, found.hides), None


def _single_files(settings: Settings, datasets: Sequence[str]) -> list[str]:
    """The datasets of one file, whether their source has it or not."""
    return [
        dataset.name
        for publisher in settings.publishers(datasets)
        if publisher.source.kind == "files"
        for dataset in publisher.source.datasets
        if not (dataset.monthly or dataset.has_items or dataset.derived)
    ]


def _asked_from(
    settings: Settings, published: Sequence[PublishedFile], start: date | None
) -> dict[str, date]:
    """The first month for which the publisher was asked, by dataset."""
    months = sorted((p.dataset, p.month) for p in published if p.month)
    asked = dict(reversed(months))  # keeps the oldest month that is offered
    for publisher in settings.publishers(list(registry.datasets())):
        if start or publisher.folder:
            asked |= dict.fromkeys((d.name for d in publisher.source.datasets), start or date.min)
    return asked


@dataclass(frozen=True)
class _Warehouse:
    """What a warehouse, or a publication of it, shows."""

    loaded: set[str] = field(default_factory=set)  # the tables in use
    unreadable: dict[str, str] = field(default_factory=dict)  # errors of tables in quarantine
    built: set[tuple[str, date | None, int]] = field(default_factory=set)  # with their file_key
    last_run: dict[str, Any] | None = None  # of dbt
    unknown: str | None = None
    reread: set[tuple[str, date, int]] = field(default_factory=set)


def _warehouse(settings: Settings, catalog: Catalog, say: Callable[[str], object]) -> _Warehouse:
    if not engine_for(settings).exists():
        return _Warehouse()
    loaded: set[str] = set()
    unreadable: dict[str, str] = {}
    built: set[tuple[str, date | None, int]] = set()
    last_run = None
    with reading(settings, say=say) as (engine, session):
        there = tables(session)
        unknown = None
        if files_are_there(session):
            unknown = orphan_error(session, catalog, engine.label)
            rows = session.query("select table_name from raw.files where is_current").rows
            loaded = {name for (name,) in rows} & engine.loaded_tables(session)
            unreadable = dict(
                session.query(
                    "select table_name, error from raw.files where status = 'quarantined'"
                ).rows
            )
        if ("intermediate", "month_builds") in there:
            built = set(
                session.query(
                    "select service, source_month, file_key from intermediate.month_builds"
                    " where table_name = 'marts.fct_trips' and source_month is not null"
                ).rows
            )
            last = session.query(
                "select command, completed_at, succeeded from intermediate.dbt_invocations"
                " order by completed_at desc limit 1"
            )
            last_run = next((run | {"by": "dbt", "error": None} for run in last.records()), None)
        # a file is built if its counted rows balance, and those of its facts if it has facts
        counted = (
            "select dataset, month, file_id, fact_rows is not null from marts.ledger"
            " where is_balanced"
        )
        balanced = session.query(counted).rows if ("marts", "ledger") in there else []
        built = {
            version
            for dataset, month, file_id, has_facts in balanced
            for version in [(dataset, month, file_key(file_id))]
            if version in built or not has_facts
        }
        reread = reread_months(session)
    return _Warehouse(loaded, unreadable, built, last_run, unknown, reread)
