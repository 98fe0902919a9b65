"""Run the whole job in a process of its own; kill it before or after a step, or at any moment."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from ingestion.settings import Settings
from orchestration.job.pipeline import run
from tests.support import processes

# The steps of the job by name. A kill comes before or after a call of a step.
STEPS = {
    "fetch a file": "ingestion.sources.files.kind:fetch",
    "check a file": "ingestion.land:check",
    "put a file into the lake": "ingestion.lake.storage.store:Store.put",
    "write a catalog record": "ingestion.lake.storage.store:Store.write",
    "load a table (DuckDB)": "ingestion.warehouse.duckdb.destination:RawTableJob.run",
    "load a table (PostgreSQL)": "ingestion.warehouse.postgres.destination:RawTableJob.run",
    "statement of the loader (DuckDB)": "ingestion.warehouse.duckdb.engine:DuckDbSession.execute",
    "statement of the loader (PostgreSQL)": (
        "ingestion.warehouse.postgres.session:PostgresSession.execute"
    ),
    "publish the read views": "ingestion.warehouse.files_table:publish",
    "transform": "orchestration.job.pipeline:transform",
    "statement of dbt": "dbt.adapters.sql.connections:SQLConnectionManager.add_query",
    "audit": "orchestration.job.pipeline:audit",
    "let readers see a publication": "ingestion.publications.write:swap_in",
}
PATIENCE_SECONDS = 300


@dataclass(frozen=True)
class Moment:
    """When to kill: before or after the n-th call of a step, or after some seconds."""

    step: str = ""
    call: int = 0
    after: bool = False
    seconds: float = 0.0

    def __str__(self) -> str:
        if not self.step:
            return f"after {self.seconds:.2f} s"
        return f"{'after' if self.after else 'before'} call {self.call} of: {self.step}"


@dataclass(frozen=True)
class Undisturbed:
    """A run that was not killed: moments of it in the order of time, and how long it took.

    The moments are before and after the first, the middle and the last call of each step.
    """

    boundaries: list[Moment]
    seconds: float


def job(settings: Settings, environment: Mapping[str, str]) -> Undisturbed:
    """Run the whole job in a process of its own; fail if its exit code is not 0."""
    found = processes.context.SimpleQueue()
    begun = time.monotonic()
    process = _start(settings, environment, None, found)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0, f"the job ended with {process.exitcode}"
    taken = time.monotonic() - begun
    nobody_is_left(process.pid)
    return Undisturbed(found.get(), taken)


def killed_job(settings: Settings, environment: Mapping[str, str], moment: Moment) -> bool:
    """Start the job and kill it at the moment; return whether it was killed before its end."""
    process = _start(settings, environment, moment, None)
    process.join(moment.seconds or PATIENCE_SECONDS)
    if process.exitcode is None:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.join(PATIENCE_SECONDS)
    assert process.exitcode in (0, -signal.SIGKILL), f"{moment}: exit code {process.exitcode}"
    nobody_is_left(process.pid)
    return bool(process.exitcode)


def _start(
    settings: Settings, environment: Mapping[str, str], moment: Moment | None, found: Any
) -> Any:
    return processes.fork(_work, (settings, dict(environment), moment, found))


def _work(
    settings: Settings, environment: Mapping[str, str], moment: Moment | None, found: Any
) -> None:
    os.environ.update(environment)
    seen: list[Moment] = []
    for step, where in STEPS.items():
        watch(step, where, seen, moment, die)
    report = run(settings)
    assert not report.errors, report.errors
    if found:
        found.put(_boundaries(seen))


def _boundaries(seen: list[Moment]) -> list[Moment]:
    """Those of the moments that are about the first, the middle and the last call of a step."""
    calls = Counter(moment.step for moment in seen if not moment.after)
    return [m for m in seen if m.call in (1, (calls[m.step] + 1) // 2, calls[m.step])]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def signalled_at(moment: Moment, number: signal.Signals, note: Path) -> None:
    """Make this process send itself a signal at the moment, and note the time in a file."""

    def signalled() -> None:
        note.write_text(repr(time.monotonic()))
        os.kill(os.getpid(), number)

    watch(moment.step, STEPS[moment.step], [], moment, signalled)


def watch(
    step: str, where: str, seen: list[Moment], moment: Moment | None, strike: Callable[[], None]
) -> None:
    """Note each moment before and after a call of the step; ``strike`` at that one ``moment``."""
    module, _, name = where.partition(":")
    owner: Any = import_module(module)
    *outer, name = name.split(".")
    for part in outer:
        owner = getattr(owner, part)
    wrapped: Callable[..., Any] = getattr(owner, name)
    calls = count(1)

    def reach(reached: Moment) -> None:
        seen.append(reached)
        if reached == moment:
            strike()

    @wraps(wrapped)
    def watched(*args: Any, **kwargs: Any) -> Any:
        call = next(calls)
        reach(Moment(step, call))
        result = wrapped(*args, **kwargs)
        reach(Moment(step, call, after=True))
        return result

    setattr(owner, name, watched)


def nobody_is_left(session: int) -> None:
    """Fail if a process of the job's session is still alive."""
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # the fields after the name: state, parent, group, session
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session and fields[0] != "Z":
                left.append(stat.parent.name)
    assert not left, f"processes outlived the job: {left}"


def compared(
    expected: Mapping[str, Counter[Any]], found: Mapping[str, Counter[Any]]
) -> dict[str, int]:
    """Count the rows lost, doubled and wrong; each table maps a row to how often it is there."""
    lost = doubled = wrong = 0
    for table in expected.keys() | found.keys():
        missing = expected.get(table, Counter()) - found.get(table, Counter())
        extra = found.get(table, Counter()) - expected.get(table, Counter())
        twice = sum(n for row, n in extra.items() if row in expected.get(table, ()))
        changed = extra.total() - twice
        doubled += twice
        wrong += changed
        lost += max(0, missing.total() - changed)
    return {"lost": lost, "doubled": doubled, "wrong": wrong}


def rows_of(rows: Iterable[tuple[Any, ...]]) -> Counter[Any]:
    """Rows in a form that can be compared between engines: doubles to nine digits."""
    return Counter(
        tuple(f"{v:.9g}" if isinstance(v, float) else str(v) for v in row) for row in rows
    )
