"""Files and folders in a publisher's folder that look like months and are not read.

A month is one file ``trip-data/{dataset}_tripdata_{YYYY-MM}.parquet``, ``.csv`` or ``.csv.gz``.
What is named nearly so was meant to be one: it is told of, with what to do.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from ingestion.datasets import FORMATS, TRIP_DATASETS, Dataset
from ingestion.publisher import MONTHS_FOLDER, month_of_name

_DATASETS = {d.name: d for d in TRIP_DATASETS}
_LIKE = re.compile(
    rf"(?P<dataset>{'|'.join(sorted(_DATASETS, key=len, reverse=True))})[ _-]*trip[ _-]*data[ _-]*"
    r"(?P<year>\d{4})[ _-]?(?P<month>\d{1,2})(?!\d)(?P<rest>.*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
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
    return [found for path in sorted(_places(folder)) if (found := _judged(folder, path))]


def _places(folder: Path) -> Iterator[Path]:
    """Where months are put: in the folder itself, in ``trip-data/`` and in what is in there."""
    months = folder / MONTHS_FOLDER
    for path in folder.iterdir():
        yield path
        is_like = re.sub(r"[ _-]", "", path.name.lower()) == MONTHS_FOLDER.replace("-", "")
        if is_like and path != months and path.is_dir():
            yield from path.iterdir()
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


def _month(year: str, month: str) -> date | None:
    is_month = year.startswith("20") and 1 <= int(month) <= 12
    return date(int(year), int(month), 1) if is_month else None


def _format(rest: str) -> str:
    found = (f".{f}" for f in reversed(FORMATS) if f".{f}" in rest)
    return next(found, ".parquet")
