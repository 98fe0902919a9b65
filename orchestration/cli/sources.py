"""Look at sources: ``sources``, ``source check``, ``source scaffold``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestration.cli.options import Env, Json, Quiet, Sample, Target, command, end_with

if TYPE_CHECKING:
    from ingestion.sources.base import Source

source = typer.Typer(no_args_is_help=True, help="Try a source, or begin its models.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The source, as `sources` lists it.")]


def sources(
    sample: Sample = False, target: Target = None, env: Env = None, as_json: Json = False
) -> None:
    """List every source: what it publishes, what is landed, and what is stale."""
    with command(sample, target, env=env) as settings:
        from orchestration.cli.console import print_json, print_table
        from orchestration.job.sources import source_statuses

        found = source_statuses(settings)
        if as_json:
            print_json(found)
        else:
            print_table(
                ("source", "kind", "enabled", "datasets", "published", "landed", "stale", "bad"),
                [
                    (
                        s.name,
                        s.kind,
                        s.enabled,
                        ", ".join(s.datasets),
                        s.published,
                        s.landed,
                        s.stale,
                        s.quarantined,
                    )
                    for s in found
                ],
            )
        end_with([f"{s.name}: {s.error}" for s in found if s.error and s.enabled])


@source.command()
def check(
    name: Name,
    sample: Sample = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Fetch the newest item of each dataset and check it; nothing is landed."""
    with command(sample, None, quiet) as settings:
        from ingestion.try_source import try_source
        from orchestration.cli.console import print_json, print_table, progress, stdout

        with progress(quiet) as watcher:
            tried = list(try_source(settings, _named(name), watcher))
        if as_json:
            print_json(tried)
        for one in () if as_json else tried:
            if one.bytes is None:
                continue
            rows = f"{one.rows:,} rows, " if one.rows is not None else ""
            stdout.print(f"{one.item}: {rows}{one.bytes:,} bytes, at {one.address}")
            for remark in one.remarks:
                stdout.print(f"  {remark}")
            if one.columns:
                print_table(("column", "type in the file", "read as"), one.columns)
        errors = [(one.item or one.dataset, one.error) for one in tried if one.error]
        end_with([f"{name}: {error.removeprefix(f'{name}: ')}" for name, error in errors])


@source.command()
def scaffold(
    name: Name,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="The folder in which one is made for the source; default: staging in dbt."
        ),
    ] = None,
    sample: Sample = False,
    as_json: Json = False,
) -> None:
    """Write a staging model, its .yml and the dbt source for each dataset; never overwrite."""
    with command(sample, None) as settings:
        from orchestration.cli.console import notice, print_json, stdout
        from orchestration.job.scaffold import scaffold as write

        made = write(settings, _named(name), out)
        if as_json:
            files = {"written": list(map(str, made.written)), "kept": list(map(str, made.kept))}
            print_json(files | {"undeclared": made.undeclared})
            return
        for path in made.written:
            stdout.print(f"written  {path}")
        for path in made.kept:
            stdout.print(f"kept     {path}")
        for dataset, line in made.undeclared.items():
            notice(
                f"{dataset}: source.toml declares no columns. A warehouse where nothing of it is"
                " landed, such as the sample's, then cannot build its model. These were found; put"
                f" them below [datasets.{dataset}]:"
            )
            notice(line)


def _named(name: str) -> "Source":
    from ingestion.errors import UsageError
    from ingestion.sources import registry

    found = registry.sources().get(name)
    if found is None:
        raise UsageError(f"There is no source {name}; there are {', '.join(registry.sources())}.")
    return found
