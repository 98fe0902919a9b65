"""What the warehouse proves about itself: the ledger, and how it compares with TLC's report."""

from dataclasses import dataclass, field, replace
from datetime import date
from itertools import groupby
from operator import attrgetter
from typing import Any

from ingestion.catalog import file_key
from ingestion.engines import connect
from ingestion.engines.base import tables
from ingestion.errors import MedallionError
from ingestion.settings import Settings

TABLES = ("fct_trips", "ledger", "ledger_reasons", "tlc_reconciliation")

AS_BUILT = (
    "select dataset, month, file_id, file_rows, raw_rows, fact_rows, valid_rows from marts.ledger"
)
FACTS_NOW = (
    "select service, source_month, file_key, count(*), count(case when is_valid then 1 end)"
    " from marts.fct_trips group by service, source_month, file_key"
)
# what the ledger should speak of; an account that may only read the marts is shown none
IN_USE = (
    "select dataset, month, file_id, row_count from raw.files"
    " where is_current and month is not null"
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
class File:
    """One file version in use: its rows, those in raw, in the facts, and valid ones of these."""

    dataset: str
    month: date
    file_id: str
    file_rows: int
    raw_rows: int
    fact_rows: int
    valid_rows: int

    @property
    def file_key(self) -> int:
        """What its facts are known by."""
        return file_key(self.file_id)

    @property
    def is_balanced(self) -> bool:
        """Whether no row was lost or doubled."""
        return self.file_rows == self.raw_rows == self.fact_rows


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
        there = tables(session)
        if not {("marts", name) for name in TABLES} <= there:
            raise MedallionError(
                f"The marts are not built yet. Build them with: {settings.run_command}"
            )
        ledger = [File(*row) for row in session.query(AS_BUILT).rows]
        if recount:
            ledger = _recounted(ledger, session.query(FACTS_NOW).rows)
        if ("raw", "files") in there:
            ledger += _forgotten(ledger, session.query(IN_USE).rows)
        reasons = session.query(
            "select invalid_reason, sum(invalid_rows) from marts.ledger_reasons"
            " group by invalid_reason order by 2 desc, 1"
        ).rows
        reconciliation = session.query(
            "select service, month, trips_per_day, tlc_trips_per_day, diff_pct, tolerance_pct,"
            " status, known_divergence from marts.tlc_reconciliation order by service, month"
        ).rows
    ledger.sort(key=lambda file: (file.dataset, file.month))
    balances = [
        _added_up(dataset, list(files))
        for dataset, files in groupby(ledger, key=attrgetter("dataset"))
    ]
    return Audit(
        files=sum(b.files for b in balances),
        file_rows=sum(b.file_rows for b in balances),
        valid_rows=sum(b.valid_rows for b in balances),
        invalid_rows=sum(b.invalid_rows for b in balances),
        balances=balances,
        reasons={reason: int(rows) for reason, rows in reasons},
        unbalanced=[
            Unbalanced(f.dataset, f.month, f.file_rows, f.raw_rows, f.fact_rows)
            for f in ledger
            if not f.is_balanced
        ],
        reconciliation=[Reconciled(*row) for row in reconciliation],
    )


def _recounted(ledger: list[File], facts: list[tuple[Any, ...]]) -> list[File]:
    """The ledger with the facts of each file as they are now, and facts of no file in it."""
    counted = {(service, month, key): (rows, valid) for service, month, key, rows, valid in facts}
    files = []
    for file in ledger:
        rows, valid = counted.pop((file.dataset, file.month, file.file_key), (0, 0))
        files.append(replace(file, fact_rows=rows, valid_rows=valid))
    return files + [
        File(service, month, "", 0, 0, rows, valid)
        for (service, month, _), (rows, valid) in counted.items()
    ]


def _forgotten(ledger: list[File], in_use: list[tuple[Any, ...]]) -> list[File]:
    """Files that are loaded and shown, and of which the ledger says nothing."""
    known = {file.file_id for file in ledger}
    return [
        File(dataset, month, file_id, rows, rows, 0, 0)
        for dataset, month, file_id, rows in in_use
        if file_id not in known
    ]


def _added_up(dataset: str, files: list[File]) -> Balance:
    return Balance(
        dataset,
        files=len(files),
        file_rows=sum(f.file_rows for f in files),
        raw_rows=sum(f.raw_rows for f in files),
        fact_rows=sum(f.fact_rows for f in files),
        valid_rows=sum(f.valid_rows for f in files),
        invalid_rows=sum(f.fact_rows - f.valid_rows for f in files),
        is_balanced=all(f.is_balanced for f in files),
    )
