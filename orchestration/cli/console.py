"""Output for people: progress on stderr, results on stdout."""

import math
import re
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import simplejson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from ingestion.progress import Lines, Progress, Quiet
from orchestration.job.comparisons import summary as comparison_lines
from orchestration.job.pipeline import RunReport, passed_over_lines

# lines for a file or a pipe are not wrapped
WIDE = 10_000
SAMPLE = (
    "invented trips between invented zones (Sample zone 12); only the zone numbers and the airports"
    " are real"
)
# the text comes from others: [/b] in an address is not markup, and :x: is not an emoji
stdout = Console(
    soft_wrap=True, markup=False, emoji=False, width=None if sys.stdout.isatty() else WIDE
)


class Drawn:
    """Progress bars for a terminal, with files, bytes, rows and rate."""

    def __init__(self, console: Console):
        self._bars = Bars(
            TextColumn("{task.description:<10}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[amount]}", markup=False),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=console,
        )
        self._lock = threading.Lock()
        self._task: Any = None
        self._bytes = self._rows = 0
        self._begun = 0.0

    def stage(self, name: str, files: int, _total_bytes: int | None = None, /) -> None:
        """Begin a bar."""
        with self._lock:
            self._task = self._bars.add_task(name, total=files, amount="", note="")
            self._bytes = self._rows = 0
            self._begun = time.monotonic()

    def advance(self, done_bytes: int, /) -> None:
        """Count bytes."""
        with self._lock:
            self._bytes += done_bytes
            self._update()

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """Count a file."""
        with self._lock:
            self._rows += rows or 0
            self._update(f"{name} {note}"[:40], 1)

    def say(self, message: str, /) -> None:
        """Print above the bars."""
        self._bars.console.print(message, markup=False, highlight=False, style="dim")

    def _update(self, note: str | None = None, files: int = 0) -> None:
        if self._task is None:
            return
        seconds = max(time.monotonic() - self._begun, 0.001)
        parts = []
        if self._bytes:
            parts.append(f"{self._bytes / 1e6:,.1f} MB, {self._bytes / 1e6 / seconds:,.0f} MB/s")
        if self._rows:
            parts.append(f"{self._rows:,} rows")
        fields = {"amount": ", ".join(parts)} | ({"note": note} if note else {})
        self._bars.update(self._task, advance=files, **fields)  # type: ignore[arg-type]

    def __enter__(self) -> "Drawn":
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


@contextmanager
def progress(quiet: bool) -> Iterator[Progress]:
    """How progress is reported: bars on a terminal, lines in a log, nothing if ``quiet``."""
    console = Console(stderr=True, soft_wrap=True)
    if quiet:
        yield Quiet()
    elif console.is_terminal:
        with Drawn(console) as bars:
            yield bars
    else:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False))


def notice(line: str) -> None:
    """Say something beside the result, on stderr."""
    sys.stderr.write(f"{line}\n")


def print_json(value: Any) -> None:
    """Print dataclasses, mappings and lists as JSON."""
    print(_json(value, indent=2))  # noqa: T201


def compact_json(value: Any) -> str:
    """A nested value as JSON on one line."""
    return _json(value, ensure_ascii=False)


def _json(value: Any, **style: Any) -> str:
    # without an encoding, bytes are left to _plain
    return str(
        simplejson.dumps(_finite(value), default=_plain, allow_nan=False, encoding=None, **style)
    )


def _finite(value: Any) -> Any:
    """The same value with null for NaN and the infinities, which JSON does not have."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Decimal():
            return value if value.is_finite() else None  # it is written with all its digits
        case dict():
            return {_key(key): _finite(item) for key, item in value.items()}
        case list() | tuple():
            return [_finite(item) for item in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return _finite(asdict(value))
        case _:
            return value


def _key(key: Any) -> Any:
    return key if isinstance(key, str | int | float | bool | None) else str(key)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    return str(value)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None
) -> None:
    """Print rows as a table: framed on a terminal, plain and unwrapped elsewhere."""
    rows = list(rows)
    style: dict[str, Any] = {} if stdout.is_terminal else {"box": None, "pad_edge": False}
    table = Table(title=title, title_justify="left", header_style="bold", **style)
    for i, name in enumerate(columns):
        numeric = any(isinstance(r[i], (int, float, Decimal)) for r in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_text(value) for value in row))
    stdout.print(table)


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case bytes() | bytearray() | memoryview():
            return bytes(value).hex()
        case float():
            return f"{value:,.4g}" if abs(value) < 1 else f"{value:,.2f}"
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Text of others without control characters: a terminal would do what they say."""
    return re.sub(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n")
    )


def print_errors(faults: Sequence[str]) -> None:
    """Print the errors on stderr, one line each."""
    for fault in faults:
        sys.stderr.write(f"error: {fault}\n")


def print_summary(report: RunReport, flags: str) -> None:
    """Print what was new, whether the ledger balances, the largest difference, and next steps."""
    result = report.audit
    verdict = "balances" if not result.unbalanced else f"{len(result.unbalanced)} DO NOT BALANCE"
    rows = [
        *([("sample", SAMPLE)] if "--sample" in flags else []),
        ("new", _names(f.published.name for f in report.new)),
        ("re-published", _names(f.published.name for f in report.republished)),
        *(("odd" if i == 0 else "", remark) for i, remark in enumerate(report.remarks[:6])),
        (
            "read in place" if report.in_place else "loaded",
            f"{len(report.loaded.loaded)} versions, {report.loaded.rows:,} rows",
        ),
        ("rows", f"{result.file_rows:,} in {result.files} files"),
        ("valid", f"{result.valid_rows:,}"),
        ("flagged", f"{result.invalid_rows:,}"),
        *((f"  {reason}", f"{count:,}") for reason, count in result.reasons.items()),
        ("ledger", f"{verdict} (file rows = raw rows = fact rows)"),
        *([("missing", _names(m.name for m in report.missing))] if report.missing else []),
        *(
            ("passed over" if i == 0 else "", line)
            for i, line in enumerate(passed_over_lines(result.passed_over))
        ),
        ("published report", _reconciliation(report)),
        *(("", line) for line in comparison_lines(result.comparisons)),
        *([("publication", report.published.summary)] if report.published else []),
        ("warehouse", report.warehouse.removeprefix("the warehouse ")),
    ]
    if not report.transformed.built:
        rows.append(("built", "nothing was stale"))
    width = max(len(name) for name, _ in rows)
    stdout.print()
    for name, value in rows:
        stdout.print(f"{name:<{width}}  {value}", markup=False, highlight=False)
    flag = f"{flags} " if flags else ""
    stdout.print(
        f'\nLook next:  uv run medallion query {flag}"select * from marts.daily_trips limit 10"'
        f"\n            uv run medallion audit {flag}".rstrip(),
        markup=False,
        highlight=False,
    )


def _names(names: Iterable[str]) -> str:
    listed = list(names)
    shown = ", ".join(listed[:6]) + (f" and {len(listed) - 6} more" if len(listed) > 6 else "")
    return f"{len(listed)}: {shown}" if listed else "nothing"


def _reconciliation(report: RunReport) -> str:
    result = report.audit
    counts: dict[str, int] = {}
    for month in result.reconciliation:
        counts[month.status] = counts.get(month.status, 0) + 1
    text = ", ".join(f"{n} {status.replace('_', ' ')}" for status, n in counts.items())
    worst = result.largest_difference
    if worst:
        text += (
            f"; the largest difference is {worst.diff_pct:+.2f} %"
            f" ({worst.service} {worst.month:%Y-%m}, {worst.status.replace('_', ' ')})"
        )
    return text or "nothing to compare"
