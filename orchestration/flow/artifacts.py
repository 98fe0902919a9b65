"""The Prefect artifacts of a run: summary, ledger, reconciliation and dbt's results."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from prefect.artifacts import (
    acreate_link_artifact,
    acreate_markdown_artifact,
    acreate_table_artifact,
)

from orchestration.job.audit import Audit
from orchestration.job.transform import Node

MONTHS_SHOWN = 60
FILES_NAMED = 8


async def summary(title: str, lines: Sequence[str], errors: Sequence[str]) -> None:
    """Write the summary: what was new, what was done and what went wrong."""
    text = [f"# {title}", *(f"- {line}" for line in lines)]
    if errors:
        text += ["", "## What went wrong", *(f"- {error}" for error in dict.fromkeys(errors))]
        text += ["", "docs/operations.md, Alerts, says what each means, and what to do."]
    await acreate_markdown_artifact("\n".join(text), key="summary", description="What a run did")


def listed(files: Sequence[str]) -> str:
    """The names of the files; if there are many, each dataset's months and their number."""
    if len(files) <= FILES_NAMED:
        return ", ".join(files) or "nothing"
    months: dict[str, list[str]] = {}
    for dataset, _, month in (file.partition(" ") for file in files):
        months.setdefault(dataset, []).append(month)
    return ", ".join(
        f"{dataset} {min(of)} to {max(of)} ({len(of)} months)"
        if len(of) > 1
        else f"{dataset} {of[0]}".rstrip()
        for dataset, of in months.items()
    )


def _spoken(value: object) -> object:
    """A number with thousands separators; any other value unchanged."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return f"{value:,.0f}"


async def audited(result: Audit) -> None:
    """Write the ledger, a row a dataset, and the reconciliation by month, the newest first."""
    await acreate_table_artifact(
        [
            {name: _spoken(value) for name, value in asdict(balance).items()}
            for balance in result.balances
        ],
        key="ledger",
        description="file rows = raw rows = fact rows, or the run fails",
    )
    await acreate_table_artifact(
        [
            {name: _spoken(value) for name, value in asdict(single).items() if name != "file_id"}
            for single in result.single_files
        ],
        key="ledger-single-files",
        description="Files without a month: file rows = raw rows, or the run fails",
    )
    newest = sorted(result.reconciliation, key=lambda r: (r.month, r.service), reverse=True)
    await acreate_table_artifact(
        [
            {
                "service": r.service,
                "month": f"{r.month:%Y-%m}",
                "status": r.status.replace("_", " "),
                "trips a day": _spoken(r.trips_per_day),
                "published": _spoken(r.tlc_trips_per_day),
                "diff %": r.diff_pct if r.diff_pct is None else f"{r.diff_pct:+.2f}",
                "tolerance %": r.tolerance_pct,
            }
            for r in newest[:MONTHS_SHOWN]
        ],
        key="reconciliation",
        description="Our totals beside the publisher's monthly report",
    )


async def site(address: str) -> None:
    """Link to the site that was made."""
    await acreate_link_artifact(
        address, link_text="The site", key="site", description="Trips, zones, money and trust"
    )


async def dbt_results(nodes: Sequence[Node]) -> None:
    """Write every model and test, failed ones first, with the rows that a test found."""

    def row(node: Node) -> dict[str, Any]:
        return {
            # narrow columns first: the page cuts off what does not fit
            "status": node.status,
            "seconds": f"{node.seconds:.2f}",
            "rows found": _spoken(node.failures),
            "kind": node.kind,
            "what": node.name,
            "message": node.message[:300],
        }

    good = ("success", "pass")
    run = (n for n in nodes if n.kind != "exposure")
    ordered = sorted(run, key=lambda n: (n.status in good, -n.seconds))
    await acreate_table_artifact(
        [row(n) for n in ordered], key="dbt-results", description="Models and tests of the build"
    )
