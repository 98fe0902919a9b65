"""What the pages show: results of queries, and the months, versions and run that they come from."""

from datetime import date
from functools import cached_property
from typing import Any

from ingestion.publications.read import PublishedDuckDb
from ingestion.warehouse.base import Engine, Result, Session, tables
from orchestration.job.verdict import Verdict, verdict_of
from orchestration.site import charts, trust
from orchestration.site.figures import query


class Contents:
    """What one site is made of, as it is read from an open session."""

    def __init__(self, engine: Engine, session: Session):
        self.engine = engine
        self.session = session
        self._results: dict[str, Result] = {}

    def ask(self, name: str, *parameters: Any) -> Result:
        """The result of a query of the site; one without parameters is asked once."""
        if parameters:
            return self.session.query(query(name), parameters)
        if name not in self._results:
            self._results[name] = self.session.query(query(name))
        return self._results[name]

    @cached_property
    def services(self) -> list[str]:
        """The services that are held, in the order of the theme."""
        held = {row["service"] for row in self.ask("trips_by_month").records()}
        known = list(charts.theme()["services"])
        return [s for s in known if s in held] + sorted(held - set(known))

    @cached_property
    def verdict(self) -> Verdict:
        """The sums of the ledger, and whether the numbers can be trusted."""
        return verdict_of(
            self.ask("ledger").records(),
            self.ask("ledger_single_files").records(),
            [row["status"] for row in self.ask("reconciliation").records()],
        )

    @cached_property
    def source(self) -> dict[str, str]:
        """What is read, and the run that made it."""
        last = next((b for b in self.builds if b["succeeded"]), None)
        if isinstance(self.engine, PublishedDuckDb):
            label = f"publication {self.engine.publication.id}"
        else:
            label = "the warehouse"  # its address is nobody's business
        run = (
            f"Run {str(last['invocation_id'])[:8]}, {trust.moment(last['completed_at'])}"
            if last
            else "The run is not known to this account"
        )
        return {"label": label, "run": run}

    @cached_property
    def builds(self) -> list[dict[str, Any]]:
        """The last runs of dbt; none where this account may not see them."""
        return self.ask("builds").records() if self.has("dbt_invocations") else []

    def told(self, name: str) -> dict[str, str]:
        """What a figure that is no picture says of its months, versions, run and query."""
        return {"from": self.from_line(None), "sql": query(name)}

    def has(self, name: str) -> bool:
        """Whether this account sees a table of this name."""
        return name in {table for _, table in tables(self.session)}

    def from_line(self, result: Result | None) -> str:
        """From which months, versions and run the rows of a figure come."""
        ledger = [row for row in self.ask("ledger").records() if row["fact_rows"]]
        if result is not None:
            records = result.records()
            services = {row[n] for row in records for n in ("service", "dataset") if row.get(n)}
            months = {m for row in records for m in [row.get("month")] if isinstance(m, date)}
            if services:
                ledger = [row for row in ledger if row["dataset"] in services]
            if months:
                ledger = [row for row in ledger if row["month"] in months]
        if not ledger:
            return f"No month of the facts. {self.source['run']}."
        held = [row["month"] for row in ledger]
        span = (
            f"Months {min(held):%Y-%m} to {max(held):%Y-%m}"
            if min(held) < max(held)
            else f"Month {held[0]:%Y-%m}"
        )
        versions = "1 file version" if len(ledger) == 1 else f"{len(ledger)} file versions"
        return f"{span}, {versions}. {self.source['run']}."
