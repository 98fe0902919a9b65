"""What the commands share: their options, their settings, and how they end."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ingestion.errors import MedallionError, UsageError, errors_of
from ingestion.sources import registry

if TYPE_CHECKING:
    from ingestion.settings import Settings


class TargetName(StrEnum):
    """The warehouses, as ``--target`` names them."""

    DUCKDB = "duckdb"
    POSTGRES = "postgres"
    SPARK = "spark"


def month_of(text: str) -> date:
    """The first day of a month written as 2024-01."""
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no month; write it as 2024-01.") from exc


def day_of(text: str) -> date:
    """A day written as 2024-05-01."""
    try:
        return date.fromisoformat(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no date; write it as 2024-05-01.") from exc


def text_of(text: str) -> str:
    """A text of the command line, which Python fills in where a byte is none of its encoding."""
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise typer.BadParameter(
            "it has bytes that are no text here; write it in UTF-8, and set LC_ALL=C.UTF-8."
        ) from exc
    return text


def dataset_of(text: str) -> str:
    """Check the name of a dataset of any source."""
    from ingestion.settings import dataset_names

    try:
        names = dataset_names()
    except UsageError as exc:
        raise typer.BadParameter(str(exc)) from exc
    if text not in names:
        raise typer.BadParameter(f"{text!r} is not one of {', '.join(map(repr, names))}.")
    return text


def _names() -> tuple[str, str]:
    try:
        names, usual = registry.names_for_help()
    except (MedallionError, OSError, ValueError, KeyError):  # the command says so
        return "NAME", "each dataset"
    return "|".join(names), " and ".join(usual)


DATASET_NAMES, USUAL = _names()
Datasets = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset",
        parser=dataset_of,
        metavar=f"<{DATASET_NAMES}>",
        help="Only this dataset; may be repeated.",
    ),
]
From = Annotated[
    date | None,
    typer.Option(
        "--from",
        parser=month_of,
        metavar="YYYY-MM",
        help="First month, included. With it and no --dataset: every dataset of the enabled"
        " sources. Without it: every month of a folder; from a server, the last three months of"
        f" {USUAL}.",
    ),
]
To = Annotated[
    date | None,
    typer.Option("--to", parser=month_of, metavar="YYYY-MM", help="Last month, included."),
]
Sample = Annotated[
    bool,
    typer.Option("--sample", help="Use the generated sample, with its own lake and warehouse."),
]
Target = Annotated[
    TargetName | None, typer.Option("--target", help="Which warehouse; overrides MEDALLION_TARGET.")
]
Env = Annotated[
    str | None,
    typer.Option(
        "--env",
        metavar="NAME",
        help="Work in this environment, as `medallion env create` makes it; overrides"
        " MEDALLION_ENV.",
    ),
]
AsOf = Annotated[
    date | None,
    typer.Option(
        "--as-of",
        parser=day_of,
        metavar="YYYY-MM-DD",
        help="Read the warehouse that `run --as-of` built for that day.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress on stderr.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Live = Annotated[
    bool, typer.Option("--live", help="Read the warehouse, even while a run is under way.")
]
PublicationOf = Annotated[
    str | None,
    typer.Option(
        "--publication",
        metavar="ID|DATE",
        help="Read a publication, as `medallion publications` lists them, or that of a day's end.",
    ),
]
DropUnknown = Annotated[
    bool,
    typer.Option(
        "--drop-unknown",
        help="Remove from the marts the files that the lake does not know.",
    ),
]
FullRefresh = Annotated[
    bool,
    typer.Option(
        "--full-refresh",
        help="Rebuild every month, not only the stale ones; with --dataset, --from or --to, those"
        " that they name.",
    ),
]


@contextmanager
def command(
    sample: bool,
    target: str | None,
    quiet: bool = True,
    republish: bool = False,
    as_of: date | None = None,
    env: str | None = None,
) -> Iterator["Settings"]:
    """Give a command its settings and, if it needs one, a PostgreSQL server.

    Without ``env`` they are of the environment that MEDALLION_ENV names; an empty one is the main
    warehouse.
    An expected error becomes a line on stderr and its exit code; its notes are lines before it.
    """
    from orchestration.cli.console import print_errors

    try:
        from ingestion.progress import Lines
        from ingestion.progress import Quiet as Silence
        from ingestion.warehouse.postgres.embedded import warehouse_server

        settings = _settings(sample, target, republish).in_environment(env)
        if as_of:
            settings = settings.as_of(as_of)
        said = Silence() if quiet else Lines(lambda line: sys.stderr.write(f"{line}\n"))
        with warehouse_server(settings, said):
            if settings.is_environment:
                _check_environment(settings)
            yield settings
    except MedallionError as exc:
        print_errors(errors_of(exc))
        raise typer.Exit(exc.exit_code) from exc


def _check_environment(settings: "Settings") -> None:
    from ingestion.warehouse import engine_for
    from ingestion.warehouse.base import no_environment

    if not engine_for(settings).exists():
        raise no_environment(settings.environment)


def _settings(sample: bool, target: str | None, republish: bool) -> "Settings":
    from ingestion.settings import read_settings

    settings = read_settings()
    if target:
        settings = settings.model_copy(update={"target": str(target)})
    if not sample:
        return settings
    published = settings.work_dir / "sample"
    if republish or not published.exists():
        from ingestion.sources.samples import publish_samples

        publish_samples(published, settings.work_dir / "locks" / "sample.lock", republish)
    return settings.for_sample(published)


def scope_of(
    datasets: list[str] | None, start: date | None, end: date | None
) -> tuple[list[str], date | None, date | None]:
    """The datasets and months of a command; raise if ``start`` is after ``end``."""
    if start and end and start > end:
        raise typer.BadParameter(f"--from {start:%Y-%m} is after --to {end:%Y-%m}.")
    return list(datasets or ()), start, end


def end_with(errors: list[str]) -> None:
    """Print the errors; exit with 1 if there are any."""
    from orchestration.cli.console import print_errors

    print_errors(errors)
    if errors:
        raise typer.Exit(1)
