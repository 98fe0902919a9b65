"""What the warehouse proves about itself: the ledger, and how it compares with TLC's report."""

from dataclasses import dataclass, field
from datetime import date
from itertools import groupby
from operator import itemgetter
from typing import Any

from ingestion.engines import connect
from ingestion.engines.base import tables
from ingestion.errors import MedallionError
from ingestion.settings import Settings

TABLES = ("fct_trips", "ledger", "ledger_reasons", "tlc_reconciliation")

# a row a file: dataset, month, and rows in the file, raw, in the facts, and valid ones of these
AS_BUILT = (
    "select dataset, month, file_rows, raw_rows, fact_rows, valid_rows"
    " from marts.ledger order by dataset, month"
)
# facts of no file in the ledger are as wrong as files without their facts
RECOUNTED = (
    "select coalesce(l.dataset, f.service) as dataset, coalesce(l.month, f.source_month) as month,"
    " coalesce(l.file_rows, 0), coalesce(l.raw_rows, 0),"
    " coalesce(f.fact_rows, 0), coalesce(f.valid_rows, 0)"
    " from marts.ledger as l"
    " full join (select service, source_month, count(*) as fact_rows,"
    " count(case when is_valid then 1 end) as valid_rows"
    " from marts.fct_trips group by service, source_month) as f"
    " on l.dataset = f.service and l.month = f.source_month"
    " order by 1, 2"
)


@dataclass(frozen=True)
class Reconciled:
    """One service and month beside TLC's monthly report."""

    service: str
    month: date
    trips_per_day: float
    tlc_trips_per_day: float | None
    diff_pct: float | None
    tolerance_pct: float | None
    status: str
    known_divergence: str | None


@dataclass(frozen=True)
class Unbalanced:
    """A file of which rows were lost or doubled."""

    dataset: str
    month: date
    file_rows: int
    raw_rows: int
    fact_rows: int


@dataclass(frozen=True)
class Balance:
    """The ledger of one dataset added up."""

    dataset: str
    files: int
    file_rows: int
    raw_rows: int
    fact_rows: int
    valid_rows: int
    invalid_rows: int
    is_balanced: bool


@dataclass(frozen=True)
class Audit:
    """The ledger added up, its exceptions, and the reconciliation."""

    files: int = 0
    file_rows: int = 0
    valid_rows: int = 0
    invalid_rows: int = 0
    balances: list[Balance] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    unbalanced: list[Unbalanced] = field(default_factory=list)
    reconciliation: list[Reconciled] = field(default_factory=list)

    @property
    def out_of_tolerance(self) -> list[Reconciled]:
        """Months that differ from TLC's report for no reason that the register gives."""
        return [r for r in self.reconciliation if r.status == "out_of_tolerance"]

    @property
    def largest_difference(self) -> Reconciled | None:
        """The month that differs most from TLC's report."""
        compared = [r for r in self.reconciliation if r.diff_pct is not None]
        return max(compared, key=lambda r: abs(r.diff_pct or 0), default=None)


def audit(settings: Settings, recount: bool = False) -> Audit:
    """Read the ledger and the reconciliation; raise ``MedallionError`` where they are not built.

    The ledger goes by the rows that were counted when a month was built. With ``recount`` the facts
    are counted now, all of them, so that it also shows what somebody has done to them since.
    """
    with connect(settings, read_only=True) as session:
        if not {("marts", name) for name in TABLES} <= tables(session):
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        ledger = session.query(RECOUNTED if recount else AS_BUILT).rows
        reasons = session.query(
            "select invalid_reason, sum(invalid_rows) from marts.ledger_reasons"
            " group by invalid_reason order by 2 desc, 1"
        ).rows
        reconciliation = session.query(
            "select service, month, trips_per_day, tlc_trips_per_day, diff_pct, tolerance_pct,"
            " status, known_divergence from marts.tlc_reconciliation order by service, month"
        ).rows
    balances = [
        _added_up(dataset, list(files)) for dataset, files in groupby(ledger, key=itemgetter(0))
    ]
    return Audit(
        files=sum(b.files for b in balances),
        file_rows=sum(b.file_rows for b in balances),
        valid_rows=sum(b.valid_rows for b in balances),
        invalid_rows=sum(b.invalid_rows for b in balances),
        balances=balances,
        reasons={reason: int(rows) for reason, rows in reasons},
        unbalanced=[Unbalanced(*row[:5]) for row in ledger if not _balances(row)],
        reconciliation=[Reconciled(*row) for row in reconciliation],
    )


def _added_up(dataset: str, files: list[tuple[Any, ...]]) -> Balance:
    file_rows, raw_rows, fact_rows, valid_rows = (
        sum(counts) for counts in zip(*(file[2:6] for file in files), strict=True)
    )
    return Balance(
        dataset,
        len(files),
        file_rows,
        raw_rows,
        fact_rows,
        valid_rows,
        fact_rows - valid_rows,
        all(_balances(file) for file in files),
    )


def _balances(file: tuple[Any, ...]) -> bool:
    _, _, file_rows, raw_rows, fact_rows, _ = file
    return bool(file_rows == raw_rows == fact_rows)
