"""How the last run went, on this machine: what ``medallion status`` says of runs that end early.

dbt records its own runs in the warehouse. A run that fails before dbt, or has nothing to build,
leaves no trace there, and may be unable to: it may have failed because the warehouse is away.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ingestion.errors import WarehouseBusyError
from ingestion.settings import Settings
from ingestion.warehouse import engine_for


@contextmanager
def recorded(settings: Settings, command: str, by: str = "medallion") -> Iterator[list[str]]:
    """Record how a run ends; it appends its faults to the list, or raises."""
    faults: list[str] = []
    try:
        yield faults
    except WarehouseBusyError:
        raise  # it has not begun, and is tried again
    except BaseException as exc:
        faults.append(str(exc) or type(exc).__name__)
        _record(settings, by, command, faults)
        raise
    _record(settings, by, command, faults)


def last_recorded(settings: Settings) -> dict[str, Any] | None:
    """The last run on this warehouse that was recorded here."""
    try:
        found = json.loads(_path(settings).read_text())
        return {**found, "completed_at": datetime.fromisoformat(found["completed_at"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or one that another release wrote in another way


def _record(settings: Settings, by: str, command: str, faults: list[str]) -> None:
    said = {
        "by": by,
        "command": command,
        "completed_at": datetime.now(UTC).isoformat(),
        "succeeded": not faults,
        "error": faults[0] if faults else None,
    }
    path = _path(settings)
    partial = path.with_suffix(".partial")
    with suppress(OSError):  # a run is no worse for it
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(said))
        partial.replace(path)


def _path(settings: Settings) -> Path:
    warehouse = hashlib.sha256(engine_for(settings).label.encode()).hexdigest()[:16]
    return settings.work_dir / "runs" / f"{warehouse}.json"
