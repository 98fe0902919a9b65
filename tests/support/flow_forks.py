"""Fork the processes of flow runs from one that has done the slow imports.

A worker of Prefect starts Python twice for a run: to prepare its folder, and, with ``exec`` in the
same process, to execute it. ``forking_worker`` asks here for that process instead. It is a process
and a session of its own as any other, and dies as any other.
"""

import atexit
import os
import runpy
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from multiprocessing.connection import Connection, Listener
from pathlib import Path
from typing import NoReturn

from tests.support import processes


class _Executed(BaseException):
    """What a process goes on with, where another calls ``exec``."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str]):
        super().__init__(command)
        self.command, self.environment = command, environment


@contextmanager
def forks(folder: Path) -> Iterator[Path]:
    """Fork flow runs for whoever asks at the socket in ``folder``; gives its path."""
    address = folder / "forks"
    process = processes.start(_serve, str(address))
    try:
        processes.wait_until(address.exists)
        yield address
    finally:
        processes.kill(process)


def name_of(run: str) -> str:
    """The name of the process that executes a flow run: Linux keeps 15 bytes of it."""
    return run[:15]


def _serve(address: str) -> None:
    # it would tell Prefect's makers of this import
    os.environ["DO_NOT_TRACK"] = "1"
    for name in ("prefect.flow_engine", "prefect.runner._workspace_supervisor"):
        import_module(name)
    import_module("orchestration.flows")
    assert threading.active_count() == 1, threading.enumerate()  # a fork copies no other threads
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with Listener(address, "AF_UNIX") as listener:
        while True:
            connection = listener.accept()
            if os.fork() == 0:
                listener.close()
                _look_after(connection)
            connection.close()


def _look_after(connection: Connection) -> NoReturn:
    """Start what is asked for; say its process id, and how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    command, environment, cwd = connection.recv()
    begun, begins = os.pipe()
    pid = os.fork()
    if pid == 0:
        connection.close()
        # who knows of the process may at once send a signal to its session
        os.setsid()
        os.close(begins)
        _run(command, environment, cwd)
    os.close(begins)
    os.read(begun, 1)
    connection.send(pid)
    _, status = os.waitpid(pid, 0)
    try:
        connection.send(os.waitstatus_to_exitcode(status))
    finally:  # the worker may be gone
        os._exit(0)


def _run(command: Sequence[str], environment: Mapping[str, str], cwd: str) -> NoReturn:
    """Be ``python -m prefect.runner._workspace_supervisor``, then ``python -m prefect.engine``."""
    from prefect import context

    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
    os.execvpe = _execute  # type: ignore[assignment]
    os.chdir(cwd)
    code: object = 0
    while command:
        os.environ.clear()
        os.environ.update(environment)
        context.refresh_global_settings_context()
        _, option, module, *arguments = command
        assert option == "-m", command
        if module == "prefect.engine":
            Path("/proc/self/comm").write_text(name_of(environment["PREFECT__FLOW_RUN_ID"]))
        sys.argv = [module, *arguments]
        command = ()
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        except _Executed as executed:
            command, environment = executed.command, executed.environment
        except SystemExit as ended:
            code = ended.code
        except BaseException:
            code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    os._exit(code if isinstance(code, int) else int(code is not None))


def _execute(_: str, command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    raise _Executed(command, environment)
