"""The small files on this machine about the runs on a warehouse, in ``<work_dir>/runs/``.

A run must not fail because one of them cannot be written, and a reader bears that one is missing or
that another release wrote it.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingestion.settings import Settings
from ingestion.warehouse import engine_for


def record_file(settings: Settings) -> Path:
    """The file of how the last run on this warehouse ended."""
    warehouse = hashlib.sha256(engine_for(settings).label.encode()).hexdigest()[:16]
    return settings.work_dir / "runs" / f"{warehouse}.json"


def under_way_file(settings: Settings) -> Path:
    """The file of what the run under way on this warehouse is at."""
    return record_file(settings).with_suffix(".under_way.json")


def read(path: Path) -> dict[str, Any]:
    """What a file says; empty if there is no such file, or if it is not one of ours."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write(path: Path, said: dict[str, Any]) -> None:
    """Replace a file at once, if it can be written."""
    partial = path.with_suffix(".partial")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps(said))
        partial.replace(path)
