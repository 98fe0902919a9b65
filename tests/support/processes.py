"""Work in processes of its own: to hold a lock, to be killed on cue, to be measured."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

# Children are forked from a server that has the slow imports behind it and has done nothing else.
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "ingestion.warehouse.duckdb.destination",
        "ingestion.lake.destination",
        "ingestion.load",
        "pyarrow.parquet",
        "requests",
    ]
)

PATIENCE_SECONDS = 120


def start(work: Callable[..., object], *args: object) -> Any:
    """Begin ``work(*args)`` in a process of its own."""
    process = _context.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def event() -> Any:
    """An event that a process can set and another await."""
    return _context.Event()


def kill(process: Any) -> None:
    """Kill -9."""
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE_SECONDS)


def killed_when(
    audit_event: str, fragment: str, work: Callable[..., object], *args: object
) -> bool:
    """Do ``work`` in a process that is killed the first time an audit event names ``fragment``.

    Returns whether that came to pass before the work was done.
    """
    return _died(start(_die_when, audit_event, fragment, work, args))


def lines_executed(
    files: tuple[str, ...], work: Callable[..., object], *args: object
) -> dict[str, int]:
    """How many lines of each of the files a process executes that does ``work``."""
    counts = _context.SimpleQueue()
    assert not _died(start(_die_at_line, files, None, counts, work, args))
    return dict(counts.get())


def killed_at_line(file: str, line: int, work: Callable[..., object], *args: object) -> bool:
    """Do ``work`` in a process that is killed before the n-th line that it executes of a file.

    Returns whether that came to pass before the work was done.
    """
    return _died(start(_die_at_line, (file,), line, None, work, args))


def wait_until(
    condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, pause: float = 0.1
) -> None:
    """Return when ``condition`` holds, looking so often; fail when it never does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(pause)


def _died(process: Any) -> bool:
    process.join(PATIENCE_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), f"exit code {process.exitcode}"
    return bool(process.exitcode)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_when(
    audit_event: str, fragment: str, work: Callable[..., object], args: tuple[object, ...]
) -> None:
    def hook(name: str, values: tuple[object, ...]) -> None:
        if name == audit_event and any(fragment in str(value) for value in values):
            _die()

    sys.addaudithook(hook)
    work(*args)


def _die_at_line(
    files: tuple[str, ...],
    line: int | None,
    counts: Any,
    work: Callable[..., object],
    args: tuple[object, ...],
) -> None:
    count, lock = Counter[str](), threading.Lock()

    def within(frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            file = next(f for f in files if frame.f_code.co_filename.endswith(f))
            with lock:
                count[file] += 1
                if count[file] == line:
                    _die()
        return within

    def entered(frame: FrameType, event: str, arg: object) -> Any:
        return within if frame.f_code.co_filename.endswith(files) else None

    threading.settrace(entered)
    sys.settrace(entered)
    work(*args)
    if counts:
        counts.put(count)
