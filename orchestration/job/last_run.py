"""A record on this machine of how the last run ended, for ``medallion status``.

dbt records its own runs in the warehouse. A run that fails before dbt, or that has nothing to
build, has no record there. Nor can a run write one if the warehouse is out of reach.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from ingestion.errors import MedallionError, WarehouseBusyError
from ingestion.progress import Progress, Quiet
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from orchestration.job import run_files
from orchestration.job.metrics import write_metrics
from orchestration.job.under_way import Run, kind_of, only_run


@contextmanager
def recorded(
    settings: Settings,
    command: str,
    by: str = "medallion",
    progress: Progress | None = None,
    lock: Callable[[], AbstractContextManager[object]] | None = None,
) -> Iterator[Run]:
    """Hold the run lock, report the progress of the run, and record its end and its metrics.

    The caller appends errors to ``errors`` of the yielded ``Run``, or raises; the errors before
    that are then notes of the exception. ``lock`` takes the lock in place of ``only_run``. Raises
    ``WarehouseBusyError`` while another run is active.
    """
    run = Run(settings, command, by, progress or Quiet())
    with ExitStack() as held:
        try:
            held.enter_context(lock() if lock else only_run(settings))
            held.enter_context(run.reported())
            yield run
        except WarehouseBusyError:
            raise  # the run has not begun; the caller may retry
        except BaseException as exc:
            # if a signal comes while this waits for the lock, no run has begun
            if run.has_begun or isinstance(exc, MedallionError):
                for error in run.errors:
                    exc.add_note(error)
                run.errors.append(str(exc) or type(exc).__name__)
                _record(settings, run)
            raise
        _record(settings, run)


def last_recorded(settings: Settings) -> dict[str, Any] | None:
    """The last run on this warehouse that this machine recorded; None if there is none.

    A run that was killed counts too: ``completed_at`` is when it was last heard of.
    """
    found = filter(None, [_ended(settings), _broken_off(settings)])
    return max(found, key=lambda run: run["completed_at"], default=None)


def _ended(settings: Settings) -> dict[str, Any] | None:
    found = run_files.read(run_files.record_file(settings))
    for name in ("took", "good_at"):
        found.pop(name, None)
    try:
        return {**found, "completed_at": datetime.fromisoformat(found["completed_at"])}
    except (ValueError, KeyError, TypeError):
        return None  # no record yet, or another release wrote it in another format


def _broken_off(settings: Settings) -> dict[str, Any] | None:
    """The run that left the file of its progress, which each run removes at its end."""
    path = run_files.under_way_file(settings)
    said = run_files.read(path)
    if not {"holder", "by", "command"} <= said.keys():
        return None
    if engine_for(settings).holder() == said["holder"]:
        return None  # it still runs
    with suppress(OSError):  # it is gone where another run ends meanwhile
        at = f" at {said['stage']}" if "stage" in said else ""
        return {
            "by": said["by"],
            "command": said["command"],
            "completed_at": datetime.fromtimestamp(path.stat().st_mtime, UTC),
            "succeeded": False,
            "error": f"it was ended from outside{at}; run it again",
        }
    return None


def _record(settings: Settings, run: Run) -> None:
    run.end()
    path = run_files.record_file(settings)
    before = run_files.read(path)
    took = before.get("took")
    took = took if isinstance(took, dict) else {}
    # a run without work tells nothing about how long the next one takes
    kind = kind_of(run.command)
    if not run.errors and (run.had_work or kind not in took):
        took[kind] = run.seconds
    now = datetime.now(UTC)
    good_at = before.get("good_at") if run.errors else now.isoformat()
    said = {
        "by": run.by,
        "command": run.command,
        "completed_at": now.isoformat(),
        "succeeded": not run.errors,
        "error": run.errors[0] if run.errors else None,
        "good_at": good_at,
        "took": took,
    }
    run_files.write(path, said)
    write_metrics(settings, run, datetime.fromisoformat(good_at) if good_at else None)
