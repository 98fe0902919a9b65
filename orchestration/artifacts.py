"""What a run leaves to look at: its summary, the ledger, the reconciliation, dbt's results."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)

from ingestion.settings import PROJECT_ROOT
from orchestration.audit import Audit
from orchestration.transform import Node

DOCS = PROJECT_ROOT / "docs"
MONTHS_SHOWN = 60


async def summary(title: str, lines: Sequence[str], faults: Sequence[str]) -> None:
    """What was new, what was done and what went wrong."""
    text = [f"# {title}", *(f"- {line}" for line in lines)]
    if faults:
        text += ["", "## What went wrong", *(f"- {fault}" for fault in faults)]
    await acreate_markdown_artifact("\n".join(text), key="summary", description="What a run did")
    await acreate_link_artifact(
        (DOCS / "operations.md").as_uri(),
        key="docs",
        link_text="What each alert means, and what to do",
    )


async def audited(result: Audit) -> None:
    """The ledger, a line a dataset, and TLC's report beside our months, the newest first."""
    await acreate_table_artifact(
        [asdict(balance) for balance in result.balances],
        key="ledger",
        description="file rows = raw rows = fact rows, or the run fails",
    )
    newest = sorted(result.reconciliation, key=lambda r: (r.month, r.service), reverse=True)
    await acreate_table_artifact(
        [
            {
                "service": r.service,
                "month": f"{r.month:%Y-%m}",
                "trips a day": r.trips_per_day,
                "TLC's": r.tlc_trips_per_day,
                "diff %": r.diff_pct,
                "tolerance %": r.tolerance_pct,
                "status": r.status.replace("_", " "),
            }
            for r in newest[:MONTHS_SHOWN]
        ],
        key="reconciliation",
        description="Our totals beside TLC's monthly report",
    )


async def dbt_results(nodes: Sequence[Node]) -> None:
    """Every model and test, those that failed first with the rows that they found."""

    def row(node: Node) -> dict[str, Any]:
        return {
            "status": node.status,
            "what": node.name,
            "kind": node.kind,
            "rows found": node.failures,
            "seconds": round(node.seconds, 2),
            "message": node.message[:300],
        }

    good = ("success", "pass")
    ordered = sorted(nodes, key=lambda n: (n.status in good, -n.seconds))
    await acreate_table_artifact(
        [row(n) for n in ordered], key="dbt-results", description="Models and tests of the build"
    )
