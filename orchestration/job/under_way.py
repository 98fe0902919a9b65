"""Which run is under way, and how far it is.

Only the run lock shows that a run is under way. The run writes its progress and the name of the
lock's holder into a file beside its record. A killed run leaves that file, but nobody then holds
the lock under that name.
"""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from ingestion.errors import MedallionError, WarehouseBusyError
from ingestion.progress import Progress, Quiet
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from orchestration.job import run_files
from orchestration.job.figures import Figures

WRITE_SECONDS = 1.0
KNOWN_RATE = 0.05  # once this part of a stage is done, its rate predicts its end


@dataclass(frozen=True)
class RunUnderWay:
    """The run that holds a warehouse's lock.

    If the run uses another work folder, only ``who`` and ``since`` are known.
    """

    who: str
    since: datetime | None
    by: str | None = None
    command: str | None = None
    stage: str | None = None
    stage_since: datetime | None = None
    done: int = 0
    total: int | None = None  # None until the stage has reported how much there is to do
    unit: str = "files"
    done_bytes: int = 0
    total_bytes: int | None = None
    expected_end: datetime | None = None  # None if nothing is known about it

    def __str__(self) -> str:
        """All of it in one line, without a full stop."""
        parts = [f"{self.by} {self.command} ({self.who})" if self.command else self.who]
        if self.since:
            parts.append(f"since {_minute(self.since)}")
        if self.stage:
            parts.append(f"at {self.stage}{self._how_far()}")
        if self.expected_end:
            parts.append(f"it should be done at about {_minute(self.expected_end)}")
        return ", ".join(parts)

    def _how_far(self) -> str:
        if not self.total:
            return ""
        of_bytes = (
            f", {self.done_bytes / 1e6:,.1f} of {self.total_bytes / 1e6:,.1f} MB"
            if self.total_bytes
            else ""
        )
        return f" ({self.done:,} of {self.total:,} {self.unit}{of_bytes})"


class Run:
    """The state of a run: a ``Progress`` that forwards each report and writes it to a file.

    The code of the run appends to ``errors`` and fills in ``figures``. ``seconds`` has the time of
    each finished stage.
    """

    def __init__(self, settings: Settings, command: str, by: str, onward: Progress):
        self.command = command
        self.by = by
        self.since = datetime.now(UTC)
        self.errors: list[str] = []
        self.figures = Figures()
        self.seconds: dict[str, float] = {}
        self.had_work = False
        self.has_begun = False
        self._settings = settings
        self._onward = onward
        self._path = run_files.under_way_file(settings)
        self._lock = threading.Lock()
        self._changed, self._ended = threading.Event(), threading.Event()
        self._begun = time.monotonic()
        self._said: dict[str, Any] = {}

    def begin(self, stage: str) -> None:
        """Note that a stage begins, and that the stage before it has ended."""
        with self._lock:
            self._end_stage()
            self._begun = time.monotonic()
            self._said |= {
                "stage": stage,
                "stage_since": datetime.now(UTC).isoformat(),
                "done": 0,
                "total": None,
                "done_bytes": 0,
                "total_bytes": None,
            }
            self._write()

    def so_far(self) -> dict[str, float]:
        """The seconds of each finished stage, and how much was landed and loaded."""
        figures = self.figures
        amounts = {
            "landed_bytes": figures.landed_bytes,
            "loaded_files": figures.loaded_files,
            "loaded_rows": figures.loaded_rows,
            "loaded_bytes": figures.loaded_bytes,
        }
        with self._lock:
            seconds = {f"{stage}_seconds": round(taken, 3) for stage, taken in self.seconds.items()}
        return seconds | {name: n for name, n in amounts.items() if n is not None}

    def file_seconds(self) -> dict[str, dict[str, float]]:
        """The seconds for landing and for loading each file, by stage and file name."""
        return {
            stage: {name: round(taken, 3) for name, taken in seconds.items()}
            for stage, seconds in self.figures.file_seconds.items()
            if seconds
        }

    def stage(self, name: str, files: int, total_bytes: int | None = None, /) -> None:
        """Note how much the stage has to do."""
        with self._lock:
            self.had_work = self.had_work or files > 0
            self._said |= {
                "unit": "models and tests" if name == "transform" else "files",
                "done": 0,
                "total": files,
                "done_bytes": 0,
                "total_bytes": total_bytes,
            }
            self._changed.set()
        self._onward.stage(name, files, total_bytes)

    def advance(self, done_bytes: int, /) -> None:
        """Count bytes."""
        with self._lock:
            self._said["done_bytes"] = self._said.get("done_bytes", 0) + done_bytes
            self._changed.set()
        self._onward.advance(done_bytes)

    def file_done(self, name: str, note: str, rows: int | None = None, /) -> None:
        """Count a file (or model)."""
        with self._lock:
            self._said["done"] = self._said.get("done", 0) + 1
            self._changed.set()
        self._onward.file_done(name, note, rows)

    def say(self, message: str, /) -> None:
        """Forward a message."""
        self._onward.say(message)

    def end(self) -> None:
        """Note that the last stage of the run has ended."""
        with self._lock:
            self._end_stage()
        self._ended.set()

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Keep the file up to date inside a ``with`` block; the run already holds the lock."""
        self.has_begun = True
        with suppress(MedallionError):  # without the holder's name, readers ignore the file
            self._said["holder"] = engine_for(self._settings).holder()
        self._said |= {"by": self.by, "command": self.command}
        # in a thread: after its last report, a stage may be silent for long
        writer = threading.Thread(target=self._keep_written, name="under way", daemon=True)
        with suppress(RuntimeError):  # the machine has no memory for one more thread
            writer.start()
        present = _present.set(self)
        try:
            yield
        finally:
            _present.reset(present)
            self.end()
            if writer.is_alive():
                writer.join()
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _end_stage(self) -> None:
        if stage := self._said.pop("stage", None):
            taken = time.monotonic() - self._begun
            self.seconds[stage] = self.seconds.get(stage, 0.0) + taken

    def _keep_written(self) -> None:
        while not self._ended.wait(WRITE_SECONDS):
            if self._changed.is_set():
                with self._lock:
                    self._write()

    def _write(self) -> None:
        self._changed.clear()
        run_files.write(self._path, self._said)


_present: ContextVar[Run | None] = ContextVar("run", default=None)


def present_run(otherwise: Progress) -> Progress:
    """The run under way in this context as a ``Progress``; ``otherwise`` if there is none."""
    return _present.get() or otherwise


@contextmanager
def only_run(settings: Settings) -> Iterator[None]:
    """Keep other runs out; raise ``WarehouseBusyError`` with the progress of an active run."""
    engine = engine_for(settings)
    with ExitStack() as lock:
        try:
            lock.enter_context(engine.only_run())
        except WarehouseBusyError as exc:
            other = run_under_way(settings)
            if other is None:
                raise
            raise WarehouseBusyError(
                f"Another run is under way on {engine.label}: {other}. Wait for it, or try later."
            ) from exc
        yield


@contextmanager
def reported(
    settings: Settings, command: str, by: str = "medallion", progress: Progress | None = None
) -> Iterator[Run]:
    """Report the progress of a run inside a ``with`` block; the run already holds the lock."""
    run = Run(settings, command, by, progress or Quiet())
    with run.reported():
        yield run


def run_under_way(settings: Settings) -> RunUnderWay | None:
    """The run that holds the warehouse's lock now; None if there is none."""
    holder = engine_for(settings).holder()
    if holder is None:
        return None
    who, _, moment = holder.partition(", since ")
    since = None
    with suppress(ValueError):
        since = datetime.fromisoformat(moment)
    said = run_files.read(run_files.under_way_file(settings))
    if said.get("holder") != holder:
        return RunUnderWay(who, since)
    took = run_files.read(run_files.record_file(settings)).get("took", {})
    try:
        stage_since = datetime.fromisoformat(said["stage_since"]) if "stage" in said else None
        return RunUnderWay(
            who,
            since,
            said["by"],
            said["command"],
            said.get("stage"),
            stage_since,
            said.get("done", 0),
            said.get("total"),
            said.get("unit", "files"),
            said.get("done_bytes", 0),
            said.get("total_bytes"),
            stage_since
            and _expected_end(said, stage_since, took.get(kind_of(said["command"]), {})),
        )
    except (KeyError, ValueError, TypeError, AttributeError):  # a file of another release
        return RunUnderWay(who, since)


def kind_of(command: str) -> str:
    """The kind of a run, by its command: ``backfill`` for ``backfill of 2024-01``."""
    return command.partition(" ")[0]


def _expected_end(
    said: Mapping[str, Any], stage_since: datetime, took: Mapping[str, float]
) -> datetime | None:
    """When the run ends, by the present rate and the times of the later stages in the last run.

    ``took`` has the seconds of each stage of the last good run that had work, in order.
    """
    now = datetime.now(UTC)
    stage, elapsed = said["stage"], max((now - stage_since).total_seconds(), 0.0)
    if stage not in took:
        return None
    unit = "bytes" if said["done_bytes"] and said["total_bytes"] else ""
    done, total = (said[f"{of}_{unit}" if unit else of] for of in ("done", "total"))
    part = min(done / total, 1.0) if total else 0.0
    if part >= KNOWN_RATE:
        left = elapsed * (1 - part) / part
    elif took[stage] > elapsed:
        left = took[stage] - elapsed
    else:
        return None
    stages = list(took)
    later = sum(took[name] for name in stages[stages.index(stage) + 1 :])
    return now + timedelta(seconds=left + later)


def _minute(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
