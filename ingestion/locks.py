"""Locks that die with the process that holds them, even when it is killed."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from ingestion.addresses import file_name_of
from ingestion.errors import MedallionError
from ingestion.progress import Progress
from ingestion.settings import Settings


class HeldError(Exception):
    """Another process holds the lock; the message names the process if it is known."""


@contextmanager
def turn_with_file(path: Path, what: str, progress: Progress) -> Iterator[None]:
    """Hold a lock file for the length of a ``with`` block; wait while another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say(f"waiting for another process, which is at {what}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def turns_with_files(
    settings: Settings, names: Iterable[str], progress: Progress
) -> Iterator[None]:
    """Hold one lock for each published file, waiting for current holders on this machine.

    Two processes that fetch the same file would write into each other's downloads.
    """
    with ExitStack() as stack:
        try:
            settings.spool_dir.parent.mkdir(parents=True, exist_ok=True)
            settings.spool_dir.mkdir(mode=0o700, exist_ok=True)
            # every process locks in the same order, so there is no deadlock
            for name in sorted(names):
                lock = settings.work_dir / "locks" / f"{file_name_of(name)}.lock"
                stack.enter_context(turn_with_file(lock, name, progress))
        except OSError as exc:
            raise MedallionError(f"Cannot write to {settings.spool_dir}: {exc.strerror}.") from exc
        yield


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Hold a lock file for the length of a ``with`` block; raise ``HeldError`` or ``OSError``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise HeldError(file.read().strip() or "another process") from None
        file.truncate(0)
        file.write(f"pid {os.getpid()}\n")
        file.flush()
        yield
