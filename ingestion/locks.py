"""Locks that die with the process that holds them, even when it is killed."""

import fcntl
import os
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from ingestion.addresses import file_name_of
from ingestion.errors import MedallionError
from ingestion.progress import Progress
from ingestion.settings import Settings

HOST_CHARACTERS = 20  # of a machine's name; PostgreSQL keeps 63 bytes of the whole text


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
            _take(file)
        except BlockingIOError:
            raise HeldError(_holder_in(file)) from None
        file.truncate(0)
        file.write(f"{this_process()}\n")
        file.flush()
        yield


def holder_of(path: Path) -> str | None:
    """The process that holds a lock file; None if no process holds it. Raises ``OSError``."""
    try:
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder_in(file)
            return None
    except FileNotFoundError:
        return None


def this_process() -> str:
    """The holder of a lock that begins now: the number of the process, and its machine."""
    host = socket.gethostname().partition(".")[0].encode("ascii", "replace").decode()
    return f"pid {os.getpid()} on {host[:HOST_CHARACTERS]}, since {datetime.now(UTC):%FT%TZ}"


def _take(file: IO[str]) -> None:
    """Take the lock of a file; raise ``BlockingIOError`` if another process holds it.

    A process in ``holder_of`` shares the lock for an instant. That must not stop one that takes it.
    """
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # a holder does not share; this raises again
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
            time.sleep(0.001)


def _holder_in(file: IO[str]) -> str:
    file.seek(0)
    return file.read().strip() or "another process"
