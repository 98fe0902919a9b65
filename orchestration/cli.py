"""The command line: ``medallion``.

Results go to stdout, progress and errors to stderr. Exit code 0 is good, 1 means that the run
failed, 2 that the command or a setting is wrong. Stages are imported when a command runs, so that
help is there at once.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from ingestion.settings import Settings

app = typer.Typer(
    name="medallion",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    add_completion=False,
    help="New York City's TLC trip records in a warehouse that proves it lost nothing.",
    epilog="Settings come from the environment and .env; see .env.example. "
    "`medallion run --sample` shows it all on generated data.",
)


class DatasetName(StrEnum):
    """What TLC publishes, as ``--dataset`` names it."""

    YELLOW = "yellow"
    GREEN = "green"
    FHV = "fhv"
    FHVHV = "fhvhv"
    ZONES = "taxi_zone_lookup"
    REPORT = "tlc_monthly_report"


class TargetName(StrEnum):
    """Warehouses that there are, as ``--target`` names them."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"


class Format(StrEnum):
    """How ``medallion query`` writes its result."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no month; write it as 2024-01.") from exc


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no date; write it as 2024-05-01.") from exc


Datasets = Annotated[
    list[DatasetName] | None, typer.Option("--dataset", help="Only this dataset; may be repeated.")
]
From = Annotated[
    date | None,
    typer.Option("--from", parser=_month, metavar="YYYY-MM", help="First month, included."),
]
To = Annotated[
    date | None,
    typer.Option("--to", parser=_month, metavar="YYYY-MM", help="Last month, included."),
]
Sample = Annotated[
    bool, typer.Option("--sample", help="Use the generated sample, in a lake and warehouse apart.")
]
Target = Annotated[
    TargetName | None, typer.Option("--target", help="The warehouse, in place of MEDALLION_TARGET.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
FullRefresh = Annotated[
    bool, typer.Option("--full-refresh", help="Build every month anew, stale or not.")
]


@contextmanager
def _command(
    sample: bool, target: str | None, quiet: bool = True, republish: bool = False
) -> Iterator["Settings"]:
    """Give a command its settings and, where it needs one, a server.

    A foreseeable fault becomes one line on stderr and its exit code.
    """
    from ingestion.errors import MedallionError

    try:
        from ingestion.engines.embedded import warehouse_server
        from ingestion.progress import Lines
        from ingestion.progress import Quiet as Silence

        settings = _settings(sample, target, republish)
        said = Silence() if quiet else Lines(lambda line: sys.stderr.write(f"{line}\n"))
        with warehouse_server(settings, said):
            yield settings
    except MedallionError as exc:
        sys.stderr.write(f"error: {exc}\n")
        raise typer.Exit(exc.exit_code) from exc


def _settings(sample: bool, target: str | None, republish: bool) -> "Settings":
    from ingestion.settings import load_settings

    settings = load_settings()
    if target:
        settings = settings.model_copy(update={"target": str(target)})
    if not sample:
        return settings
    published = settings.work_dir / "sample"
    if republish or not published.exists():
        from ingestion.sample import publish_sample

        publish_sample(published, republished=republish)
    return settings.for_sample(published)


def _scope(
    datasets: list[DatasetName] | None, start: date | None, end: date | None
) -> tuple[list[str], date | None, date | None]:
    if start and end and start > end:
        raise typer.BadParameter(f"--from {start:%Y-%m} is after --to {end:%Y-%m}.")
    return [str(d) for d in datasets or ()], start, end


def _end(faults: list[str]) -> None:
    """Print the faults and leave with 1 where there are any."""
    from orchestration.console import print_faults

    print_faults(faults)
    if faults:
        raise typer.Exit(1)


@app.command()
def run(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    as_of: Annotated[
        date | None,
        typer.Option(
            parser=_day,
            metavar="YYYY-MM-DD",
            help="Land nothing; build a warehouse apart of what the lake held on that day.",
        ),
    ] = None,
    full_refresh: FullRefresh = False,
    sample: Sample = False,
    target: Target = None,
    republish: Annotated[
        bool,
        typer.Option("--republish", help="With --sample: first publish one month of it anew."),
    ] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Do the whole job once: land, load, transform, audit.

    Without `--from`: the last three published months of yellow and green; from a `file://`
    address, every file there is. Running it again does only what is new.
    """
    if republish and not sample:
        raise typer.BadParameter("--republish is for --sample only.")
    with _command(sample, target, quiet, republish) as settings:
        scope = _scope(dataset, start, end)
        from orchestration import stages
        from orchestration.console import print_json, print_summary, progress

        with progress(quiet) as watcher:
            report = stages.run(settings, *scope, as_of, full_refresh, watcher)
        if as_json:
            print_json(_run_json(report))
        else:
            given = ["--sample"] * sample + ([f"--target {target}"] if target else [])
            print_summary(report, " ".join(given))
        _end(report.faults)


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
        "largest_difference": worst,
        "faults": report.faults,
        "warehouse": report.warehouse,
    }


@app.command()
def land(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    sample: Sample = False,
    target: Target = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Land what is published and new in the lake, bytes unchanged."""
    with _command(sample, target, quiet) as settings:
        scope = _scope(dataset, start, end)
        from ingestion.lake import land as land_stage
        from orchestration.console import print_json, print_table, progress
        from orchestration.stages import land_faults

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
        _end(land_faults(report))


@app.command()
def load(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    sample: Sample = False,
    target: Target = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Load what the lake holds and the warehouse does not, then replace the read views."""
    with _command(sample, target, quiet) as settings:
        scope = _scope(dataset, start, end)
        from ingestion.warehouse import load as load_stage
        from orchestration.console import print_json, print_table, progress
        from orchestration.stages import load_faults

        with progress(quiet) as watcher:
            report = load_stage(settings, *scope, None, watcher)
        rows = [(v.table_name, v.row_count, v.bytes) for v in report.loaded]
        if as_json:
            print_json([{"table": t, "rows": r, "bytes": b} for t, r, b in rows])
        else:
            print_table(("table", "rows", "bytes"), rows)
        _end(load_faults(report))


@app.command()
def transform(
    full_refresh: FullRefresh = False,
    sample: Sample = False,
    target: Target = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Build the marts with dbt: the months that are stale, and nothing else."""
    with _command(sample, target, quiet) as settings:
        from orchestration.console import print_json, progress, stdout
        from orchestration.transform import transform as transform_stage

        with progress(quiet) as watcher:
            report = transform_stage(settings, full_refresh, watcher)
        if as_json:
            print_json(report)
        elif report.built:
            stdout.print(f"{report.models} models and {report.tests} tests passed")
        else:
            stdout.print("nothing was stale")


@app.command()
def audit(
    strict: Annotated[
        bool,
        typer.Option(
            help="Fail also where a month is out of tolerance and not in the register.",
        ),
    ] = False,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Show the ledger and the comparison with TLC's report; fail where a row is missing."""
    with _command(sample, target) as settings:
        from orchestration.audit import audit as audit_stage
        from orchestration.console import print_json, print_table, stdout
        from orchestration.stages import ledger_faults, reconciliation_faults

        result = audit_stage(settings)
        if as_json:
            print_json(result)
        else:
            print_table(
                ("service", "month", "trips/day", "TLC's", "diff %", "tolerance %", "status"),
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
            stdout.print(
                f"\n{result.files} files, {result.file_rows:,} rows: {result.valid_rows:,} valid,"
                f" {result.invalid_rows:,} flagged."
                f" The ledger {'does not balance' if result.unbalanced else 'balances'}."
            )
        _end(ledger_faults(result) + (reconciliation_faults(result) if strict else []))


@app.command()
def status(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Show what is published, landed, loaded and built, what is stale, and the last run."""
    with _command(sample, target) as settings:
        scope = _scope(dataset, start, end)
        from orchestration.console import print_json, print_table, stdout
        from orchestration.status import status as status_stage

        found = status_stage(settings, *scope)
        if as_json:
            files = [asdict(f) | {"stale": f.stale} for f in found.files]
            print_json(asdict(found) | {"files": files})
            return
        print_table(
            (
                "dataset",
                "month",
                "published",
                "versions",
                "loaded",
                "built",
                "to do",
                "quarantined",
            ),
            [
                (
                    f.dataset,
                    f"{f.month:%Y-%m}" if f.month else "",
                    f.published,
                    f.versions,
                    f.loaded,
                    f.built if f.month else None,
                    f.stale,
                    f.quarantined,
                )
                for f in found.files
            ],
        )
        if found.unreachable:
            stdout.print(f"\nThe publisher could not be asked: {found.unreachable}")
        last = found.last_run
        stdout.print(
            f"\nlast run: dbt {last['command']} at {last['completed_at']:%Y-%m-%d %H:%M %Z},"
            f" {'good' if last['succeeded'] else 'failed'}"
            if last
            else "\nlast run: none"
        )


@app.command()
def history(
    dataset: Annotated[DatasetName, typer.Argument(help="Which publication.")],
    month: Annotated[
        date | None, typer.Argument(parser=_month, metavar="YYYY-MM", help="Which month.")
    ] = None,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Show every version of one published file, and what changed from one to the next."""
    with _command(sample, target) as settings:
        from ingestion.errors import UsageError
        from ingestion.lake import changes
        from ingestion.lake import history as history_of
        from orchestration.console import print_json, print_table

        versions = history_of(settings, str(dataset), month)
        if not versions:
            which = f"{dataset} {month:%Y-%m}" if month else str(dataset)
            raise UsageError(f"The lake holds no version of {which}.")
        changed = [None, *(changes(a, b) for a, b in pairwise(versions))]
        if as_json:
            print_json(
                [{"version": v, "changes": c} for v, c in zip(versions, changed, strict=True)]
            )
            return
        print_table(
            ("landed", "version", "status", "rows", "bytes", "what changed"),
            [
                (
                    f"{v.landed_at:%Y-%m-%d %H:%M}",
                    v.file_id[:8],
                    v.status,
                    v.row_count,
                    v.bytes,
                    v.error or "\n".join(c or ()),
                )
                for v, c in zip(versions, changed, strict=True)
            ],
        )


@app.command()
def verify(
    sample: Sample = False,
    target: Target = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Read the whole lake again and compare every version's sha256 with the catalog."""
    with _command(sample, target, quiet) as settings:
        from ingestion.lake import verify as verify_stage
        from orchestration.console import print_json, progress, stdout

        with progress(quiet) as watcher:
            versions = verify_stage(settings, watcher)
        faulty = [v for v in versions if v.fault]
        if as_json:
            print_json([{"path": v.landing.lake_path, "fault": v.fault} for v in versions])
        else:
            stdout.print(f"{len(versions) - len(faulty)} of {len(versions)} versions are intact")
        _end([f"{v.landing.name}, {v.landing.lake_path}: {v.fault}" for v in faulty])


@app.command()
def prune(
    older_than: Annotated[
        int, typer.Option("--older-than", min=0, metavar="DAYS", help="Landed so many days ago.")
    ] = 90,
    yes: Annotated[
        bool, typer.Option("--yes", help="Drop them; without it they are shown.")
    ] = False,
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Drop raw tables of superseded versions from the warehouse; the lake keeps every version."""
    with _command(sample, target) as settings:
        from ingestion.retention import prune as prune_versions
        from ingestion.retention import superseded
        from orchestration.console import print_json, print_table, stdout

        versions = superseded(settings, timedelta(days=older_than))
        if yes:
            prune_versions(settings, versions)
        if as_json:
            print_json({"dropped": yes, "versions": versions})
            return
        rows = [(v.table_name, f"{v.landed_at:%Y-%m-%d}", v.rows) for v in versions]
        print_table(("table", "landed", "rows"), rows)
        verb = "dropped" if yes else "would be dropped; add --yes to drop them"
        stdout.print(f"{len(versions)} superseded versions {verb}")


@app.command()
def explain(
    trip_id: Annotated[int, typer.Argument(help="A trip_id of marts.fct_trips.")],
    sample: Sample = False,
    target: Target = None,
    as_json: Json = False,
) -> None:
    """Lead a trip back to its raw row, its file and address, and the rule it fails."""
    with _command(sample, target) as settings:
        from orchestration.console import print_json, print_table, stdout
        from orchestration.explain import explain as explain_trip

        found = explain_trip(settings, trip_id)
        if as_json:
            print_json(found)
            return
        rule = found.rule
        verdict = (
            f"rule {rule['rule']}, {rule['invalid_reason']}: {rule['meaning']}" if rule else ""
        )
        stdout.print(f"trip     {found.trip_id}: row {found.row_ordinal} of", end=" ")
        stdout.print(f"{found.dataset} {found.month:%Y-%m}", highlight=False)
        for name, value in (
            ("file", found.source_url),
            ("sha256", found.file_id),
            ("lake", f"{found.lake_path}, landed {found.landed_at:%Y-%m-%d %H:%M %Z}"),
            ("verdict", verdict or "valid"),
            ("source", rule["source"] if rule else None),
        ):
            if value:
                stdout.print(f"{name:<8} {value}", markup=False, highlight=False)
        print_table(("raw column", "value"), found.raw_row.items(), f"\nraw.{found.table_name}")
        fact = {k: v for k, v in found.fact.items() if v is not None}
        print_table(("fact column", "value"), fact.items(), "\nmarts.fct_trips")


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="One select statement.")],
    output: Annotated[Format, typer.Option("--format", help="How to write it.")] = Format.TABLE,
    sample: Sample = False,
    target: Target = None,
) -> None:
    """Run one read-only query on the warehouse."""
    with _command(sample, target) as settings:
        from orchestration.query import query as run_query

        run_query(settings, sql, str(output))


@app.command()
def doctor(sample: Sample = False, target: Target = None, as_json: Json = False) -> None:
    """Check settings, addresses and permissions; secrets are masked."""
    with _command(sample, target) as settings:
        from orchestration.console import print_json, print_table
        from orchestration.status import doctor as doctor_checks

        checks = doctor_checks(settings)
        if as_json:
            print_json(checks)
        else:
            print_table(
                ("", "what", "detail"),
                [("ok" if c.good else "BAD", c.name, c.detail) for c in checks],
            )
        _end([f"{c.name}: {c.detail}" for c in checks if not c.good])


def main() -> None:
    """Run the command line; an interrupt leaves with 130 and everything as it was committed."""
    try:
        app()
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; run the same again to go on\n")
        sys.exit(130)
    except BrokenPipeError:
        # the reader of our output went away, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)


if __name__ == "__main__":
    main()
