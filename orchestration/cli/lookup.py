"""Read what there is: ``status``, ``history``, ``explain``, ``query``, ``doctor``."""

from dataclasses import asdict
from datetime import date
from enum import StrEnum
from typing import Annotated

import typer

from orchestration.cli.options import (
    DATASET_NAMES,
    AsOf,
    Datasets,
    Env,
    From,
    Json,
    Live,
    PublicationOf,
    Quiet,
    Sample,
    Target,
    To,
    command,
    dataset_of,
    end_with,
    month_of,
    scope_of,
    text_of,
)


class Format(StrEnum):
    """How ``medallion query`` writes its result."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"


def status(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    every: Annotated[
        bool, typer.Option("--all", help="Show each file; so it is where some are named.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show what is landed, loaded and built, what is to do, and who runs or ran last.

    One line for each dataset; with `--all`, or for a dataset or months, one for each file.
    For a run under way: who runs, since when, at what, how far, and when it should be done.
    """
    with command(sample, target, as_of=as_of, env=env) as settings:
        scope = scope_of(dataset, start, end)
        from ingestion.errors import WarehouseBusyError
        from orchestration.cli.console import notice, print_json, stdout
        from orchestration.cli.show_status import print_status
        from orchestration.cli.site import index_of
        from orchestration.job.status import status as status_stage
        from orchestration.job.under_way import run_under_way

        try:
            found = status_stage(settings, *scope, as_of, notice)
        except WarehouseBusyError:
            # before the first publication, DuckDB lets nobody look on; who holds it can be told
            under_way = run_under_way(settings)
            if under_way is None:
                raise
            if as_json:
                print_json({"run_under_way": under_way})
            else:
                stdout.print(f"under way: {under_way}", highlight=False)
            return
        if as_json:
            files = [asdict(f) | {"stale": f.stale} for f in found.files]
            print_json(asdict(found) | {"files": files})
            return
        named = bool(scope[0] or scope[1] or scope[2])
        print_status(found, every or named, index_of(settings))


def history(
    dataset: Annotated[
        str,
        typer.Argument(
            parser=dataset_of, metavar="DATASET", help=f"Which dataset: {DATASET_NAMES}."
        ),
    ],
    month: Annotated[
        date | None, typer.Argument(parser=month_of, metavar="YYYY-MM", help="Which month.")
    ] = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Show every version of one published file, and what changed between them.

    Rows are compared by their values. Another type, another order, or another spelling of a
    column's name is no change. If a version cannot be read from the lake, the exit code is 1.
    """
    with command(sample, target, env=env) as settings:
        from ingestion.errors import UsageError
        from ingestion.lake.history import compare
        from ingestion.sources import registry
        from orchestration.cli.console import print_json, progress
        from orchestration.cli.show_history import print_versions

        if registry.datasets()[dataset].has_items:
            raise UsageError(
                f"{dataset} is several files, each with versions of its own: medallion documents"
                " history NAME shows those of one."
            )
        if month is None and registry.datasets()[dataset].monthly:
            raise UsageError(
                f"{dataset} is published by the month: say which one, as in"
                f" medallion history {dataset} 2024-01"
            )
        name = f"{dataset} {month:%Y-%m}" if month else dataset
        with progress(quiet) as watcher:
            versions = compare(settings, dataset, month, watcher)
        if not versions:
            raise UsageError(f"The lake holds no version of {name}.")
        if as_json:
            print_json(versions)
        else:
            print_versions(name, versions)
        end_with([v.fault for v in versions if v.fault])


def trip_id_of(text: str) -> int:
    """The number that the digits of a trip_id make."""
    if not (text.isdecimal() and len(text) == 18):
        raise typer.BadParameter(
            f"{text!r} is no trip_id: it is a number of 18 digits, as marts.fct_trips has them."
        )
    return int(text)


def explain(
    trip_id: Annotated[
        int,
        typer.Argument(parser=trip_id_of, metavar="TRIP_ID", help="A trip_id of marts.fct_trips."),
    ],
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    as_json: Json = False,
) -> None:
    """Show the raw row behind a trip, its file and address, and the rule that it breaks."""
    with command(sample, target, as_of=as_of, env=env) as settings:
        from orchestration.cli.console import notice, print_json, print_table, stdout
        from orchestration.job.explain import explain as explain_trip

        found = explain_trip(settings, trip_id, notice)
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


def query(
    sql: Annotated[
        str, typer.Argument(help="One select statement.", parser=text_of, metavar="SQL")
    ],
    output: Annotated[
        Format, typer.Option("--format", help="The format of the result.")
    ] = Format.TABLE,
    live: Live = False,
    publication: PublicationOf = None,
    as_of: AsOf = None,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
) -> None:
    """Run one read-only query on the warehouse.

    While a run is under way it reads the publication, and says which on stderr.
    """
    if live and publication:
        raise typer.BadParameter("--live and --publication exclude each other.")
    with command(sample, target, as_of=as_of, env=env) as settings:
        from orchestration.cli.run_query import query as run_query

        run_query(settings, sql, str(output), live, publication)


def doctor(
    sample: Sample = False, target: Target = None, env: Env = None, as_json: Json = False
) -> None:
    """Check the settings, the addresses and the permissions; secrets are masked."""
    with command(sample, target, env=env) as settings:
        from orchestration.cli.console import print_json, print_table
        from orchestration.job.doctor import doctor as doctor_checks

        checks = doctor_checks(settings)
        if as_json:
            print_json(checks)
        else:
            print_table(
                ("", "what", "detail"),
                [("ok" if c.good else "BAD", c.name, c.detail) for c in checks],
            )
        end_with([f"{c.name}: {c.detail}" for c in checks if not c.good])
