"""A lock in the lake, for a warehouse that several machines can write.

In a folder it is a lock file, which is free when its process ends. A bucket has no locks. There it
is a lease: an object that its holder writes anew every few seconds. Others take a lease that stays
unchanged for a minute for that of a dead process, by their own clock, and replace it. The store's
condition on the write decides between two who do so at once.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from ingestion.errors import MedallionError, ReplacedError
from ingestion.lake.storage.store import Store
from ingestion.locks import HeldError, holder_of, locked_file, this_process, turn_with_file
from ingestion.progress import Progress

BEAT_SECONDS = 10.0
DEAD_SECONDS = 60.0
POLL_SECONDS = 1.0
FREE = b"{}"


@contextmanager
def leased(
    store: Store, name: str, beat: float = BEAT_SECONDS, dead: float = DEAD_SECONDS
) -> Iterator[None]:
    """Hold a lock of this name for a ``with`` block; raise ``HeldError`` if another process does.

    A holder that could not write its lease for a minute may have lost it. Then it ends itself, by
    SIGTERM: another one may be at work.
    """
    if store.is_local:
        with locked_file(Path(store.path(name))):
            yield
        return
    lease = _Lease(store, name)
    lease.take(dead)
    ended = threading.Event()
    beating = threading.Thread(target=lease.keep, args=(ended, beat, dead), daemon=True)
    beating.start()
    try:
        yield
    finally:
        ended.set()
        beating.join()
        lease.free()


@contextmanager
def turn(store: Store, name: str, what: str, progress: Progress) -> Iterator[None]:
    """Hold a lock of this name for a ``with`` block; wait while another process holds it."""
    if store.is_local:
        with turn_with_file(Path(store.path(name)), what, progress):
            yield
        return
    with ExitStack() as held:
        while True:
            try:
                held.enter_context(leased(store, name))
                break
            except HeldError as exc:
                progress.say(f"waiting for {exc}, which is at {what}")
        yield


def lease_holder(store: Store, name: str) -> str | None:
    """The process that holds the lock, and since when; None if no process does.

    In a bucket, a lease of a process that has died counts for a minute by the clocks of both.
    """
    if store.is_local:
        return holder_of(Path(store.path(name)))
    try:
        content, _ = store.read_tagged(name)
    except FileNotFoundError:
        return None
    told = _told(content)
    written = told.get("written_at", 0.0)
    return told.get("holder") if time.time() - float(written) < DEAD_SECONDS else None


class _Lease:
    """The lease that this process holds, or tries to."""

    def __init__(self, store: Store, name: str):
        self._store, self._name = store, name
        self._holder, self._id = this_process(), uuid4().hex
        self._tag: str | None = None

    def take(self, dead: float) -> None:
        """Take the lease; raise ``HeldError`` if its holder is alive."""
        self._await_end(dead)
        try:
            self._write()
        except ReplacedError:
            raise HeldError(self._named()) from None

    def keep(self, ended: threading.Event, beat: float, dead: float) -> None:
        """Write the lease anew until the block has ended; end this process if it is lost."""
        written = time.monotonic()
        while not ended.wait(beat):
            try:
                self._write()
                written = time.monotonic()
            except ReplacedError:
                break
            except MedallionError:  # a store that does not answer may answer again
                if time.monotonic() - written > dead - beat:
                    break
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def free(self) -> None:
        """Give it up; a store that does not answer lets it end by itself."""
        with suppress(MedallionError):
            self._store.replace(self._name, FREE, self._tag)

    def _await_end(self, dead: float) -> None:
        """Return once nobody holds it; raise ``HeldError`` if somebody writes it meanwhile."""
        seen: str | None = None
        since = time.monotonic()
        while True:
            try:
                content, self._tag = self._store.read_tagged(self._name)
            except FileNotFoundError:
                self._tag = None
                return
            if not _told(content):
                return
            if seen is not None and self._tag != seen:
                raise HeldError(_told(content).get("holder", "another process"))
            if time.monotonic() - since > dead:
                return
            seen = self._tag
            time.sleep(min(POLL_SECONDS, dead / 10))

    def _write(self) -> None:
        told = {"holder": self._holder, "id": self._id, "written_at": time.time()}
        content = json.dumps(told).encode()
        try:
            self._store.replace(self._name, content, self._tag)
        except ReplacedError:
            # the answer to our last writing may have been lost, and with it the new tag
            there, tag = self._read()
            if _told(there).get("id") != self._id:
                raise
            self._store.replace(self._name, content, tag)
        there, tag = self._read()
        if there != content:  # a store without conditions let both write
            raise ReplacedError(f"{self._name} was taken by another process")
        self._tag = tag

    def _read(self) -> tuple[bytes, str | None]:
        try:
            return self._store.read_tagged(self._name)
        except FileNotFoundError:
            return b"", None

    def _named(self) -> str:
        return lease_holder(self._store, self._name) or "another process"


def _told(content: bytes) -> dict[str, str]:
    try:
        told: dict[str, str] = json.loads(content)
    except ValueError:
        return {}
    return told
