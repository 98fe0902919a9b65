"""End the process when it, or one of its threads, gets no memory."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

# made beforehand: there may be no memory to make it when it is needed
MESSAGE = (
    b"error: no memory is left for this process, so it ends here. Give it more memory, or "
    b"raise its limit; then run the same again: it goes on from where it was.\n"
)


@contextmanager
def exit_when_out_of_memory() -> Iterator[None]:
    """Exit with 1, and say why, as soon as this block or a thread of the process has no memory."""
    exit_when_a_thread_has_no_memory()
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        if _is_out_of_memory(exc):
            _exit()
        raise


def exit_when_a_thread_has_no_memory() -> None:
    """Exit with 1 as soon as a thread runs out of memory: other threads would wait for it for ever.

    Python waits for ever for a thread that had no memory to begin
    (https://github.com/python/cpython/issues/140746); dbt and dlt wait for the result of one
    that ended. What was committed stays. Where there is not even memory to call this, the process
    waits, and the alert for a run that takes too long reports it.
    """
    report, report_unraisable = threading.excepthook, sys.unraisablehook

    def ended(raised: threading.ExceptHookArgs) -> None:
        # a C function without memory may return without an exception: Python's SystemError
        if _is_out_of_memory(raised.exc_value) or issubclass(raised.exc_type, SystemError):
            _exit()
        report(raised)

    def ignored(raised: "sys.UnraisableHookArgs") -> None:
        if _is_out_of_memory(raised.exc_value) or "thread started" in (raised.err_msg or ""):
            _exit()
        report_unraisable(raised)

    threading.excepthook, sys.unraisablehook = ended, ignored


def _is_out_of_memory(exc: BaseException | None) -> bool:
    # the system has no memory for the stack of a new thread, or allows no more threads
    no_thread = isinstance(exc, RuntimeError) and "can't start new thread" in str(exc)
    return isinstance(exc, MemoryError) or no_thread


def _exit() -> NoReturn:
    os.write(2, MESSAGE)
    os._exit(1)
