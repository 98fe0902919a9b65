"""Months of TLC's own files, copied so that a test may replace them."""

import shutil
from pathlib import Path

# Each service, each set of columns and types, and each kind of answer of TLC's report; a month more
# costs each mart as much as these do.
MONTHS = {
    "fhv": ("2020-04",),
    "fhvhv": ("2020-04",),
    "green": ("2020-04", "2023-01", "2023-02", "2023-11", "2024-07", "2025-01", "2025-11"),
    "yellow": ("2018-01", "2019-02", "2020-04"),
}


def at_hand(real_data: Path) -> list[Path]:
    """Every month that there is."""
    return sorted((real_data / "trip-data").glob("*.parquet"))


def twelve(real_data: Path) -> list[Path]:
    """The months of ``MONTHS``."""
    chosen = {
        f"{dataset}_tripdata_{month}" for dataset, months in MONTHS.items() for month in months
    }
    return [path for path in at_hand(real_data) if path.stem in chosen]


def publish(folder: Path, real_data: Path, months: list[Path]) -> None:
    """Publish these months in a folder, with all that is no month."""
    shutil.copytree(real_data / "misc", folder / "misc", copy_function=copy)
    (folder / "trip-data").mkdir()
    for path in months:
        copy(str(path), str(folder / "trip-data" / path.name))


def copy(source: str, target: str) -> None:
    """Copy a file that a test may replace, with its modification time."""
    shutil.copyfile(source, target)
    shutil.copystat(source, target)
    Path(target).chmod(0o644)
