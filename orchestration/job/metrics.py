"""The metrics of the last run, as an OpenMetrics text file.

node_exporter's textfile collector can read this file, and so can any scraper of Prometheus' own
format. So there are only gauges, which both formats write alike, and no timestamps of samples.
"""

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.land import Outcome
from ingestion.settings import Settings
from ingestion.sources.files.publisher import next_month
from ingestion.warehouse import engine_for
from orchestration.job.audit import Audit
from orchestration.job.figures import Figures
from orchestration.job.under_way import Run

if TYPE_CHECKING:
    from prometheus_client.metrics_core import GaugeMetricFamily

PREFIX = "medallion_"
READABLE = 0o644  # whatever the umask: the collector runs as another user
Labelled = dict[str, float]
# A first run may have hundreds of files, and each label is a series: the slowest are enough.
FILES = 50


class Gauge(NamedTuple):
    """One metric. ``value`` is one number, or a number for each value of ``label``.

    With two labels, the keys are pairs. A metric without a value is left out.
    """

    name: str
    text: str
    value: float | Labelled | dict[tuple[str, str], float] | None
    label: str = ""
    second_label: str = ""


def write_metrics(settings: Settings, run: Run, good_at: datetime | None) -> None:
    """Replace the file by the metrics of this run; warn if that fails.

    ``good_at`` is when the last good run on this warehouse ended. A run on a variant of the
    warehouse, such as the sample's, writes nothing: the file is about the real warehouse.
    """
    if settings.variant:
        return
    path = settings.metrics_file
    partial = path.with_name(f"{path.name}.partial")  # the collector reads only *.prom
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(_text(settings, run, good_at))
        partial.chmod(READABLE)
        partial.replace(path)
    except OSError as exc:
        run.say(f"warning: cannot write the metrics to {path}: {exc.strerror}")


def _text(settings: Settings, run: Run, good_at: datetime | None) -> bytes:
    from prometheus_client.metrics_core import GaugeMetricFamily
    from prometheus_client.openmetrics.exposition import generate_latest
    from prometheus_client.registry import Collector, CollectorRegistry

    gauges = [*_of_run(run, good_at), *_of_stages(run.figures)]
    if result := run.figures.audit:
        gauges += [*_of_ledger(result), *_of_stores(settings, run.figures, result)]

    # two warehouses on one machine have two files, and the collector reads both
    warehouse = engine_for(settings).label.removeprefix("the warehouse ")

    class Collected(Collector):
        def collect(self) -> Iterator["GaugeMetricFamily"]:
            for gauge in gauges:
                if gauge.value is None:
                    continue
                labels = ["warehouse", *filter(None, gauge[3:])]
                family = GaugeMetricFamily(PREFIX + gauge.name, gauge.text, None, labels)
                if isinstance(gauge.value, dict):
                    for key, value in gauge.value.items():
                        keys = (key,) if isinstance(key, str) else key
                        family.add_metric([warehouse, *keys], value)
                else:
                    family.add_metric([warehouse], gauge.value)
                yield family

    registry = CollectorRegistry()
    registry.register(Collected())
    text: bytes = generate_latest(registry)  # type: ignore[no-untyped-call]
    return text


def _of_run(run: Run, good_at: datetime | None) -> Iterator[Gauge]:
    now = datetime.now(UTC).timestamp()
    good = good_at.timestamp() if good_at else None
    yield Gauge("run_success", "Whether the last run was good: 1 or 0.", float(not run.errors))
    yield Gauge("run_errors", "Errors of the last run.", len(run.errors))
    yield Gauge("run_start_timestamp_seconds", "When it began.", run.since.timestamp())
    yield Gauge("run_end_timestamp_seconds", "When it ended.", now)
    yield Gauge("last_good_run_timestamp_seconds", "When the last good run ended.", good)
    stages = dict(run.seconds)
    yield Gauge("run_stage_duration_seconds", "Seconds of each stage.", stages, "stage")


def _of_stages(figures: Figures) -> Iterator[Gauge]:
    if figures.outcomes is not None:
        outcomes: Labelled = {outcome.value: figures.outcomes[outcome] for outcome in Outcome}
        yield Gauge("run_published_files", "Published files by outcome.", outcomes, "outcome")
    files = {
        (stage, name): taken
        for stage, seconds in figures.file_seconds.items()
        for name, taken in sorted(seconds.items(), key=lambda item: -item[1])[:FILES]
    }
    about = f"Seconds of each file, for the {FILES} slowest of a stage."
    yield Gauge("run_file_duration_seconds", about, files, "stage", "file")
    yield Gauge("run_landed_bytes", "Bytes of new and re-published files.", figures.landed_bytes)
    yield Gauge("run_loaded_files", "File versions loaded.", figures.loaded_files)
    yield Gauge("run_loaded_rows", "Rows of the file versions loaded.", figures.loaded_rows)
    yield Gauge("run_loaded_bytes", "Bytes of the file versions loaded.", figures.loaded_bytes)
    yield Gauge("run_not_loaded_files", "File versions that failed to load.", figures.not_loaded)
    if built := figures.built:
        yield Gauge("run_built_models", "Models built.", built.models)
        yield Gauge("run_tests", "Tests of dbt run.", built.tests)
        yield Gauge("run_test_warnings", "Tests of dbt that warned.", len(built.warnings))


def _of_ledger(result: Audit) -> Iterator[Gauge]:
    rows: Labelled = {"valid": result.valid_rows, "flagged": result.invalid_rows}
    missing, unbalanced = len(result.missing), len(result.unbalanced)
    unknown, differing = float(result.unknown is not None), len(result.out_of_tolerance)
    yield Gauge("ledger_files", "Files of the ledger that have a month.", result.files)
    yield Gauge("ledger_rows", "Rows of these files.", rows, "validity")
    yield Gauge("missing_files", "Files whose newest version is not in the marts.", missing)
    yield Gauge("unbalanced_files", "Files that lost rows, or have rows twice.", unbalanced)
    yield Gauge("has_unknown_files", "Whether the marts show files that the lake lacks.", unknown)
    yield Gauge("differing_months", "Months with an unexplained difference.", differing)


def _of_stores(settings: Settings, figures: Figures, result: Audit) -> Iterator[Gauge]:
    """What the lake and the warehouse hold; a store that no longer answers is left out."""
    sizes: Labelled = {}
    with suppress(MedallionError):
        catalog = Catalog(settings.lake_url)
        sizes["lake"] = sum(version.bytes for version in catalog.versions())
        behind = {(m.dataset, m.month) for m in result.missing if not m.older_in_use}
        newest: dict[str, date] = {}
        for version in catalog.current():
            if version.month and (version.dataset, version.month) not in behind:
                newest[version.dataset] = max(
                    version.month, newest.get(version.dataset, version.month)
                )
        ends: Labelled = {name: _end_of(month).timestamp() for name, month in newest.items()}
        lags: Labelled = {
            name: max((_end_of(month) - _end_of(newest[name])).days, 0)
            for name, month in figures.newest_published.items()
            if name in newest
        }
        yield Gauge(
            "newest_month_end_timestamp_seconds",
            "The end of the newest month in the warehouse.",
            ends,
            "dataset",
        )
        yield Gauge(
            "publisher_lag_days",
            "Days from there to the end of the newest month that is published.",
            lags,
            "dataset",
        )
    with suppress(MedallionError, OSError):
        sizes["warehouse"] = engine_for(settings).disk_bytes()
    if figures.publication:
        sizes["publications"] = figures.publication.stored_bytes
        seen = figures.publication.publication.created_at.timestamp()
        yield Gauge("publication_timestamp_seconds", "When what readers see was published.", seen)
    yield Gauge("size_bytes", "All versions in the lake, and bytes on disk.", sizes, "of")


def _end_of(month: date) -> datetime:
    return datetime.combine(next_month(month), datetime.min.time(), UTC)
