"""See what a change does to the numbers: ``diff`` and ``check-change``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.options import Json, Quiet, Sample, Target, command

if TYPE_CHECKING:
    from ingestion.publications.diff import Diff

Html = Annotated[
    Path | None, typer.Option("--html", metavar="FILE", help="Also write the result as a page.")
]
WHICH = "ENV|ID|DATE"


def diff(
    after: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{WHICH}]",
            help="An environment or a publication. By default what readers see now, compared with"
            " what they saw before it.",
            show_default=False,
        ),
    ] = None,
    before: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[{WHICH}]",
            help="What it is compared with; by default what readers see now.",
            show_default=False,
        ),
    ] = None,
    html: Html = None,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Show what an environment or publication changes for readers, exactly.

    For each mart and month: rows added, removed and changed, which columns have changed and how
    often, and sums before and after. Only files that differ are read.
    """
    with command(sample, target, env="") as settings:
        from orchestration.job.diff import diff as compare

        show(compare(settings, after, before), html, as_json)


def show(found: "Diff", html: Path | None, as_json: bool) -> None:
    """Print a diff, and write its page if one is asked for."""
    from orchestration.cli.console import print_json, print_table, stdout
    from orchestration.site import diff_page

    if html:
        write_page(html, diff_page.page(found))
    if as_json:
        print_json(found)
        return
    stdout.print(diff_page.summary(found))
    for table in found.tables:
        stdout.print()
        stdout.print(" ".join([table.table, *diff_page.remarks(table)]))
        print_table(diff_page.MONTHS, diff_page.month_rows(table))
        if columns := diff_page.column_rows(table):
            print_table(("column", "rows changed", "sum before", "sum after"), columns)
        for example in table.examples:
            row, values = diff_page.told(example)
            stdout.print(": ".join(filter(None, [f"{example.kind} {row}", values])))


def write_page(path: Path, text: str) -> None:
    """Write a page; raises ``MedallionError`` where it cannot be written."""
    from ingestion.errors import MedallionError

    try:
        path.write_text(text)
    except OSError as exc:
        raise MedallionError(f"Cannot write {path}: {exc.strerror}.") from exc


def check_change(
    env: Annotated[
        str,
        typer.Option(
            "--env", metavar="NAME", help="The environment to try it in; it is begun anew."
        ),
    ] = "check",
    html: Html = None,
    sample: Sample = False,
    target: Target = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Try the models of this working tree beside what people see, and show what they change.

    Copies the warehouse to an environment, builds there what is stale, runs all tests and unit
    tests, audits, publishes there and compares. Fails if a test or the ledger does; a difference
    is no failure. `medallion promote` lets people see the result.
    """
    with command(sample, target, quiet, env="") as settings:
        from orchestration.cli.console import notice, print_json, progress
        from orchestration.job.check_change import check_change as check
        from orchestration.site import diff_page

        with progress(quiet) as watcher:
            checked = check(settings, env, watcher)
        for line in checked.warnings:
            notice(f"warning: {line}")
        if checked.loaded:
            notice(
                f"{', '.join(checked.loaded)} was loaded only here, so its month differs whatever"
                " the models do"
            )
        notice(f"{checked.models} models and {checked.tests} tests passed in {env}")
        if not as_json:
            show(checked.diff, html, as_json=False)
            return
        if html:
            write_page(html, diff_page.page(checked.diff))
        print_json(checked)
