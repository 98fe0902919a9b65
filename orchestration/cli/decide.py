"""Decisions about versions: ``withdraw``, ``forget``."""

import re
import sys
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from ingestion.errors import UsageError
from ingestion.words import counted_are
from orchestration.cli.options import (
    DATASET_NAMES,
    Env,
    Json,
    Quiet,
    Sample,
    Target,
    command,
    dataset_of,
    month_of,
    text_of,
)

if TYPE_CHECKING:
    from orchestration.job.forget import Kept

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
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="TEXT", parser=text_of, help="Why; people will read it."),
]

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


def forget(
    dataset: DatasetName,
    which: Which = None,
    item: Item = None,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove it without asking.")] = False,
    sample: Sample = False,
    target: Target = None,
    env: Env = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Remove a version for good, or every version of a month: shows it first, and asks.

    The bytes leave the lake and the raw tables leave the warehouse. The next `medallion run` makes
    the marts follow. The lake keeps a record of who removed what, when and why, so the same bytes
    are never landed again. If it is interrupted, run it again.
    """
    with command(sample, target, quiet, env=env) as settings:
        key, version = _named(dataset, which or [], item)
        from orchestration.cli.console import print_json, progress, stdout
        from orchestration.job import forget as job

        found = job.kept(settings, key, version)
        if not as_json:
            _print_kept(found)
        if not yes:
            if not sys.stdin.isatty():
                raise UsageError("Nothing was removed. To remove it, add --yes.")
            typer.confirm("Remove it for good?", abort=True, err=True)
        with progress(quiet) as watcher:
            left = job.forget(settings, key, version, reason.strip(), watcher)
        if as_json:
            print_json({"removed": found, "left": left})
            return
        stdout.print(f"{counted_are(len(found.versions), 'version')} forgotten.")
        if left.marts:
            tables = ", ".join(sorted({mart.table for mart in left.marts}))
            stdout.print(f"Still in {tables}, until: {settings.run_command}")
        if left.published:
            stdout.print(
                f"Still in the publication {', '.join(left.published)}, which readers see: after"
                " the next run, give this command again."
            )
        for copy in left.as_of:
            stdout.print(f"Another warehouse or environment may have a copy. To remove it: {copy}")
        if settings.lake_url.partition(":")[0] != "file":
            stdout.print(
                "A bucket that keeps versions of objects still has it: delete those there."
            )


def _print_kept(found: "Kept") -> None:
    """Print where versions are, and what they are."""
    from orchestration.cli.console import print_table

    rows: list[tuple[str, str, int | None, int | None]] = [
        ("version", f"{v.name} {v.file_id}", v.row_count, v.bytes) for v in found.versions
    ]
    rows += [("object", path, None, size) for path, size in found.objects.items()]
    rows += [("raw table", t.table, t.rows, None) for t in found.raw_tables]
    rows += [("built", t.table, t.rows, None) for t in found.marts]
    rows += [("published", name, None, None) for name in found.published]
    print_table(("what", "name", "rows", "bytes"), rows)


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
