"""Compare the raw tables with the lake, to find values that were changed after the load.

A load records how many rows it wrote, not their values: a checksum at load would cost a scan each
night. So a comparison reads both sides again, and is made only when it is asked for.
"""

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from dlt.common.destination.exceptions import DestinationTerminalException

from ingestion.dlt_runner import landed_file
from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.files import address
from ingestion.progress import Progress, Quiet
from ingestion.scratch import scratch_folder
from ingestion.settings import Settings
from ingestion.warehouse import engine_for
from ingestion.warehouse.base import files_are_there, tables_loaded


@dataclass(frozen=True)
class Compared:
    """One raw table compared with its file; ``error`` is none if they are equal."""

    version: FileVersion
    error: str | None

    @property
    def table(self) -> str:
        """The raw table, as SQL names it."""
        return f"raw.{self.version.table_name}"


CHANGED = (
    "it differs from its file in the lake: somebody has changed it. Drop it (on PostgreSQL with"
    " cascade), and medallion run loads it again. If the marts were built from it, build them"
    " again with medallion transform --full-refresh"
)


def compare(
    settings: Settings, leave_out: Container[str] = (), progress: Progress | None = None
) -> list[Compared]:
    """Compare every raw table of the warehouse with its file in the lake, value by value.

    Versions whose ``lake_path`` is to be left out are not compared: their files are damaged. A
    warehouse that reads the lake in place has no raw tables, so it has nothing to compare.
    """
    progress = progress or Quiet()
    engine = engine_for(settings)
    with engine.session(read_only=True) as session:
        loaded = tables_loaded(session) if files_are_there(session) else set()
        versions = [
            version
            for version in Catalog(settings.lake_url, in_part=True).versions()
            if version.table_name in loaded and version.lake_path not in leave_out
        ]
        progress.stage("compare", len(versions), sum(v.bytes for v in versions))
        found = []
        with scratch_folder(settings.dlt_dir) as scratch:
            for version in versions:
                url = address(settings.lake_url, version.lake_path)
                try:
                    with landed_file(url, Path(scratch), version.file_id) as path:
                        is_equal = engine.holds_file(session, version, path)
                except DestinationTerminalException as exc:
                    raise MedallionError(str(exc)) from exc
                found.append(Compared(version, None if is_equal else CHANGED))
                progress.advance(version.bytes)
                progress.file_done(version.name, "equal" if is_equal else "changed")
    return found
