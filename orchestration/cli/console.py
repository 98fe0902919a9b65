"""Output for people: progress on stderr, results on stdout."""

import math
import re
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from rich.text import Text

from ingestion.progress import Lines, Progress, Quiet
from ingestion.words import on_one_line

PATIENCE_SECONDS = 2.0  # what is over sooner needs no bar
REDRAW_SECONDS = 0.2
# lines for a file or a pipe are not wrapped
WIDE = 10_000
LINE, LABEL = 100, 18  # a line that people read, and the names before it


class Plain(Console):
    """Prints the text of others as it is: [/b] is not markup, :x: is not an emoji.

    Control characters are replaced: a terminal would do what they say.
    """

    def __init__(self, **options: Any):
        super().__init__(soft_wrap=True, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """The text of a line, of a cell or of a title."""
        return super().render_str(printable(text), **options)


stdout = Plain(width=None if sys.stdout.isatty() else WIDE)


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
    console = Plain(stderr=True)
    if quiet:
        yield Quiet()
    elif console.is_terminal:
        with Drawn(console) as bars:
            yield bars
    else:
        yield Lines(lambda line: console.print(line, markup=False, highlight=False))


@contextmanager
def waiting(what: str, done_percent: Callable[[], float | None]) -> Iterator[None]:
    """Show on a terminal's stderr how far a ``with`` block is, if it takes more than two seconds.

    ``done_percent`` is asked by another thread; while it gives None, the bar only moves.
    """
    console = Plain(stderr=True)
    if not console.is_terminal:
        yield
        return
    is_done = threading.Event()
    watcher = threading.Thread(
        target=_show_waiting, args=(console, what, done_percent, is_done), daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        is_done.set()
        watcher.join()


def _show_waiting(
    console: Console,
    what: str,
    done_percent: Callable[[], float | None],
    is_done: threading.Event,
) -> None:
    if is_done.wait(PATIENCE_SECONDS):
        return
    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[percent]}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,  # the result stands alone
    )
    began = time.monotonic() - PATIENCE_SECONDS
    with bars:
        task = bars.add_task(what, total=None, percent="")
        bars.tasks[0].start_time = began
        while not is_done.wait(REDRAW_SECONDS):
            percent = done_percent()
            if percent:
                bars.update(task, total=100, completed=percent, percent=f"{percent:.0f} %")


def notice(line: str) -> None:
    """Say something beside the result, on stderr."""
    sys.stderr.write(f"{on_one_line(line)}\n")


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
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    title: str | None = None,
    framed: bool = True,
) -> None:
    """Print rows as a table: ``framed`` on a terminal, plain and unwrapped elsewhere."""
    rows = list(rows)
    is_framed = framed and stdout.is_terminal
    style: dict[str, Any] = {} if is_framed else {"box": None, "pad_edge": False}
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


def print_errors(errors: Sequence[str]) -> None:
    """Print the errors on stderr, one line each."""
    for error in errors:
        sys.stderr.write(f"error: {on_one_line(error)}\n")


def listed(names: Sequence[str], command: str, most: int = 6) -> str:
    """Names in a row of two lines at most; how many more there are, and what shows them."""
    # wrapping leaves a part of a line empty
    room = 2 * (min(stdout.width, LINE) - LABEL) - LABEL
    for count in range(min(len(names), most), 0, -1):
        more = f" and {len(names) - count} more: {command}" if count < len(names) else ""
        text = ", ".join(names[:count]) + more
        if len(text) <= room or count == 1:
            return text
    return ""


def print_lines(rows: Sequence[tuple[str, str]], gap: int = 2) -> None:
    """Print names and values, one below the other; long values are wrapped on a terminal."""
    width = max((len(name) for name, _ in rows), default=0) + gap
    for name, value in rows:
        text = printable(value)
        lines = (
            textwrap.wrap(
                text,
                max(stdout.width - width, 20),
                break_long_words=False,
                break_on_hyphens=False,
            )
            if stdout.is_terminal
            else [text]
        )
        for i, line in enumerate(lines or [""]):
            stdout.print(f"{name if i == 0 else '':<{width}}{line}", highlight=False)
