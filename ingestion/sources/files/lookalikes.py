"""Files and folders in a publisher's folder that look like what is read, and are not.

A month is one file ``trip-data/{dataset}_tripdata_{YYYY-MM}.parquet``, ``.csv`` or ``.csv.gz``; the
zones and TLC's report lie in ``misc/``. What is named nearly so was meant to be one: it is told
of, with what to do.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ingestion.settings import REPORT_IN_FOLDER
from ingestion.sources.files.publisher import MONTHS_FOLDER, month_of_name
from ingestion.sources.tlc.datasets import DATASETS, FORMATS, TRIP_DATASETS, Dataset

_DATASETS = {d.name: d for d in TRIP_DATASETS}
_LIKE = re.compile(
    rf"(?P<dataset>{'|'.join(sorted(_DATASETS, key=len, reverse=True))})[ _-]*trip[ _-]*data[ _-]*"
    r"(?P<year>\d{4})[ _-]?(?P<month>\d{1,2})(?!\d)(?P<rest>.*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
# TLC itself called the zones taxi+_zone_lookup.csv for years
_REFERENCES = {
    "misc/taxi_zone_lookup.csv": re.compile(r"taxi[ +_-]*zone[ +_-]*lookup", re.IGNORECASE),
    REPORT_IN_FOLDER: re.compile(r"data[ _-]*reports[ _-]*monthly", re.IGNORECASE),
}
_PACKED = (".gz", ".zip", ".zst", ".bz2", ".xz", ".7z", ".rar", ".lz4", ".tar", ".tgz")
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".filepart", ".tmp", ".aria2")


@dataclass(frozen=True)
class Lookalike:
    """Something that looks like a month, why it is not read, and what to do."""

    dataset: Dataset
    month: date | None  # none where its name says none that there can be
    path: Path
    words: str


def lookalikes(folder: Path) -> list[Lookalike]:
    """All of a publisher's folder, by their paths; raises ``OSError``."""
    paths = sorted(_places(folder))
    months = [found for path in paths if (found := _judged(folder, path))]
    return months + [found for path in paths if (found := _reference(folder, path))]


def _places(folder: Path) -> Iterator[Path]:
    """Where files are put: the folder itself, ``misc/``, ``trip-data/`` and what is in there."""
    months = folder / MONTHS_FOLDER
    for path in folder.iterdir():
        yield path
        is_like = re.sub(r"[ _-]", "", path.name.lower()) == MONTHS_FOLDER.replace("-", "")
        if is_like and path != months and path.is_dir():
            yield from path.iterdir()
    if (folder / "misc").is_dir():
        yield from (folder / "misc").iterdir()
    if not months.is_dir():
        return
    for path in months.iterdir():
        yield path
        if path.is_dir() and not _LIKE.search(path.name):
            with os.scandir(path) as entries:
                yield from (Path(entry.path) for entry in entries)


def _judged(folder: Path, path: Path) -> Lookalike | None:
    if path.name.startswith(".") or not (like := _LIKE.search(path.name)):
        return None
    dataset = _DATASETS[like["dataset"].lower()]
    is_in_place = path.parent == folder / MONTHS_FOLDER
    exact = month_of_name(dataset, path.name)
    if exact and is_in_place and path.is_file():
        return None
    month = exact[0] if exact else _month(like["year"], like["month"])
    rest = like["rest"].lower()
    name = f"{dataset.name}_tripdata_{month:%Y-%m}{_format(rest)}" if month else ""
    put = f"{MONTHS_FOLDER}/{name}"
    if path.is_symlink() and not path.exists():
        words = f"is a link to {path.readlink()}, where nothing is: mend the link"
    elif path.is_dir():
        words = "is a folder, as Spark writes one; a month is one file"
        words += f": put its part file there as {put}, and all parts in one where there are several"
    elif not month:
        words = (
            f"names no month that there can be, {like['year']}-{like['month']}: give it the name of"
            " its month, or take it away"
        )
    elif rest.endswith(_UNFINISHED):
        words = "is a download that has not ended: let it end, or take it away"
    elif rest.endswith(_PACKED) and rest != ".csv.gz":
        words = f"is packed in a way that is not read: unpack it as {put}"
    elif exact and not is_in_place:
        words = f"does not lie in {MONTHS_FOLDER}/, where months are looked for: move it there"
    elif exact:
        words = "is no regular file: put the file itself there"
    else:
        words = f"is not called as months are: if it is one, call it {put}; if not, take it away"
    return Lookalike(dataset, month, path, f"{path} {words}")


def _reference(folder: Path, path: Path) -> Lookalike | None:
    for dataset in (d for d in DATASETS.values() if not d.monthly):
        put = dataset.path or REPORT_IN_FOLDER
        is_like = _REFERENCES[put].search(path.name) and not path.name.startswith(".")
        if is_like and not (folder / put).is_file():
            return Lookalike(
                dataset, None, path, f"{path} is not looked for under this name: put it as {put}"
            )
    return None


def _month(year: str, month: str) -> date | None:
    is_month = year.startswith("20") and 1 <= int(month) <= 12
    return date(int(year), int(month), 1) if is_month else None


def _format(rest: str) -> str:
    found = (f".{f}" for f in reversed(FORMATS) if f".{f}" in rest)
    return next(found, ".parquet")
