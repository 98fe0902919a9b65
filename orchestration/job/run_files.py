"""The small files on this machine about the runs on a warehouse, in ``<work_dir>/runs/``.

A run must not fail because a file cannot be written. A reader must accept that a file is missing,
or that another release wrote it.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingestion.settings import Settings
from ingestion.warehouse import engine_for


def record_file(settings: Settings) -> Path:
    """The file that says how the last run on this warehouse ended."""
    warehouse = hashlib.sha256(engine_for(settings).label.encode()).hexdigest()[:16]
    return settings.work_dir / "runs" / f"{warehouse}.json"


def under_way_file(settings: Settings) -> Path:
    """The file with the progress of the run under way on this warehouse."""
    return record_file(settings).with_suffix(".under_way.json")


def read(path: Path) -> dict[str, Any]:
    """The content of a file; empty if there is no such file, or it is not such a JSON object."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, said: dict[str, Any]) -> None:
    """Replace a file atomically; do nothing if it cannot be written."""
    partial = path.with_suffix(".partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(said))
        partial.replace(path)
