"""The whole job as plain functions, without a server: land, load, transform, audit, publish."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.land import Landed, LandReport, Outcome, land
from ingestion.load import LoadReport, check_lake, load, not_landed
from ingestion.progress import Progress
from ingestion.publications.write import Published
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from orchestration.job.audit import Audit, audit
from orchestration.job.comparisons import comparison_errors, difference
from orchestration.job.last_run import recorded
from orchestration.job.missing import Missing, Stage
from orchestration.job.publish import publish
from orchestration.job.transform import TransformReport, transform


@dataclass(frozen=True)
class RunReport:
    """What each stage of one run did, and the result of the audit.

    ``published`` is None if these settings publish nothing, or if the ledger does not balance.
    """

    warehouse: str
    landed: LandReport
    loaded: LoadReport
    transformed: TransformReport
    audit: Audit
    missing: list[Missing]  # only within the datasets and months of the run
    in_place: bool
    published: Published | None
    not_landed: list[str]  # with as_of: errors for named files that the lake did not hold that day

    @property
    def new(self) -> list[Landed]:
        """Files that were landed for the first time."""
        return self.landed.of(Outcome.NEW)

    @property
    def republished(self) -> list[Landed]:
        """Files whose content the publisher changed."""
        return self.landed.of(Outcome.REPUBLISHED)

    @property
    def remarks(self) -> list[str]:
        """What is odd about landed files, one line each."""
        return [f"{f.published.name}: {remark}" for f in self.landed.files for remark in f.remarks]

    @property
    def errors(self) -> list[str]:
        """The errors of this run, one line each; empty if it is good."""
        return [
            *land_errors(self.landed),
            *self.not_landed,
            *load_errors(self.loaded),
            *missing_errors(m for m in self.missing if not self._is_told(m)),
            *ledger_errors(self.audit),
        ]

    def _is_told(self, missing: Missing) -> bool:
        """Whether a stage of this run has reported it already."""
        quarantined = {
            (f.published.dataset, f.published.month) for f in self.landed.of(Outcome.QUARANTINED)
        }
        return (
            missing.dataset,
            missing.month,
        ) in quarantined or missing.table_name in self.loaded.failed


def run(
    settings: Settings,
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
    as_of: date | None = None,
    full_refresh: bool = False,
    progress: Progress | None = None,
    drop_unknown: bool = False,
    command: str = "run",
) -> RunReport:
    """Land what is new, load it, transform what is stale, audit all and publish the marts.

    Any night can be run again. With ``as_of``, nothing is landed: a separate warehouse is built
    from what the lake held at the end of that day. ``command`` is the name of the run in the status
    and the records. ``full_refresh`` builds the named datasets and months anew, or everything if
    none is named.
    Raises ``MedallionError`` if a whole stage fails, or if the warehouse shows orphans (files
    that the lake does not know) and ``drop_unknown`` is not set; its notes are the errors of single
    files until then. Raises ``WarehouseBusyError`` while another run is active. If only single
    files fail, their errors are in the report's ``errors``, and the run goes on with the others.
    """
    if as_of:
        settings = settings.as_of(as_of)
    with recorded(settings, command, progress=progress) as this:
        if as_of and as_of > datetime.now(UTC).date():
            this.say(f"{as_of} is still to come: this run uses what is known so far")
        this.begin("land")
        known = Catalog(settings.lake_url)
        if not drop_unknown:
            check_lake(settings, known)
        landed = LandReport() if as_of else land(settings, datasets, start, end, this)
        this.figures.add_landed(landed)
        if not (known.current(as_of) or Catalog(settings.lake_url).current(as_of)):
            when = f" by {as_of}" if as_of else ""
            nothing = f"The lake {settings.lake_url} held nothing that can be loaded{when}."
            raise MedallionError(" ".join([*land_errors(landed), nothing]))
        this.errors += land_errors(landed)
        this.begin("load")
        loaded = load(settings, datasets, start, end, as_of, this, drop_unknown)
        this.figures.add_loaded(loaded)
        this.errors += load_errors(loaded)
        this.begin("transform")
        this.figures.built = transformed = transform(
            settings, full_refresh, this, datasets, start, end
        )
        this.begin("audit")
        this.figures.audit = result = audit(settings, as_of=as_of)
        this.begin("publish")
        published = None if ledger_errors(result) else publish(settings, result, command, this)
        this.figures.publication = published
        report = RunReport(
            engine_for(settings).label,
            landed,
            loaded,
            transformed,
            result,
            missing=in_scope(result.missing, datasets, start, end),
            in_place=settings.raw == "in_place",
            published=published,
            # without as_of, landing has reported these already
            not_landed=not_landed(settings, datasets, start, end, as_of) if as_of else [],
        )
        this.errors[:] = report.errors
        return report


def in_scope(
    missing: Iterable[Missing],
    datasets: Sequence[str] = (),
    start: date | None = None,
    end: date | None = None,
) -> list[Missing]:
    """The missing files within the datasets and months of a run, and all reference files."""

    def is_asked_for(dataset: str, month: date | None) -> bool:
        return month is None or (
            (not datasets or dataset in datasets)
            and (start is None or month >= start)
            and (end is None or month <= end)
        )

    return [m for m in missing if is_asked_for(m.dataset, m.month)]


def land_errors(report: LandReport) -> list[str]:
    """Errors of sources, and of files that could not be landed or trusted, one line each."""
    faulty = report.of(Outcome.QUARANTINED, Outcome.FAILED)
    return [*report.not_asked, *(f"{f.published.name} {f.outcome}: {f.error}" for f in faulty)]


def load_errors(report: LoadReport) -> list[str]:
    """Errors of versions that could not be loaded, one line each."""
    return [f"{table} could not be loaded: {error}" for table, error in report.failed.items()]


def ledger_errors(result: Audit) -> list[str]:
    """Errors of the ledger, one line each: orphans, changed raw tables, unbalanced files."""
    changed = {c.table_name for c in result.raw_changed}
    return [
        *([result.unknown] if result.unknown else []),
        *(
            f"raw.{c.table_name} holds {c.rows:,} rows, and {c.loaded_rows:,} were loaded: somebody"
            " has changed the table; drop it, and medallion run loads it again from the lake"
            for c in result.raw_changed
        ),
        *(
            f"{u.name} does not balance: {u.file_rows:,} rows in the file,"
            f" {u.raw_rows:,} in raw"
            f"{'' if u.fact_rows is None else f', {u.fact_rows:,} in the facts'};"
            " medallion transform --full-refresh builds it anew"
            for u in result.unbalanced
            # if only raw differs, it is reported above
            if not u.file_rows == u.fact_rows != u.raw_rows and u.table_name not in changed
        ),
    ]


def missing_errors(missing: Iterable[Missing]) -> list[str]:
    """Errors of files whose newest version is not in the facts, one line each."""
    next_steps: dict[Stage, str] = {
        "land": "if the publisher corrects the file, medallion land fetches it again",
        "load": "medallion load tries it again",
        "transform": "medallion transform builds it",
    }

    def error(m: Missing) -> str:
        if m.still_in_use:
            return (
                f"{m.name}: version {m.file_id[:8]} is still in use, and was {m.reason};"
                f" medallion {'run' if m.stage == 'load' else 'transform'} makes the marts follow"
            )
        return (
            f"{m.name}: the newest version, {m.file_id[:8]}, is not in use"
            f"{', an older one is' if m.older_in_use else ''}: {m.reason}; {next_steps[m.stage]}"
        )

    return [error(m) for m in missing]


def passed_over_lines(missing: Iterable[Missing]) -> list[str]:
    """The files whose newest version an operator has withdrawn or forgotten, one line each."""
    return [
        f"{m.name}: {'an older version is' if m.older_in_use else 'no version is'} in use:"
        f" {m.file_id[:8]} was {m.reason}"
        for m in missing
    ]


def reconciliation_errors(result: Audit) -> list[str]:
    """Errors of figures out of tolerance and not in the register, one line each."""
    return [
        f"{r.service} {r.month:%Y-%m} {difference(r.diff_pct, r.tolerance_pct, r.known_divergence)}"
        for r in result.out_of_tolerance
    ] + comparison_errors(result.comparisons)
