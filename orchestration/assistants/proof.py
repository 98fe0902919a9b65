"""What an answer rests on: what was read, the run, the versions of the months, the verdict."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from itertools import groupby
from typing import Any

from pydantic import BaseModel, Field

from ingestion.sources.base import name_of
from ingestion.warehouse.base import Session, tables
from orchestration.assistants.values import short
from orchestration.job.verdict import held, verdict_of
from orchestration.site.figures import query
from orchestration.site.trust import moment

MOST_VERSIONS = 12  # of each dataset; `trust` tells all
MOST_EXCEPTIONS = 20
REASON_CHARACTERS = 240
NEEDED = ("ledger", "ledger_single_files", "tlc_reconciliation")
# what is compared with a report: the query, what to call it, and the mart that it needs
COMPARED = (
    ("reconciliation", "trips a day beside the monthly report", "tlc_reconciliation"),
    ("base_reconciliation", "trips beside the report by base", "base_reconciliation_monthly"),
    ("report_measures", "measures beside the monthly report", "report_measures"),
)


@dataclass(frozen=True)
class Scope:
    """The datasets and months that an answer rests on; None: all that are held.

    It may name more than the answer rests on, never less.
    """

    datasets: frozenset[str] | None = None
    start: date | None = None
    end: date | None = None

    def holds(self, dataset: str, month: date) -> bool:
        """Whether a month of a dataset is part of it."""
        return (
            (self.datasets is None or dataset in self.datasets)
            and (self.start is None or month >= self.start)
            and (self.end is None or month <= self.end)
        )

    @property
    def words(self) -> str:
        """The datasets and months in a few words."""
        if self == Scope():
            return "every month that is loaded"
        named = ", ".join(sorted(self.datasets)) if self.datasets else "every dataset"
        if self.start and self.end and f"{self.start:%Y-%m}" == f"{self.end:%Y-%m}":
            return f"{named} {self.start:%Y-%m}"
        first = f" from {self.start:%Y-%m}" if self.start else ""
        last = f" to {self.end:%Y-%m}" if self.end else ""
        return f"{named}{first}{last}"


class DatasetMonths(BaseModel):
    """The months of one dataset that an answer rests on."""

    dataset: str
    first_month: str
    last_month: str
    files: int
    file_rows: int
    valid_rows: int | None
    versions: dict[str, str] = Field(
        description="The file version in use by month, newest month first: the first 8 digits of"
        " its sha256"
    )
    versions_left_out: int = Field(description="How many more there are; `trust` tells all")


class Proof(BaseModel):
    """What an answer rests on. Say it with the answer; name the exceptions of its months."""

    source: str = Field(description="What was read: the warehouse, or a publication and its age")
    run: str | None = Field(description="The run that built it; null if this account may not see")
    covers: str = Field(description="Which months the lines below are about")
    verdict: str
    ledger_balances: bool = Field(description="No row of these files was lost or doubled")
    months: list[DatasetMonths]
    exceptions: list[str] = Field(
        description="Months that are missing, out of tolerance, or differ for a known reason"
    )
    exceptions_left_out: int = 0


@dataclass(frozen=True)
class Books:
    """The rows of the ledger and of the comparisons that belong to a scope."""

    ledger: list[dict[str, Any]]
    single_files: list[dict[str, Any]]
    compared: dict[str, list[dict[str, Any]]]  # by the name of the query


def read_books(session: Session, scope: Scope) -> Books | None:
    """The ledger and the comparisons of these months; None where the marts are not built."""
    there = {name for schema, name in tables(session) if schema == "marts"}
    if not set(NEEDED) <= there:
        return None
    return Books(
        [
            row
            for row in session.query(query("ledger")).records()
            if scope.holds(row["dataset"], row["month"])
        ],
        session.query(query("ledger_single_files")).records(),
        {
            name: [
                row
                for row in session.query(query(name)).records()
                if scope.holds(row["service"], row["month"])
            ]
            for name, _, mart in COMPARED
            if mart in there
        },
    )


def proof_of(
    session: Session, source: str, scope: Scope, books: Books | None, run_command: str
) -> Proof:
    """The proof of an answer that rests on these months."""
    run = _last_run(session)
    if books is None:
        no_ledger = f"There is no ledger yet, so nothing is proved. Build it with: {run_command}"
        return unproved(source, no_ledger, run)
    statuses = [row["status"] for row in books.compared["reconciliation"]]
    verdict = verdict_of(books.ledger, books.single_files, statuses)
    exceptions = [*_ledger_exceptions(books), *_compared_exceptions(books)]
    return Proof(
        source=source,
        run=run,
        covers=scope.words,
        verdict=verdict.words,
        ledger_balances=verdict.is_balanced,
        months=list(_months(books.ledger)),
        exceptions=exceptions[:MOST_EXCEPTIONS],
        exceptions_left_out=max(0, len(exceptions) - MOST_EXCEPTIONS),
    )


def unproved(source: str, reason: str, run: str | None = None) -> Proof:
    """The proof of an answer where there is no ledger, and why."""
    return Proof(
        source=source,
        run=run,
        covers="nothing",
        verdict=reason,
        ledger_balances=False,
        months=[],
        exceptions=[],
    )


def _last_run(session: Session) -> str | None:
    if ("intermediate", "dbt_invocations") not in tables(session):
        return None
    good = (b for b in session.query(query("builds")).records() if b["succeeded"])
    last = next(good, None)
    if last is None:
        return None
    return f"run {str(last['invocation_id'])[:8]} of {moment(last['completed_at'])}"


def _months(ledger: Iterable[Mapping[str, Any]]) -> Iterable[DatasetMonths]:
    for dataset, rows in groupby(held(ledger), key=lambda row: row["dataset"]):
        own = sorted(rows, key=lambda row: row["month"], reverse=True)
        valid = [row["valid_rows"] for row in own if row["valid_rows"] is not None]
        yield DatasetMonths(
            dataset=dataset,
            first_month=f"{own[-1]['month']:%Y-%m}",
            last_month=f"{own[0]['month']:%Y-%m}",
            files=len(own),
            file_rows=sum(row["file_rows"] or 0 for row in own),
            valid_rows=sum(valid) if valid else None,
            versions={
                f"{row['month']:%Y-%m}": str(row["file_id"])[:8] for row in own[:MOST_VERSIONS]
            },
            versions_left_out=max(0, len(own) - MOST_VERSIONS),
        )


def _ledger_exceptions(books: Books) -> Iterable[str]:
    for row in [*books.ledger, *books.single_files]:
        name = name_of(row["dataset"], row.get("month"))
        if not row["is_absent"] and not row["is_balanced"]:
            yield f"{name} does not balance: rows were lost or doubled"
        if row["missing_reason"]:
            yield f"{name} is missing: {row['missing_reason']}"


def _compared_exceptions(books: Books) -> Iterable[str]:
    """One line for all months of a service that differ for one reason."""
    for name, words, _ in COMPARED:
        grouped: dict[tuple[str, ...], list[date]] = {}
        for row in books.compared.get(name, ()):
            if row["status"] in ("known_divergence", "out_of_tolerance"):
                reason = row["known_divergence"] or ""
                key = (row["status"], row["service"], row.get("measure") or "", reason)
                grouped.setdefault(key, []).append(row["month"])
        # what nobody can explain comes first
        for (status, service, measure, reason), months in sorted(grouped.items(), reverse=True):
            first, last = min(months), max(months)
            span = f"{first:%Y-%m}" + (f" to {last:%Y-%m}" if last > first else "")
            number = f" ({len(months)} months)" if len(months) > 1 else ""
            of_measure = f", {measure.replace('_', ' ')}" if measure else ""
            known = f": {short(reason, REASON_CHARACTERS)}" if reason else ""
            what = status.replace("_", " ") + known
            yield f"{service} {span}{number}, {words}{of_measure}: {what}"
