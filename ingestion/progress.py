"""How long work tells whoever watches what it is doing.

Stages report to a ``Progress``; the default says nothing, the command line draws it. Reports come
from several threads.
"""

import threading
from collections.abc import Callable
from typing import Protocol


class Progress(Protocol):
    """Receives what a stage has done so far."""

    def stage(self, name: str, files: int, total_bytes: int | None = None, /) -> None:
        """A stage begins with this many files (models, for the transform) to do."""

    def advance(self, done_bytes: int, /) -> None:
        """So many more bytes are done."""

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """One file (or model) is done.

        ``note`` says how it went; it is empty for what only counts.
        """

    def say(self, message: str, /) -> None:
        """Something that a reader of the log should know."""


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
        """Say what begins."""
        self._stage = name
        size = f", {total_bytes / 1e6:,.1f} MB" if total_bytes else ""
        self.say(f"{name}: {files} to do{size}")

    def advance(self, _done_bytes: int, /) -> None:
        """Say nothing: a log wants files, not bytes."""

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """Say how one file went."""
        count = f", {rows:,} rows" if rows is not None else ""
        if note:
            self.say(f"{self._stage} {name}: {note}{count}")

    def say(self, message: str, /) -> None:
        """Say it."""
        with self._lock:
            self._write(message)
