"""Print the versions of a file: their figures, and what each version changed."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from ingestion.lake.history import Changes, Figures, Version
from ingestion.lake.row_diff import RowChanges
from orchestration.cli.console import print_table, stdout

WIDTH = 100
SIDE_BY_SIDE = 3  # this many versions fit into the width


def print_versions(name: str, versions: Sequence[Version]) -> None:
    """Print the versions of one file, their sums side by side, and what each one changed."""
    count = "1 version" if len(versions) == 1 else f"{len(versions)} versions"
    _say(f"{name}: {count}\n")
    print_table(
        ("version", "landed (UTC)", "status", "rows", "columns", "bytes"),
        [
            (
                _short(v.version.file_id),
                f"{v.version.landed_at:%Y-%m-%d %H:%M}",
                "in use" if v.is_current else v.version.status,
                v.version.row_count,
                len(v.version.columns) or None,
                v.version.bytes,
            )
            for v in versions
        ],
    )
    read = [(_short(v.version.file_id), v.figures) for v in versions if v.figures]
    for i in range(0, len(read), SIDE_BY_SIDE):
        _print_figures(dict(read[i : i + SIDE_BY_SIDE]))
    before: Version | None = None
    for version in versions:
        _print_changes(version, before)
        before = version if version.version.status == "landed" else before


def _print_figures(figures: Mapping[str, Figures]) -> None:
    """Print pickups, miles and USD of some versions, a column for each short name."""
    rows: list[tuple[str | float | None, ...]] = []
    if any(f.first_pickup for f in figures.values()):
        rows.append(("first pickup", *(_moment(f.first_pickup) for f in figures.values())))
        rows.append(("last pickup", *(_moment(f.last_pickup) for f in figures.values())))
    for name in dict.fromkeys(name for f in figures.values() for name in f.sums):
        sums = [f.sums.get(name) for f in figures.values()]
        rows.append((name, *("" if total is None else f"{total:,.2f}" for total in sums)))
    if rows:
        _say("")
        print_table(("pickups, miles, USD", *figures), rows)


def _print_changes(version: Version, before: Version | None) -> None:
    name = _short(version.version.file_id)
    for decision in version.decisions:
        _say(_wrapped(f"\n{name} was", decision.text))
    if version.version.status == "quarantined":
        _say(_wrapped(f"\n{name} is in quarantine:", version.version.error or ""))
    elif before and version.changes:
        _say(f"\n{name} changed, of {_short(version.changes.since)}:")
        for topic, text in _topics(version.changes, before.figures, version.figures):
            _say(_wrapped(f"  {topic:<8}", text))


def _topics(
    changes: Changes, before: Figures | None, after: Figures | None
) -> Iterator[tuple[str, str]]:
    yield "rows", _rows(changes.rows)
    if changes.rows and changes.rows.by_column:
        by_column = sorted(changes.rows.by_column.items(), key=lambda item: -item[1])
        yield "", "changed: " + ", ".join(f"{name} in {n:,}" for name, n in by_column)
    columns = [
        *(f"{name} is new" for name in changes.columns_new),
        *(f"{name} is gone" for name in changes.columns_gone),
        *(f"{old} is spelled {new}" for old, new in changes.columns_renamed.items()),
    ]
    yield "columns", ", ".join(columns) or "the same"
    types = [f"{name} {old} -> {new}" for name, (old, new) in changes.types.items()]
    yield "types", f"{len(types)} changed: {', '.join(types)}" if types else "the same"
    sums = [f"{name} {difference:+,.2f}" for name, difference in changes.sums.items()]
    if before and after:
        yield "sums", ", ".join(sums) or "the same"
        for which in ("first_pickup", "last_pickup"):
            old, new = getattr(before, which), getattr(after, which)
            if old != new:
                yield "pickups", f"{which.replace('_', ' ')} {_moment(old)} -> {_moment(new)}"


def _rows(rows: RowChanges | None) -> str:
    if rows is None:
        return "not compared"
    if not rows.added and not rows.removed and not rows.changed:
        return f"none changed, all {rows.equal:,} are equal"
    return (
        f"{rows.added:,} added, {rows.removed:,} removed, {rows.changed:,} changed,"
        f" {rows.equal:,} equal"
    )


def _short(file_id: str) -> str:
    return file_id[:8]


def _moment(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment else ""


def _wrapped(head: str, text: str) -> str:
    return textwrap.fill(
        f"{head} {text}",
        WIDTH,
        subsequent_indent=" " * 11,
        replace_whitespace=False,
        break_on_hyphens=False,
    )


def _say(line: str) -> None:
    stdout.print(line, markup=False, highlight=False)
