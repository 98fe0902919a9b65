"""A static page of a diff, in the style of the site: one file, without scripts."""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from ingestion.publications.diff import Diff, Example, TableDiff

MONTHS = ("service", "month", "rows before", "rows after", "added", "removed", "changed")


def page(diff: Diff) -> str:
    """The whole HTML page."""
    title = f"From {diff.before} to {diff.after}"
    style = files(__package__).joinpath("static", "site.css").read_text("utf-8")
    parts = [
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style}</style></head><body><main class="wrap"><h1>{escape(title)}</h1>'
        f'<p class="lead">{escape(summary(diff))}</p>',
    ]
    for table in diff.tables:
        parts.append(f"<h2>{escape(table.table)}</h2>")
        parts += [f"<p>{escape(line)}</p>" for line in remarks(table)]
        parts.append(_table(MONTHS, month_rows(table)))
        if columns := column_rows(table):
            parts.append(_table(("column", "rows changed", "sum before", "sum after"), columns))
        if table.examples:
            parts.append(
                _table(("example", "row", "values"), [(e.kind, *told(e)) for e in table.examples])
            )
    return "".join([*parts, "</main></body></html>\n"])


def summary(diff: Diff) -> str:
    """One line for people."""
    if not diff.tables:
        return f"{diff.after} shows what {diff.before} shows: all {diff.equal} tables are equal."
    total = len(diff.tables) + diff.equal
    return f"{len(diff.tables)} of {total} tables differ between {diff.before} and {diff.after}."


def remarks(table: TableDiff) -> list[str]:
    """Tables and columns that are on one side only, which the counts do not show."""
    said = {
        "The table is new.": table.is_new,
        "The table is gone.": table.is_gone,
        f"New columns: {', '.join(table.new_columns)}.": table.new_columns,
        f"Columns that are gone: {', '.join(table.gone_columns)}.": table.gone_columns,
    }
    return [line for line, is_so in said.items() if is_so]


def month_rows(table: TableDiff) -> list[tuple[Any, ...]]:
    """The counts of each month that differs."""
    return [
        (
            rows.service or "",
            f"{rows.month:%Y-%m}" if rows.month else "",
            rows.before,
            rows.after,
            rows.added,
            rows.removed,
            "" if rows.changed is None else rows.changed,
        )
        for rows in table.months
    ]


def column_rows(table: TableDiff) -> list[tuple[Any, ...]]:
    """How often each column has changed, and its sums where they differ."""
    rows = []
    for column in {**table.columns, **table.sums}:
        total = table.sums.get(column)
        rows.append(
            (
                column,
                table.columns.get(column, ""),
                total.before if total else "",
                total.after if total else "",
            )
        )
    return rows


def told(example: Example) -> tuple[str, str]:
    """The row of an example, and which of its values have changed."""
    changes = (f"{c}: {was} -> {example.after[c]}" for c, was in example.before.items())
    row = (f"{c} {value}" for c, value in example.row.items() if value is not None)
    return ", ".join(row), "; ".join(changes)


def _table(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    # a table that is wider than a phone can be scrolled, by keyboard too
    label = f'role="region" aria-label="{escape(titles[0])}"'
    return f'<div class="scroll" tabindex="0" {label}>{table}</div>'


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    return f'<td class="number">{value:,}</td>'
