"""A record on this machine of how the last run ended, for ``medallion status``.

dbt records its own runs in the warehouse. A run that fails before dbt, or has nothing to build,
has no record there. It may not be able to write one: the warehouse may be out of reach.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from ingestion.errors import WarehouseBusyError
from ingestion.progress import Progress
from ingestion.settings import Settings
from orchestration.job import run_files
from orchestration.job.under_way import Run, reported


@contextmanager
def recorded(
    settings: Settings, command: str, by: str = "medallion", progress: Progress | None = None
) -> Iterator[Run]:
    """Report what a run is at, and record how it ends.

    The run holds its lock. It appends its errors to the yielded run's ``faults``, or raises.
    """
    with reported(settings, command, by, progress) as run:
        try:
            yield run
        except WarehouseBusyError:
            raise  # the run has not begun, and is tried again
        except BaseException as exc:
            run.faults.append(str(exc) or type(exc).__name__)
            _record(settings, run)
            raise
        _record(settings, run)


def last_recorded(settings: Settings) -> dict[str, Any] | None:
    """The last run on this warehouse that this machine recorded; None if there is none."""
    found = run_files.read(run_files.record_file(settings))
    found.pop("took", None)
    try:
        return {**found, "completed_at": datetime.fromisoformat(found["completed_at"])}
    except (ValueError, KeyError, TypeError):
        return None  # no record yet, or another release wrote it in another format


def _record(settings: Settings, run: Run) -> None:
    run.end()
    path = run_files.record_file(settings)
    before = run_files.read(path).get("took")
    took = before if isinstance(before, dict) else {}
    # a run without work tells nothing about how long the next one takes
    if not run.faults and (run.had_work or run.command not in took):
        took[run.command] = run.seconds
    said = {
        "by": run.by,
        "command": run.command,
        "completed_at": datetime.now(UTC).isoformat(),
        "succeeded": not run.faults,
        "error": run.faults[0] if run.faults else None,
        "took": took,
    }
    run_files.write(path, said)
