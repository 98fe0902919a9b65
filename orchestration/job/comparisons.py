"""Read the further comparisons with the publisher's reports, besides the trips per day."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date

from ingestion.warehouse.base import Session

BASES, MONTHS, MEASURES = "base_reconciliation", "base_reconciliation_monthly", "report_measures"
NAMED = 10  # of the figures out of tolerance
VERDICT = "diff_pct, tolerance_pct, status, known_divergence"


@dataclass(frozen=True)
class Compared:
    """A figure of a service and month, compared with the publisher's.

    ``measure`` is its name in the register and the tolerances. ``base_number`` is None if the
    figure is about all bases.
    """

    measure: str
    service: str
    month: date
    base_number: str | None
    figure: float | None
    tlc_figure: float | None
    diff_pct: float | None
    tolerance_pct: float | None
    status: str
    known_divergence: str | None


@dataclass(frozen=True)
class Comparisons:
    """The comparisons with the report by base, and of measures of the monthly report.

    Single bases are listed only if they are out of tolerance. ``bases`` counts all, by status.
    """

    bases_by_month: list[Compared] = field(default_factory=list)
    bases: dict[str, int] = field(default_factory=dict)
    bases_out_of_tolerance: list[Compared] = field(default_factory=list)
    measures: list[Compared] = field(default_factory=list)

    @property
    def out_of_tolerance(self) -> list[Compared]:
        """Figures out of tolerance whose difference is not explained in the register."""
        compared = self.bases_by_month + self.bases_out_of_tolerance + self.measures
        return [c for c in compared if c.status == "out_of_tolerance"]


def read_comparisons(session: Session, there: set[tuple[str, str]]) -> Comparisons:
    """Read the comparisons; empty for a warehouse that an earlier release built."""
    if not {("marts", name) for name in (BASES, MONTHS, MEASURES)} <= there:
        return Comparisons()

    def compared(columns: str, source: str) -> list[Compared]:
        rows = session.query(f"select {columns}, {VERDICT} from marts.{source}").rows
        return [Compared(*row) for row in rows]

    trips = "service, month, {}, trips, tlc_trips"
    return Comparisons(
        bases_by_month=compared(
            "'trips_of_all_bases', " + trips.format("null"), f"{MONTHS} order by service, month"
        ),
        bases=dict(
            session.query(f"select status, count(*) from marts.{BASES} group by 1 order by 1").rows
        ),
        bases_out_of_tolerance=compared(
            "'trips_by_base', " + trips.format("base_number"),
            f"{BASES} where status = 'out_of_tolerance' order by service, month, base_number",
        ),
        measures=compared(
            "measure, service, month, null, figure, tlc_figure",
            f"{MEASURES} order by service, month, measure",
        ),
    )


def comparison_errors(comparisons: Comparisons) -> list[str]:
    """Errors of figures out of tolerance and not in the register, one line each."""
    return [
        f"{c.service} {c.month:%Y-%m} ({_named(c)})"
        f" {difference(c.diff_pct, c.tolerance_pct, c.known_divergence)}"
        for c in comparisons.out_of_tolerance
    ]


def _named(compared: Compared) -> str:
    if compared.base_number is not None:
        return f"trips of {compared.base_number}"
    return compared.measure.replace("_", " ")


def difference(
    diff_pct: float | None, tolerance_pct: float | None, known_divergence: str | None
) -> str:
    """By how much a figure differs, and which limit that exceeds."""
    tolerance = "no tolerance" if tolerance_pct is None else f"tolerance {tolerance_pct:g} %"
    register = "not in the register" if known_divergence is None else "outside the register's band"
    return (
        f"differs from the publisher's report by {diff_pct:+.2f} % ({tolerance}) and is {register}"
    )


def _counted(statuses: dict[str, int]) -> str:
    """Counts by status as one text."""
    return ", ".join(f"{n:,} {status.replace('_', ' ')}" for status, n in statuses.items())


def summary(comparisons: Comparisons) -> list[str]:
    """Lines for people: counts by status, and what is out of tolerance.

    A report that is not loaded has no lines.
    """
    lines = []
    if comparisons.bases_by_month:
        months = _counted(Counter(c.status for c in comparisons.bases_by_month))
        lines.append(
            f"Published report by base: months {months}; bases {_counted(comparisons.bases)}."
        )
    if comparisons.measures:
        measures = _counted(Counter(c.status for c in comparisons.measures))
        lines.append(f"Published minutes, card shares and shared trips: {measures}.")
    errors = comparison_errors(comparisons)
    lines += errors[:NAMED]
    if len(errors) > NAMED:
        lines.append(f"and {len(errors) - NAMED} more, in marts.{BASES}")
    return lines
