"""What the warehouse proves about itself: the ledger, and how it compares with TLC's report."""

from dataclasses import dataclass, field
from datetime import date

from ingestion.engines import connect
from ingestion.engines.base import tables
from ingestion.errors import MedallionError
from ingestion.settings import Settings

TABLES = ("ledger", "ledger_reasons", "tlc_reconciliation")


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


def audit(settings: Settings) -> Audit:
    """Read the ledger and the reconciliation; raise ``MedallionError`` where they are not built."""
    with connect(settings, read_only=True) as session:
        if not {("marts", name) for name in TABLES} <= tables(session):
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        balances = session.query(
            "select dataset, count(*), sum(file_rows), sum(raw_rows), sum(fact_rows),"
            " sum(valid_rows), sum(invalid_rows), min(case when is_balanced then 1 else 0 end)"
            " from marts.ledger group by dataset order by dataset"
        ).rows
        reasons = session.query(
            "select invalid_reason, sum(invalid_rows) from marts.ledger_reasons"
            " group by invalid_reason order by 2 desc, 1"
        ).rows
        unbalanced = session.query(
            "select dataset, month, file_rows, raw_rows, fact_rows from marts.ledger"
            " where not is_balanced order by dataset, month"
        ).rows
        reconciliation = session.query(
            "select service, month, trips_per_day, tlc_trips_per_day, diff_pct, tolerance_pct,"
            " status, known_divergence from marts.tlc_reconciliation order by service, month"
        ).rows
    ledger = [
        Balance(row[0], *(int(n) for n in row[1:7]), bool(row[7]))  # type: ignore[call-arg, arg-type]
        for row in balances
    ]
    return Audit(
        files=sum(b.files for b in ledger),
        file_rows=sum(b.file_rows for b in ledger),
        valid_rows=sum(b.valid_rows for b in ledger),
        invalid_rows=sum(b.invalid_rows for b in ledger),
        balances=ledger,
        reasons={reason: int(rows) for reason, rows in reasons},
        unbalanced=[Unbalanced(*row) for row in unbalanced],
        reconciliation=[Reconciled(*row) for row in reconciliation],
    )
