"""The protocol for progress reports.

Stages report to a ``Progress``. The default ignores the reports; the command line draws them. Calls
come from several threads.
"""

import threading
from collections.abc import Callable
from typing import Protocol

from ingestion.words import on_one_line


class Progress(Protocol):
    """Receives the progress of a stage."""

    def stage(self, name: str, files: int, total_bytes: int | None = None, /) -> None:
        """A stage begins, with this many files to do (for the transform: models)."""

    def advance(self, done_bytes: int, /) -> None:
        """``done_bytes`` more bytes are done."""

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """One file (or model) is done.

        ``note`` is its outcome; it is empty where the file only counts.
        """

    def say(self, message: str, /) -> None:
        """A message for readers of the log."""


class Quiet:
    """A ``Progress`` that says nothing."""

    def stage(self, _name: str, _files: int, _total_bytes: int | None = None, /) -> None:
        """Say nothing."""

    def advance(self, _done_bytes: int, /) -> None:
        """Say nothing."""

    def file_done(self, _name: str, _note: str, _rows: int | None = None, /) -> None:
        """Say nothing."""

    def say(self, _message: str, /) -> None:
        """Say nothing."""


class Lines:
    """A ``Progress`` as plain lines, for logs: one for each stage, and one for each file."""

    def __init__(self, write: Callable[[str], object]):
        self._write = write
        self._lock = threading.Lock()
        self._stage = ""

    def stage(self, name: str, files: int, total_bytes: int | None = None, /) -> None:
        """Write a line for the stage that begins."""
        self._stage = name
        size = f", {total_bytes / 1e6:,.1f} MB" if total_bytes else ""
        self.say(f"{name}: {files} to do{size}")

    def advance(self, _done_bytes: int, /) -> None:
        """Say nothing: a log shows files, not bytes."""

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """Write a line with one file's outcome."""
        count = f", {rows:,} rows" if rows is not None else ""
        if note:
            self.say(f"{self._stage} {name}: {note}{count}")

    def say(self, message: str, /) -> None:
        """Write the message on one line: it may hold text of a file."""
        with self._lock:
            self._write(on_one_line(message))
