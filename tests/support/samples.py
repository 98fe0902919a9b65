"""A part of the sample that takes half the time: it has every service and the restated month."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from ingestion.settings import PROJECT_ROOT
from ingestion.sources.tlc.sample import publish_sample

TRIP_FILES = {
    "trip-data/yellow_tripdata_2023-01.parquet",
    "trip-data/green_tripdata_2023-01.parquet",
    "trip-data/green_tripdata_2023-02.parquet",
    "trip-data/green_tripdata_2025-01.parquet",
    "trip-data/fhv_tripdata_2023-01.parquet",
    "trip-data/fhvhv_tripdata_2025-01.parquet",
}


def copied_project(folder: Path) -> Path:
    """A copy of the project in a folder, whose models a test may change."""
    project = folder / "project"
    without = shutil.ignore_patterns("target", "logs", "__pycache__")
    for name in ("ingestion", "orchestration", "dbt_project"):
        shutil.copytree(PROJECT_ROOT / name, project / name, ignore=without)
    return project


def publish_part(folder: Path, republished: bool = False) -> None:
    """Publish this part; leave unchanged files alone, as ``publish_sample`` does."""
    for name, content in _part(republished).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)


@cache
def _part(republished: bool) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as made:
        publish_sample(Path(made), republished)
        files = {str(path.relative_to(made)): path for path in Path(made).rglob("*.*")}
        return {
            name: path.read_bytes()
            for name, path in files.items()
            if name in TRIP_FILES or not name.startswith("trip-data/")
        }
