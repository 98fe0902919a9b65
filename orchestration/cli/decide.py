"""Decisions about versions: ``withdraw``."""

import re
from datetime import date
from typing import Annotated

import typer

from orchestration.cli.options import (
    DATASET_NAMES,
    Json,
    Quiet,
    Sample,
    command,
    dataset_of,
    month_of,
)

DatasetName = Annotated[
    str,
    typer.Argument(parser=dataset_of, metavar="DATASET", help=f"Which dataset: {DATASET_NAMES}."),
]
Which = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[YYYY-MM] [VERSION]",
        help="The month, where the dataset has months, and how the version's sha256 begins, as"
        " medallion history shows it.",
        show_default=False,
    ),
]
Item = Annotated[
    str | None,
    typer.Option("--item", metavar="NAME", help="Which file, of a dataset of several files."),
]
Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; people will read it.")]

Key = tuple[str, date | None, str | None]


def withdraw(
    dataset: DatasetName,
    which: Which = None,
    item: Item = None,
    reason: Reason = "",
    undo: Annotated[
        bool, typer.Option("--undo", help="Take it back: the version may be used again.")
    ] = False,
    sample: Sample = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Pass over a bad version, by default the one in use, until that is taken back.

    The version before it is used again; without one, the month is missing, and the ledger gives the
    reason. The lake keeps the bytes. The next `medallion run` makes the marts follow. A newer
    version that the publisher brings is used by itself.
    """
    with command(sample, None, quiet) as settings:
        key, version = _named(dataset, which or [], item)
        if not (reason.strip() or undo):
            raise typer.BadParameter("say why, for those who miss the version: --reason TEXT")
        from ingestion.lake.withdraw import take_back
        from ingestion.lake.withdraw import withdraw as withdraw_version
        from orchestration.cli.console import print_json, progress, stdout

        with progress(quiet) as watcher:
            change = take_back if undo else withdraw_version
            done = change(settings, key, version, reason.strip(), watcher)
        if as_json:
            print_json(done)
            return
        again = "" if done.is_new else "already "
        stdout.print(
            f"{done.version.file_id[:8]} of {done.version.name} was {again}{done.decision.text}"
        )
        now = f"{done.current.file_id[:8]} is current" if done.current else "no version is current"
        stdout.print(f"{now}; the marts follow with: {settings.run_command}")


def _named(dataset: str, which: list[str], item: str | None) -> tuple[Key, str | None]:
    """The published file and the version that the arguments name."""
    from ingestion.sources import registry

    declared = registry.datasets()[dataset]
    if (item is None) == declared.has_items:
        raise typer.BadParameter(
            f"{dataset} is several files: say which one, with --item NAME"
            if declared.has_items
            else f"{dataset} has no items: leave out --item"
        )
    month = None
    if declared.monthly:
        if not which:
            raise typer.BadParameter(f"{dataset} is published by the month: say which, as 2024-01")
        month, which = month_of(which[0]), which[1:]
    if len(which) > 1 or not all(re.fullmatch("[0-9a-f]{4,64}", part) for part in which):
        raise typer.BadParameter(
            f"{' '.join(which)!r} is no version: give the first 4 or more digits of one sha256"
        )
    return (dataset, month, item), which[0] if which else None
