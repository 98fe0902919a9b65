"""``python -P forking_worker.py SOCKET worker start …``: a worker of Prefect that forks its runs.

It is all that a worker is, but that the process of a run comes from ``flow_forks``, which listens
at the socket. It runs where nothing but Prefect can be imported.
"""

import os
import signal
import sys
from collections.abc import Callable, Mapping
from multiprocessing.connection import Client
from typing import Any

import anyio
from prefect.cli import app
from prefect.runner import _starter_engine


class Forked:
    """The process of a run, as far as a worker needs it."""

    def __init__(self, pid: int):
        """It has just been started."""
        self.pid = pid
        self.returncode: int | None = None


def forking(address: str) -> Callable[..., Any]:
    """What a worker calls to start a process and to wait until it ends."""

    async def run_process(
        command: list[str],
        *,
        task_status: Any,
        task_status_handler: Callable[[Any], Any],
        env: Mapping[str, str],
        cwd: Any,
        **_: Any,
    ) -> Forked:
        with Client(address, "AF_UNIX") as connection:
            connection.send((command, dict(env), str(cwd)))
            process = Forked(connection.recv())
            task_status.started(task_status_handler(process))
            try:
                await anyio.wait_readable(connection.fileno())
            except BaseException:
                os.kill(process.pid, signal.SIGTERM)
                raise
            process.returncode = connection.recv()
            return process

    return run_process


if __name__ == "__main__":
    address = sys.argv.pop(1)
    _starter_engine.run_process = forking(address)  # type: ignore[assignment]
    app()
