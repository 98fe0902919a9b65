"""Whether the numbers can be trusted: the ledger and the comparisons in a few words."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingestion.words import counted_are

# what a comparison with a report can be where both sides and a tolerance are known
ASSESSED = ("reconciled", "known_divergence", "out_of_tolerance")


@dataclass(frozen=True)
class Verdict:
    """The sums of the ledger's months, and how many of them have each status beside the report.

    Months of which no version is in use are in no sum and no balance: they are only ``missing``.
    ``missing`` are the files whose newest version is not in use; ``first`` and ``last`` are months
    as 2024-01, or "none".
    """

    files: int
    file_rows: int
    valid_rows: int
    invalid_rows: int
    is_balanced: bool
    missing: int
    first: str
    last: str
    statuses: Mapping[str, int]

    @property
    def outside(self) -> int:
        """The months out of tolerance whose difference is not in the register."""
        return self.statuses.get("out_of_tolerance", 0)

    @property
    def assessed(self) -> int:
        """The months that could be compared: the report has them, and a tolerance is known."""
        return sum(self.statuses.get(status, 0) for status in ASSESSED)

    @property
    def words(self) -> str:
        """The verdict in one to four sentences."""
        balance = (
            "Every row of every file is in the facts."
            if self.is_balanced
            else "The ledger does not balance: do not use these numbers."
        )
        them = "it is" if self.missing == 1 else "they are"
        named = f" {counted_are(self.missing, 'file')} missing; {them} named below."
        missing = named if self.missing else ""
        if not self.assessed:
            return f"{balance}{missing} No month could be compared with a report."
        beside = (
            f"{self.outside} of {self.assessed} months differ from the city's own report by more"
            " than the tolerance."
            if self.outside
            else f"All {self.assessed} months that could be compared with the city's own report"
            " are within the tolerance, or their difference is known."
        )
        if self.assessed == 1:
            beside = (
                "The month that could be compared with the city's own report differs from it by"
                " more than the tolerance."
                if self.outside
                else "The month that could be compared with the city's own report is within the"
                " tolerance, or its difference is known."
            )
        others = sum(self.statuses.values()) - self.assessed
        apart = f" {others} could not be compared." if others else ""
        return f"{balance}{missing} {beside}{apart}"


def held(ledger: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The lines of the site's ledger queries that have a balance: those with rows to be used.

    A file of which no version is in use has none; that it is missing is told apart.
    """
    return [row for row in ledger if not row["is_absent"]]


def verdict_of(
    ledger: Iterable[Mapping[str, Any]],
    single_files: Iterable[Mapping[str, Any]],
    statuses: Iterable[str],
) -> Verdict:
    """The verdict of rows of the site's queries ``ledger`` and ``ledger_single_files``.

    ``statuses`` are those of the same months in ``marts.tlc_reconciliation``.
    """
    lines, single_lines = list(ledger), list(single_files)
    rows, single = held(lines), held(single_lines)
    months = sorted(row["month"] for row in rows)
    return Verdict(
        files=len(rows),
        file_rows=sum(row["file_rows"] or 0 for row in rows),
        valid_rows=sum(row["valid_rows"] or 0 for row in rows),
        invalid_rows=sum(row["invalid_rows"] or 0 for row in rows),
        is_balanced=all(row["is_balanced"] for row in [*rows, *single]),
        missing=sum(bool(row["missing_reason"]) for row in [*lines, *single_lines]),
        first=f"{months[0]:%Y-%m}" if months else "none",
        last=f"{months[-1]:%Y-%m}" if months else "none",
        statuses=Counter(statuses),
    )
