"""Run work in separate processes: to hold a lock, to be killed at a moment, to be measured."""

import multiprocessing
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
import weakref
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import forkserver, resource_tracker
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from ingestion.settings import PROJECT_ROOT

# Children are forked from a server that has done the slow imports and nothing else.
context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(
    [
        "dbt.adapters.duckdb",
        "dbt.adapters.postgres",
        "dbt.cli.main",
        "ingestion.__main__",
        "ingestion.lake.destination",
        "ingestion.warehouse.duckdb.destination",
        "ingestion.warehouse.postgres.destination",
        "orchestration.cli",
        "orchestration.cli.console",
        "orchestration.job.pipeline",
        # DuckDB imports it, where it is installed, for a query with parameters
        "pandas",
        "prometheus_client",
        "pyarrow.parquet",
        "requests",
        "sqlalchemy.engine",
        "sqlparse",
        "tests.support.warm",
    ]
)
# Only these may run forked: other modules read the environment when they are imported, and a flow
# without a server starts one of its own, which would outlive a forked process.
COMMANDS = ("orchestration.cli", "ingestion", "dbt.cli.main", "orchestration.alerting.setup")

PATIENCE_SECONDS = 120


def shared_server() -> str:
    """Start the server for all processes of pytest-xdist; return its address."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server.ensure_running()
    return str(server._forkserver_address)


def use_server(address: str) -> None:
    """Fork from a server that another process has started, and will end."""
    server: Any = forkserver._forkserver  # type: ignore[attr-defined]
    server._forkserver_address = address
    # each child gets a file that it holds open for the server's sake: this one needs none
    server._forkserver_alive_fd = os.open(os.devnull, os.O_WRONLY)
    server.ensure_running = resource_tracker.ensure_running


def start(work: Callable[..., object], *args: object) -> Any:
    """Start ``work(*args)`` in a process of its own; return the process."""
    process = context.Process(target=work, args=args, daemon=True)
    process.start()
    return process


def fork(target: Callable[..., object], args: tuple[object, ...]) -> Any:
    """Start ``target(*args)`` in a process and session of its own; return the process."""
    process = context.Process(target=_in_session, args=(target, args), daemon=False)
    process.start()
    return process


def _in_session(target: Callable[..., object], args: tuple[object, ...]) -> None:
    os.setsid()
    target(*args)


@dataclass(frozen=True)
class Done:
    """How a command ended, what it wrote, and how long it took."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def error(self) -> str:
        """The last line that begins with ``error:``; fails if there is none, or a traceback."""
        assert "Traceback" not in self.stderr, self.stderr[-3000:]
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert lines, f"no error line in: {self.stderr[-2000:]}"
        return lines[-1]

    def reports(self, *words: str) -> bool:
        """Whether it failed with exit code 1 and its last error line has all these words."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        is_reported = bool(lines) and all(word in lines[-1] for word in words)
        return self.code == 1 and is_reported and "Traceback" not in self.stderr


def start_command(
    module: str,
    arguments: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
) -> Any:
    """Start ``python -m module`` as a shell would, but with the slow imports done already.

    Starting Python and these imports cost more than most commands. Returns the process, which
    writes to the files ``out`` and ``err``.
    """
    assert module in COMMANDS, module
    return fork(_run, (module, tuple(arguments), cwd, dict(environment), out, err))


class Started:
    """A command that runs by itself, with what tests use of ``subprocess.Popen``."""

    def __init__(
        self, module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
    ):
        """Start ``python -m module`` with the slow imports done already."""
        folder = Path(tempfile.mkdtemp())
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._said = (folder / "out", folder / "err")
        self._process = start_command(module, arguments, cwd, environment, *self._said)
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of the signal that ended it; None if it runs."""
        code: int | None = self._process.exitcode
        return code

    def poll(self) -> int | None:
        """The exit code, or None if it runs."""
        return self.returncode

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Wait until it has ended; return its exit code."""
        self._process.join(timeout)
        code = self.returncode
        assert code is not None, f"it does not end in {timeout} seconds"
        return code

    def communicate(self, timeout: float = PATIENCE_SECONDS) -> tuple[str, str]:
        """Wait until it has ended; return what it wrote to stdout and to stderr."""
        self.wait(timeout)
        # there are none where it was killed before its first step
        written = [path.read_bytes() if path.exists() else b"" for path in self._said]
        out, err = (text.decode(errors="replace") for text in written)
        return out, err

    def told(self) -> str:
        """What it has written to stderr so far."""
        err = self._said[1]
        return err.read_text() if err.exists() else ""

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)


def run_command(
    module: str, arguments: Sequence[str], cwd: Path, environment: Mapping[str, str]
) -> Done:
    """Run ``python -m module`` to its end, with the slow imports done already."""
    with tempfile.TemporaryDirectory() as folder:
        out, err = (Path(folder) / name for name in ("out", "err"))
        begun = time.monotonic()
        process = start_command(module, arguments, cwd, environment, out, err)
        process.join(600)
        assert process.exitcode is not None, f"{module} {arguments} does not end"
        seconds = time.monotonic() - begun
        return Done(process.exitcode, out.read_text(), err.read_text(), seconds)


def _run(
    module: str,
    arguments: tuple[str, ...],
    cwd: Path,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
) -> None:
    for path, descriptor in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    encoding = environment.get("PYTHONIOENCODING", "utf-8")  # as Python does when it starts
    sys.stdout = os.fdopen(1, "w", encoding=encoding, closefd=False)
    sys.stderr = os.fdopen(
        2, "w", buffering=1, encoding=encoding, errors="backslashreplace", closefd=False
    )
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    if is_copy(cwd):
        _import_anew(cwd)
    sys.argv = [module, *arguments]
    warnings.filterwarnings("ignore", "'.*' found in sys.modules after import", RuntimeWarning)
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def is_copy(folder: Path) -> bool:
    """Whether a folder is a copy of the project, whose code a command that runs there uses."""
    return folder != PROJECT_ROOT and (folder / "ingestion" / "settings.py").exists()


def _import_anew(project: Path) -> None:
    """Let this process import the project's packages from a copy: only other libraries stay."""
    sys.path[:] = [str(project), *(p for p in sys.path if Path(p).resolve() != PROJECT_ROOT)]
    for name in [*sys.modules]:
        if name.partition(".")[0] in ("ingestion", "orchestration"):
            del sys.modules[name]


def without_powers(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as an account that may not read everything: root may, if nobody hinders it."""
    dropped: list[str] = []
    if os.geteuid() == 0:
        if not shutil.which("setpriv"):
            pytest.skip("root reads everything, and setpriv is not installed")
        dropped = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    return subprocess.run([*dropped, *command], check=False, capture_output=True, text=True)


def peak() -> int:
    """The peak memory of this process alone, in KiB, without that of its parent."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # not getrusage: in a forked process, it begins with the peak of the parent
    return int(status.read_text().partition("VmHWM:")[2].split()[0])


def event() -> Any:
    """An event that one process sets and another waits for."""
    return context.Event()


def kill(process: Any) -> None:
    """Kill the process with SIGKILL, and wait for its end."""
    os.kill(process.pid, signal.SIGKILL)
    process.join(PATIENCE_SECONDS)


def killed_when(
    audit_event: str, fragment: str, work: Callable[..., object], *args: object
) -> bool:
    """Do ``work`` in a process that is killed when an audit event first names ``fragment``.

    Returns whether it was killed before the work was done.
    """
    return _died(start(_die_when, audit_event, fragment, work, args))


def lines_executed(
    files: tuple[str, ...], work: Callable[..., object], *args: object
) -> dict[str, int]:
    """Do ``work`` in a process; return how many lines of each file it executes."""
    counts = context.SimpleQueue()
    assert not _died(start(_die_at_line, files, None, counts, work, args))
    return dict(counts.get())


def killed_at_line(file: str, line: int, work: Callable[..., object], *args: object) -> bool:
    """Do ``work`` in a process that is killed before the ``line``-th line it executes of a file.

    Returns whether it was killed before the work was done.
    """
    return _died(start(_die_at_line, (file,), line, None, work, args))


def wait_until(
    condition: Callable[[], object], seconds: float = PATIENCE_SECONDS, pause: float = 0.1
) -> None:
    """Check ``condition`` every ``pause`` seconds until it holds; fail after ``seconds``."""
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
