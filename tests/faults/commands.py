"""Run the command line in a forked process, in which the slow imports are done already."""

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ingestion.settings import Settings
from orchestration.cli import main
from tests.faults.kills import PATIENCE_SECONDS
from tests.support.processes import Done, fork


class Command:
    """One running ``medallion …`` command, in a process of its own."""

    def __init__(
        self,
        settings: Settings,
        environment: Mapping[str, str],
        *arguments: str,
        prepare: Callable[[], object] | None = None,
    ):
        """Start it; the new process first calls ``prepare``, for example to limit its resources."""
        folder = settings.work_dir.parent.parent
        self._out, self._err = (folder / f"{time.monotonic_ns()}.{n}" for n in ("out", "err"))
        self._begun = time.monotonic()
        self.process = fork(
            run_here,
            (self._out, self._err, variables(settings) | dict(environment), arguments, prepare),
        )

    def ends_within(self, seconds: float) -> bool:
        """Wait so long; return whether it has ended."""
        self.process.join(seconds)
        return self.process.exitcode is not None

    def kill(self) -> None:
        """End it at once, with what it began."""
        os.killpg(self.process.pid, signal.SIGKILL)

    def done(self) -> Done:
        """Wait until it has ended; return what it wrote."""
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode is not None, "it does not end"
        seconds = time.monotonic() - self._begun
        return Done(self.process.exitcode, self._out.read_text(), self._err.read_text(), seconds)


def variables(settings: Settings) -> dict[str, str]:
    """The environment variables that give a command these settings."""
    names = ("tlc_url", "lake_url", "duckdb_path", "work_dir", "target", "raw")
    return {f"MEDALLION_{name.upper()}": str(getattr(settings, name)) for name in names}


def run_here(
    out: Path,
    err: Path,
    environment: Mapping[str, str],
    arguments: tuple[str, ...],
    prepare: Callable[[], object] | None = None,
) -> None:
    """Run ``medallion …`` in this process; it writes its stdout and stderr to these files."""
    for name, descriptor in ((out, 1), (err, 2)):
        opened = os.open(name, os.O_CREAT | os.O_WRONLY, 0o600)
        os.dup2(opened, descriptor)
        os.close(opened)
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    os.environ.update(environment)
    if prepare:
        prepare()
    sys.argv = ["medallion", *arguments]
    main()
