"""Read the ledger and the reconciliation, which show that the warehouse is complete."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.settings import Settings
from ingestion.warehouse.base import Session, tables
from ingestion.warehouse.files_table import orphan_error
from orchestration.job.comparisons import Comparisons, read_comparisons
from orchestration.job.ledger import (
    Balance,
    RawChanged,
    SingleFile,
    Unbalanced,
    added_up,
    changed_raw_tables,
    file_of,
    identity_of,
    in_use,
    not_in_ledger,
    raw_rows_now,
    recounted,
    single_file_of,
    with_raw_rows,
)
from orchestration.job.missing import Missing, find_missing
from orchestration.job.reading import reading
from orchestration.job.reread import reread_months

TABLES = ("fct_trips", "ledger", "ledger_reasons", "tlc_reconciliation")

SINGLE_FILES = "select * from marts.ledger_single_files order by dataset, table_name"
FACTS_NOW = (
    "select service, source_month, file_key, count(*), count(case when is_valid then 1 end)"
    " from marts.fct_trips group by service, source_month, file_key"
)
MONTHS_BUILT = (
    "select service, source_month, file_key from intermediate.month_builds"
    " where table_name = 'marts.fct_trips' and source_month is not null"
)
LAST_BUILD = "select succeeded from intermediate.dbt_invocations order by completed_at desc limit 1"


@dataclass(frozen=True)
class Reconciled:
    """One service and month compared with the publisher's monthly report."""

    service: str
    month: date
    trips_per_day: float
    tlc_trips_per_day: float | None
    diff_pct: float | None
    tolerance_pct: float | None
    status: str
    known_divergence: str | None


@dataclass(frozen=True)
class Audit:
    """The sums of the ledger, its exceptions, and the reconciliation.

    The sums are over files that have a month. ``single_files`` are the files that have none.
    """

    files: int = 0
    file_rows: int = 0
    valid_rows: int = 0
    invalid_rows: int = 0
    balances: list[Balance] = field(default_factory=list)
    single_files: list[SingleFile] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    unbalanced: list[Unbalanced] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    passed_over: list[Missing] = field(default_factory=list)  # by an operator's decision: no error
    raw_changed: list[RawChanged] = field(default_factory=list)
    unknown: str | None = None  # the error for orphans: versions in use that the lake does not know
    reread: int = 0  # months that are read in another way since they were built
    reconciliation: list[Reconciled] = field(default_factory=list)
    comparisons: Comparisons = field(default_factory=Comparisons)

    @property
    def out_of_tolerance(self) -> list[Reconciled]:
        """Months out of tolerance whose difference is not explained in the register."""
        return [r for r in self.reconciliation if r.status == "out_of_tolerance"]

    @property
    def largest_difference(self) -> Reconciled | None:
        """The month that differs most from the publisher's report."""
        compared = [r for r in self.reconciliation if r.diff_pct is not None]
        return max(compared, key=lambda r: abs(r.diff_pct or 0), default=None)


def audit(
    settings: Settings,
    recount: bool = False,
    as_of: date | None = None,
    live: bool = True,
    say: Callable[[str], object] = lambda _: None,
) -> Audit:
    """Read the ledger and the reconciliation; raise ``MedallionError`` if they are not built.

    The ledger uses the rows that were counted when a month was loaded and built. ``recount`` counts
    all raw tables and facts again, and so also finds later changes to them.

    A version is missing if the lake's catalog knows it (with ``as_of``: knew it then) and the facts
    do not hold it, unless an operator has withdrawn it. A withdrawn version that is still in the
    facts is also reported as missing. A version is an orphan if the warehouse shows it and the
    catalog does not know it.

    Without ``live``, the publication is read while a run is under way; ``say`` is then called with
    its name.
    """
    whole = Catalog(settings.lake_url)
    catalog = whole.as_of(as_of) if as_of else whole
    with reading(settings, live, say=say) as (engine, session):
        there = tables(session)
        if not {("marts", name) for name in TABLES} <= there:
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        # a month without a version in use is reported as missing instead
        ledger = [
            file_of(row)
            for row in session.query("select * from marts.ledger").records()
            if row.get("missing_file_id") != row["file_id"] or row["raw_rows"] or row["fact_rows"]
        ]
        # a warehouse of an earlier release lacks this table
        has_singles = ("marts", "ledger_single_files") in there
        lines = session.query(SINGLE_FILES).records() if has_singles else []
        singles = [
            single_file_of(row, row["raw_rows"])
            for row in lines
            if row["missing_file_id"] != row["file_id"] or row["raw_rows"]
        ]
        if recount:
            ledger = recounted(ledger, session.query(FACTS_NOW).rows)
        # an account that may only read the marts cannot see these tables
        files = (
            {identity_of(row): row for row in session.query("select * from raw.files").records()}
            if ("raw", "files") in there
            else None
        )
        built = (
            _built(session)
            if {("intermediate", "month_builds"), ("intermediate", "dbt_invocations")} <= there
            else None
        )
        missing = find_missing(catalog, ledger, singles, files, built)
        unknown, raw_changed = None, []
        if files is not None:
            ledger += not_in_ledger(ledger, [m.identity for m in missing], files)
            singles = in_use(singles, files)
            unknown = orphan_error(session, whole, engine.label)
            if recount:
                counted = raw_rows_now(session, engine.dialect, files)
                ledger = [with_raw_rows(file, counted) for file in ledger]
                by_table = {files[identity]["table_name"]: n for identity, n in counted.items()}
                singles = [
                    single_file_of(vars(s), by_table.get(s.table_name, s.raw_rows)) for s in singles
                ]
                raw_changed = changed_raw_tables(files, counted)
        reasons = session.query(
            "select invalid_reason, sum(invalid_rows) from marts.ledger_reasons"
            " group by invalid_reason order by 2 desc, 1"
        ).rows
        reconciliation = session.query(
            "select service, month, trips_per_day, tlc_trips_per_day, diff_pct, tolerance_pct,"
            " status, known_divergence from marts.tlc_reconciliation order by service, month"
        ).rows
        comparisons = read_comparisons(session, there)
        reread = len(reread_months(session))
    to_build = {(m.dataset, m.month) for m in missing if m.stage == "transform"}
    ledger.sort(key=lambda file: (file.dataset, file.month))
    balances = [
        added_up(dataset, list(files))
        for dataset, files in groupby(ledger, key=attrgetter("dataset"))
    ]
    return Audit(
        files=sum(b.files for b in balances),
        file_rows=sum(b.file_rows for b in balances),
        valid_rows=sum(b.valid_rows or 0 for b in balances),
        invalid_rows=sum(b.invalid_rows or 0 for b in balances),
        balances=balances,
        single_files=singles,
        reasons={reason: int(rows) for reason, rows in reasons},
        unbalanced=[
            Unbalanced(f.dataset, f.month, f.file_rows, f.raw_rows, f.fact_rows)
            for f in ledger
            if not f.is_balanced and (f.dataset, f.month) not in to_build
        ]
        + [
            Unbalanced(s.dataset, None, s.file_rows, s.raw_rows, None, s.table_name)
            for s in singles
            if not s.is_balanced
        ],
        missing=[m for m in missing if m.stage != "decided"],
        passed_over=[m for m in missing if m.stage == "decided"],
        raw_changed=raw_changed,
        unknown=unknown,
        reread=reread,
        reconciliation=[Reconciled(*row) for row in reconciliation],
        comparisons=comparisons,
    )


def _built(session: Session) -> set[tuple[Any, ...]]:
    """Service, month and file_key of what is built.

    Empty if the last run of dbt failed: it is then not known which of them are good.
    """
    if session.query(LAST_BUILD).rows == [(False,)]:
        return set()
    return set(session.query(MONTHS_BUILT).rows)
