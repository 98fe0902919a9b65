"""Print how far the files are: by dataset on one screen, or each of them."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from orchestration.cli.console import notice, print_lines, print_table, stdout
from orchestration.job.reread import reread_line
from orchestration.job.status import FileStatus, Status

SCREEN = 23  # lines, and one for the prompt
FEWEST = 3  # lines about single files


def print_status(found: Status, whole: bool, site: Path | None) -> None:
    """Print the files, the runs and the publication; ``whole`` names each file."""
    lines = _ends(found, site)
    if whole:
        _print_files(found.files)
    else:
        datasets = _by_dataset(found.files)
        columns = ("dataset", "months", "files", "loaded", "built", "to do", "aside")
        print_table(columns, datasets, framed=False)
        # the columns' names and two empty lines
        room = max(FEWEST, SCREEN - len(datasets) - len(lines) - 3)
        attention = [f"{_name(f)}: {said}" for f in found.files if (said := _attention(f))]
        shown = attention if len(attention) <= room else attention[: room - 1]
        if shown:
            stdout.print()
        for line in shown:
            is_long = stdout.is_terminal and len(line) > stdout.width
            stdout.print(f"{line[: stdout.width - 1]}…" if is_long else line, highlight=False)
        if len(shown) < len(attention):
            stdout.print(f"and {len(attention) - len(shown)} more: medallion status --all")
    if found.unreachable:
        stdout.print(f"\nThe publisher could not be asked: {found.unreachable}", highlight=False)
    if found.unknown:
        notice(f"unknown: {found.unknown}")
    for line in found.missing:
        notice(f"missing: {line}")
    stdout.print()
    print_lines(lines, gap=1)


def _ends(found: Status, site: Path | None) -> list[tuple[str, str]]:
    last = found.last_run
    lines = [("last run:", _run(last) if last else "none")]
    if reread := sum(file.reread for file in found.files):
        lines.append(("to build:", reread_line(reread)))
    if found.run_under_way:
        lines.append(("under way:", str(found.run_under_way)))
    if found.publication or found.publication_error:
        lines.append(("readers see:", _seen(found)))
    if site:
        lines.append(("site:", str(site)))
    return lines


def _seen(found: Status) -> str:
    seen = found.publication
    if seen is None:
        return f"unknown: {found.publication_error}"
    back = f", a rollback to {seen.restores} that hides {seen.hides}" if seen.hides else ""
    return f"{seen.id}, made {seen.made_at:%Y-%m-%d %H:%M %Z}{back}"


def _run(last: dict[str, Any]) -> str:
    ended = "good" if last["succeeded"] else "failed"
    error = f": {last['error']}" if last["error"] else ""
    when = f"{last['completed_at']:%Y-%m-%d %H:%M %Z}"
    return f"{last['by']} {last['command']} at {when}, {ended}{error}"


def _by_dataset(files: Iterable[FileStatus]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for dataset, grouped in groupby(files, key=lambda file: file.dataset):
        own = list(grouped)
        months = sorted(f.month for f in own if f.month and (f.versions or f.published))
        to_do: dict[str, int] = {}
        for file in own:
            if file.stale:
                to_do[file.stale] = to_do.get(file.stale, 0) + 1
        rows.append(
            (
                dataset,
                f"{months[0]:%Y-%m} to {months[-1]:%Y-%m}" if months else "",
                sum(f.versions > 0 for f in own),
                sum(f.loaded for f in own),
                sum(f.built for f in own) if months else None,
                ", ".join(f"{stage} {count}" for stage, count in to_do.items()),
                sum(bool(f.quarantined or f.withdrawn) for f in own) or None,
            )
        )
    return rows


def _attention(file: FileStatus) -> str:
    said = [
        f"quarantined: {file.quarantined}" if file.quarantined else "",
        f"passed over: {file.withdrawn}" if file.withdrawn else "",
        "published again" if file.changed and file.versions else "",
    ]
    return "; ".join(filter(None, said))


def _print_files(files: Sequence[FileStatus]) -> None:
    columns = (
        "dataset",
        "month",
        "published",
        "versions",
        "loaded",
        "built",
        "to do",
        "quarantined",
        "withdrawn",
    )
    print_table(
        columns,
        [
            (
                f.dataset,
                f"{f.month:%Y-%m}" if f.month else f.item or "",
                f.published,
                f.versions,
                f.loaded,
                f.built if f.month else None,
                f.stale,
                f.quarantined,
                f.withdrawn,
            )
            for f in files
        ],
    )


def _name(file: FileStatus) -> str:
    named = f"{file.month:%Y-%m}" if file.month else file.item or ""
    return f"{file.dataset} {named}".strip()
