"""The job and its stages: ``run``, ``land``, ``load``, ``transform``, ``audit``."""

from datetime import date
from typing import Annotated, Any

import typer

from orchestration.cli.options import (
    AsOf,
    Datasets,
    DropUnknown,
    Env,
    From,
    FullRefresh,
    Json,
    Quiet,
    Sample,
    Target,
    To,
    command,
    day_of,
    end_with,
    month_of,
    scope_of,
)


def run(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    as_of: Annotated[
        date | None,
        typer.Option(
            parser=day_of,
            metavar="YYYY-MM-DD",
            help="Build a separate warehouse from what the lake held on that day; land nothing.",
        ),
    ] = None,
    full_refresh: FullRefresh = False,
    drop_unknown: DropUnknown = False,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    republish: Annotated[
        bool,
        typer.Option(
            "--republish", help="With --sample: first publish one month again, with changes."
        ),
    ] = False,
    with_site: Annotated[
        bool, typer.Option("--site", help="Then make the site, as `medallion site` does.")
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the whole job once: land, load, transform, audit, publish.

    Without `--from`, it takes the last three published months of the usual datasets; from a
    `file://` address, it takes every file. A second run does only what is new.
    """
    if republish and not sample:
        raise typer.BadParameter("--republish is for --sample only.")
    with command(sample, target, quiet, republish, env=env) as settings:
        scope = scope_of(dataset, start, end)
        from orchestration.cli.console import print_json, progress
        from orchestration.cli.show_run import print_run
        from orchestration.cli.site import index_of, make_site
        from orchestration.job import pipeline as stages

        if with_site:
            from orchestration.site.packages import check_installed

            check_installed()
        with progress(quiet) as watcher:
            report = stages.run(settings, *scope, as_of, full_refresh, watcher, drop_unknown)
        seen = settings.as_of(as_of) if as_of else settings
        site = make_site(seen, None, quiet) if with_site else None
        if as_json:
            print_json(_run_json(report) | ({"site": str(site.index)} if site else {}))
        else:
            given = ["--sample"] if sample else []
            if target:
                given.append(f"--target {target}")
            if env:
                given.append(f"--env {env}")
            if as_of:
                given.append(f"--as-of {as_of}")
            index = site.index if site else index_of(seen)
            print_run(report, " ".join(given), index, is_new_site=site is not None)
        end_with(report.errors)


def _run_json(report: Any) -> dict[str, Any]:
    worst = report.audit.largest_difference
    return {
        "new": [f.published.name for f in report.new],
        "republished": [f.published.name for f in report.republished],
        "loaded": [v.table_name for v in report.loaded.loaded],
        "built": report.transformed.built,
        "files": report.audit.files,
        "rows": report.audit.file_rows,
        "valid": report.audit.valid_rows,
        "flagged": report.audit.reasons,
        "ledger_balances": not report.audit.unbalanced,
        "missing": report.missing,
        "passed_over": report.audit.passed_over,
        "remarks": report.remarks,
        "largest_difference": worst,
        "faults": report.errors,
        "warehouse": report.warehouse,
    }


def land(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Download new published files into the lake, bytes unchanged."""
    with command(sample, target, quiet, env=env) as settings:
        scope = scope_of(dataset, start, end)
        from ingestion.land import Outcome
        from ingestion.land import land as land_stage
        from orchestration.cli.console import print_json, print_table, progress, stdout
        from orchestration.job.pipeline import land_errors

        with progress(quiet) as watcher:
            report = land_stage(settings, *scope, watcher)
        columns = ("file", "outcome", "rows", "bytes", "sha256")
        rows = [
            (
                f.published.name,
                str(f.outcome),
                f.landing.row_count if f.landing else None,
                f.landing.bytes if f.landing else None,
                f.landing.file_id if f.landing else None,
            )
            for f in report.files
        ]
        if as_json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table(columns, [(*row[:4], (row[4] or "")[:8]) for row in rows])
            for f in report.of(Outcome.PASSED_OVER):
                stdout.print(f"{f.published.name} is passed over: it was {f.error}")
        end_with(land_errors(report))


def load(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    drop_unknown: DropUnknown = False,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Load new file versions from the lake into the warehouse, then replace the read views."""
    with command(sample, target, quiet, env=env) as settings:
        scope = scope_of(dataset, start, end)
        from ingestion.load import load as load_stage
        from ingestion.load import not_landed
        from orchestration.cli.console import print_json, print_table, progress
        from orchestration.job.pipeline import load_errors

        with progress(quiet) as watcher:
            report = load_stage(settings, *scope, None, watcher, drop_unknown)
        rows = [(v.table_name, v.row_count, v.bytes) for v in report.loaded]
        if as_json:
            print_json([{"table": t, "rows": r, "bytes": b} for t, r, b in rows])
        else:
            print_table(("table", "rows", "bytes"), rows)
        end_with(load_errors(report) + not_landed(settings, *scope))


def transform(
    full_refresh: FullRefresh = False,
    dataset: Datasets = None,
    start: Annotated[
        date | None,
        typer.Option(
            "--from",
            parser=month_of,
            metavar="YYYY-MM",
            help="With --full-refresh: the first month to rebuild.",
        ),
    ] = None,
    end: Annotated[
        date | None,
        typer.Option(
            "--to",
            parser=month_of,
            metavar="YYYY-MM",
            help="With --full-refresh: the last month to rebuild, included.",
        ),
    ] = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build the stale months of the marts with dbt.

    With `--full-refresh`, `--dataset`, `--from` and `--to` limit what is rebuilt though it is not
    stale. Readers keep the old rows of a month until its new rows are whole.
    """
    with command(sample, target, quiet, env=env) as settings:
        scope = scope_of(dataset, start, end)
        if any(scope) and not full_refresh:
            raise typer.BadParameter(
                "--dataset, --from and --to go with --full-refresh. Without it, every stale month"
                " is built, and no other."
            )
        from orchestration.cli.console import print_json, progress, stdout
        from orchestration.job.transform import transform as transform_stage
        from orchestration.job.under_way import only_run, reported

        with (
            only_run(settings),
            progress(quiet) as watcher,
            reported(settings, "transform", progress=watcher) as this,
        ):
            this.begin("transform")
            report = transform_stage(settings, full_refresh, this, *scope)
        if as_json:
            counts = {"models": report.models, "tests": report.tests, "warnings": report.warnings}
            print_json({"built": report.built, **counts, "nodes": report.nodes})
        elif report.built:
            stdout.print(f"{report.models} models and {report.tests} tests passed")
        else:
            stdout.print("nothing was stale")


def audit(
    strict: Annotated[
        bool,
        typer.Option(
            help="Fail also if a figure is out of tolerance and not in the register.",
        ),
    ] = False,
    recount: Annotated[
        bool,
        typer.Option(
            help="Count the rows of raw tables and facts now. --no-recount uses the counts of when"
            " each month was loaded and built; it also works while a run is under way.",
        ),
    ] = True,
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Show the ledger and the comparison with the reports; fail if a row or a file is missing.

    A file is missing if its newest version is not in the facts.
    """
    with command(sample, target, as_of=as_of, env=env) as settings:
        from ingestion.words import counted, counted_are
        from orchestration.cli.console import notice, print_json, print_table, stdout
        from orchestration.job.audit import audit as audit_stage
        from orchestration.job.comparisons import summary
        from orchestration.job.pipeline import (
            ledger_errors,
            missing_errors,
            passed_over_lines,
            reconciliation_errors,
        )
        from orchestration.job.reread import reread_line

        result = audit_stage(settings, recount, as_of, live=recount, say=notice)
        if as_json:
            print_json(result)
        else:
            print_table(
                ("service", "month", "trips/day", "published", "diff %", "tolerance %", "status"),
                [
                    (
                        r.service,
                        f"{r.month:%Y-%m}",
                        r.trips_per_day,
                        r.tlc_trips_per_day,
                        None if r.diff_pct is None else f"{r.diff_pct:+.3f}",
                        r.tolerance_pct,
                        r.status.replace("_", " "),
                    )
                    for r in result.reconciliation
                ],
            )
            if result.reasons:
                print_table(("flagged", "rows"), result.reasons.items(), "\n")
            missing = f", and {counted_are(len(result.missing), 'file')} missing"
            stdout.print(
                f"\n{counted(result.files, 'file')}, {counted(result.file_rows, 'row')}:"
                f" {result.valid_rows:,} valid,"
                f" {result.invalid_rows:,} flagged."
                f" {counted(len(result.single_files), 'file')} without a month,"
                f" {counted(sum(s.raw_rows for s in result.single_files), 'row')}."
                f" The ledger {'does not balance' if result.unbalanced else 'balances'}"
                f"{missing if result.missing else ''}."
            )
            for line in passed_over_lines(result.passed_over):
                stdout.print(line, markup=False, highlight=False)
            if result.reread:
                stdout.print(reread_line(result.reread), markup=False, highlight=False)
            for line in summary(result.comparisons):
                stdout.print(line, markup=False, highlight=False)
        end_with(
            missing_errors(result.missing)
            + ledger_errors(result)
            + (reconciliation_errors(result) if strict else [])
        )
