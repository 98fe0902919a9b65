"""The data of the pages: rows of queries, and files that a page can load from disk.

A browser does not let a page on disk fetch a file, but it runs scripts. So each data file is a
script that hands one value to the page's own script.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

DIGITS = 9  # digits shown of a sum of doubles: the engines agree on more than these


def as_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """The result of a query as it is written to a file: names once, then values."""
    return {"columns": list(columns), "rows": [[plain(value) for value in row] for row in rows]}


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    match value:
        case bool() | int() | str() | None:
            return value
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case float():
            return float(f"{value:.{DIGITS}g}") if value == value else None
        case datetime():
            return value.isoformat(timespec="seconds")
        case date():
            return value.isoformat()
        case _:
            return str(value)


def write_data(path: Path, name: str, value: Any) -> None:
    """Write a value as a script that hands it to the page under ``name``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    # in old browsers, these two characters end a line of a script
    text = text.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    path.write_text(f"medallion.data({json.dumps(name)},{text});\n", encoding="utf-8")
