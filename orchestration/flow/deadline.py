"""A deadline that holds even for work that cannot be interrupted.

Prefect's timeouts interrupt Python. They do not interrupt a database driver that waits for its
server, in this thread or in another: https://github.com/PrefectHQ/prefect/issues/15760
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Failed

from orchestration.flow import runs

# added to Prefect's own timeout, which ends a run more gently and so goes first
GRACE_SECONDS = 30.0
EXIT_CODE = 124


@contextmanager
def deadline(seconds: float, what: str) -> Iterator[None]:
    """End this process if the ``with`` block still runs ``GRACE_SECONDS`` after ``seconds``.

    The state of the flow run is then TimedOut. Unfinished work of the block is not committed, so
    the night can be run again.
    """
    run_id = runs.current()  # read here: the timer's thread does not have this context

    def end() -> None:
        message = (
            f"{what} was still at work after {seconds:.0f} s, and was stopped with its process"
        )
        sys.stderr.write(f"error: {message}\n")
        try:
            if run_id:
                with get_client(sync_client=True) as client:
                    state: State[None] = Failed(name="TimedOut", message=message)
                    client.set_flow_run_state(run_id, state, force=True)
        finally:
            os._exit(EXIT_CODE)

    timer = threading.Timer(seconds + GRACE_SECONDS, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
