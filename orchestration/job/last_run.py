"""A record on this machine of how the last run ended, for ``medallion status``.

dbt records its own runs in the warehouse. A run that fails before dbt, or has nothing to build,
has no record there. It may not be able to write one: the warehouse may be out of reach.
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
    """Record how a run ends. The run appends its errors to the yielded list, or raises."""
    faults: list[str] = []
    try:
        yield faults
    except WarehouseBusyError:
        raise  # the run has not begun, and is tried again
    except BaseException as exc:
        faults.append(str(exc) or type(exc).__name__)
        _record(settings, by, command, faults)
        raise
    _record(settings, by, command, faults)


def last_recorded(settings: Settings) -> dict[str, Any] | None:
    """The last run on this warehouse that this machine recorded; None if there is none."""
    try:
        found = json.loads(_path(settings).read_text())
        return {**found, "completed_at": datetime.fromisoformat(found["completed_at"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None  # no record yet, or another release wrote it in another format


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
    with suppress(OSError):  # a run must not fail because its record cannot be written
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(said))
        partial.replace(path)


def _path(settings: Settings) -> Path:
    warehouse = hashlib.sha256(engine_for(settings).label.encode()).hexdigest()[:16]
    return settings.work_dir / "runs" / f"{warehouse}.json"
