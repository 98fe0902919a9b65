"""The closing summary of a run: what was new, whether the ledger balances, what to look at next.

On a terminal of 80 columns and 24 lines it fits: a long list says how many more there are, and
which command shows them.
"""

from collections.abc import Sequence
from pathlib import Path

from ingestion.words import counted
from orchestration.cli.console import listed, print_lines, stdout
from orchestration.job.comparisons import summary as comparison_lines
from orchestration.job.pipeline import RunReport, passed_over_lines

SAMPLE = "invented; only the zone numbers and the airports are real"
LINES = 2  # of each list of sentences


def print_run(report: RunReport, flags: str, site: Path | None, is_new_site: bool) -> None:
    """Print the summary of a run that was given these options.

    ``site`` is the page to open; None if there is no site.
    """
    result = report.audit
    verdict = "balances" if not result.unbalanced else f"{len(result.unbalanced)} DO NOT BALANCE"
    status, audit = _command("status --all", flags), _command("audit", flags)
    reasons = [f"{reason} {count:,}" for reason, count in result.reasons.items()]
    missing = [m.name for m in report.missing]
    rows = [
        *([("sample", SAMPLE)] if "--sample" in flags else []),
        ("new", _counted([f.published.name for f in report.new], status)),
        ("re-published", _counted([f.published.name for f in report.republished], status)),
        *_lines("odd", report.remarks, status),
        (
            "read in place" if report.in_place else "loaded",
            f"{counted(len(report.loaded.loaded), 'version')},"
            f" {counted(report.loaded.rows, 'row')}",
        ),
        ("rows", f"{result.file_rows:,} in {result.files} files, {result.valid_rows:,} valid"),
        (
            "flagged",
            ": ".join(filter(None, [f"{result.invalid_rows:,}", listed(reasons, audit)])),
        ),
        ("ledger", f"{verdict} (file rows = raw rows = fact rows)"),
        *([("missing", _counted(missing, audit))] if missing else []),
        *_lines("passed over", passed_over_lines(result.passed_over), audit),
        ("published report", _reconciliation(report)),
        *_lines("", comparison_lines(result.comparisons), audit),
        *([("publication", report.published.summary)] if report.published else []),
        ("warehouse", report.warehouse.removeprefix("the warehouse ")),
        *([] if report.transformed.built else [("built", "nothing was stale")]),
        ("site", _site(site, is_new_site, flags)),
    ]
    stdout.print()
    print_lines(rows)
    looks = ['query "select * from marts.daily_trips limit 10"', "audit"]
    looks += ["site --serve"] if site is None else []
    stdout.print("\nLook next:")
    for look in looks:
        stdout.print(f"  uv run {_command(look, flags)}", highlight=False)


def _command(verb: str, flags: str) -> str:
    name, _, rest = verb.partition(" ")
    return " ".join(filter(None, ["medallion", name, flags, rest]))


def _counted(names: Sequence[str], command: str) -> str:
    return f"{len(names)}: {listed(names, command)}" if names else "nothing"


def _lines(name: str, lines: Sequence[str], command: str) -> list[tuple[str, str]]:
    shown = list(lines[:LINES])
    if len(lines) > LINES:
        shown.append(f"and {len(lines) - LINES} more: {command}")
    return [(name if i == 0 else "", line) for i, line in enumerate(shown)]


def _site(site: Path | None, is_new: bool, flags: str) -> str:
    if site is None:
        return "none yet"
    how = "" if is_new else f" (of an earlier run: {_command('site', flags)})"
    return f"{site}{how}"


def _reconciliation(report: RunReport) -> str:
    result = report.audit
    counts: dict[str, int] = {}
    for month in result.reconciliation:
        counts[month.status] = counts.get(month.status, 0) + 1
    text = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in counts.items())
    worst = result.largest_difference
    if worst:
        text += (
            f"; the largest difference is {worst.diff_pct:+.2f} %"
            f" ({worst.service} {worst.month:%Y-%m}, {worst.status.replace('_', ' ')})"
        )
    return text or "nothing to compare"
