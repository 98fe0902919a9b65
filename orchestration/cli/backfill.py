"""Many months, one after another or shared by workers: ``backfill``."""

from typing import Annotated

import typer

from orchestration.cli.options import (
    Datasets,
    Env,
    From,
    Json,
    Quiet,
    Sample,
    Target,
    To,
    command,
    end_with,
    scope_of,
)


def backfill(
    dataset: Datasets = None,
    start: From = None,
    end: To = None,
    deployment: Annotated[
        bool,
        typer.Option("--deployment", help="Let the workers of nightly/nightly do the months."),
    ] = False,
    at_once: Annotated[
        int, typer.Option(min=1, max=64, help="With --deployment: how many months at once.")
    ] = 4,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run the whole job month by month, from `--from` to `--to`.

    A finished month is not done again, so an interrupted backfill continues where it stopped.
    If a month fails, the others continue, and the error is shown at the end.
    """
    if deployment and (sample or target):
        raise typer.BadParameter(
            "--deployment has no --sample and no --target: workers have settings of their own."
        )
    with command(sample, target, quiet, env=env) as settings:
        datasets, first, last = scope_of(dataset, start, end)
        if first is None or last is None:
            raise typer.BadParameter("give the months: --from YYYY-MM --to YYYY-MM")
        if deployment:
            from orchestration.flow.server import start_nightly

            months = {"start": f"{first:%Y-%m}", "end": f"{last:%Y-%m}"}
            name = start_nightly(
                {"datasets": datasets, **months, "months_at_once": at_once}, ["backfill"]
            )
            typer.echo(f"nightly/nightly has a run {name}, which hands out the months")
            return
        from ingestion.errors import MedallionError, errors_of
        from ingestion.lake.catalog import Catalog
        from ingestion.load import check_lake
        from ingestion.sources.files.publisher import months_between
        from orchestration.cli.console import print_json, print_table, progress
        from orchestration.job import pipeline as stages

        check_lake(settings, Catalog(settings.lake_url))
        rows, errors = [], []
        for month in months_between(first, last):
            try:
                with progress(quiet) as watcher:
                    report = stages.run(
                        settings,
                        datasets,
                        month,
                        month,
                        progress=watcher,
                        command=f"backfill of {month:%Y-%m}",
                    )
            except MedallionError as exc:
                errors += [f"{month:%Y-%m}: {error}" for error in errors_of(exc)]
                continue
            errors += [f"{month:%Y-%m}: {error}" for error in report.errors]
            # every run also looks at the files without a month, which belong to no month here
            new = sum(f.published.month == month for f in report.new + report.republished)
            loaded = sum(v.row_count or 0 for v in report.loaded.loaded if v.month == month)
            rows.append((f"{month:%Y-%m}", new, loaded, report.audit.file_rows))
        columns = ("month", "files", "rows loaded", "rows in all")
        if as_json:
            print_json([dict(zip(columns, row, strict=True)) for row in rows])
        else:
            print_table(columns, rows)
        end_with(list(dict.fromkeys(errors)))
