"""Files and folders in a source's folder that look like published files, and are not read.

A month is one file under the dataset's path, in one of its formats; a single file has one path.
A file with nearly such a name was meant to be one: it is reported, with what to do.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from ingestion.sources.base import TABLE_FORMATS, Dataset, Source
from ingestion.sources.files.publisher import month_of_name
from ingestion.words import on_one_line

_MONTH = r"(?P<year>\d{4})[ _-]?(?P<month>\d{1,2})(?!\d)(?P<rest>.*)"
_PACKED = (".gz", ".zip", ".zst", ".bz2", ".xz", ".7z", ".rar", ".lz4", ".tar", ".tgz")
LEVELS = 4  # of folders below that of the months that are searched
NO_FILE = "is no regular file: put the file itself there"
_UNFINISHED = (".crdownload", ".part", ".partial", ".download", ".filepart", ".tmp", ".aria2")


@dataclass(frozen=True)
class Lookalike:
    """A file or folder that looks like a month, why it is not read, and what to do."""

    dataset: Dataset
    month: date | None  # none if its name gives no possible month
    path: Path
    words: str


def lookalikes(source: Source, folder: Path) -> list[Lookalike]:
    """All lookalikes in a source's folder, ordered by path; raises ``OSError``."""
    paths = sorted(_places(source, folder))
    months = [found for path in paths if (found := _judged(source, folder, path))]
    return months + [found for path in paths if (found := _reference(source, folder, path))]


def strange_tables(source: Source, folder: Path) -> list[Path]:
    """Tables where months are looked for, with names of no month at all; raises ``OSError``.

    A source whose months lie in its folder itself may share that with others: it has none.
    """
    of_months = {d.folder for d in source.monthly} - {""}
    paths = {
        path
        for months in (folder / name for name in of_months)
        for path in (_below(source, months) if months.is_dir() else ())
        if path.name.lower().endswith(tuple(f".{f}" for f in TABLE_FORMATS))
        and not any(part.startswith((".", "_")) for part in path.relative_to(months).parts)
    }
    return sorted(path for path in paths if not _like(source, path.name))


def _places(source: Source, folder: Path) -> Iterator[Path]:
    """The places to search: the folder, the folders of its datasets, and all inside them."""
    of_months = {d.folder for d in source.monthly}
    below = {_plain(d.folder): folder / d.folder for d in source.datasets if d.folder}
    for path in folder.iterdir():
        yield path
        is_like = below.get(_plain(path.name), path) != path
        if is_like and path.is_dir():
            yield from path.iterdir()
    for name in sorted({d.folder for d in source.datasets} - of_months - {""}):
        if (folder / name).is_dir():
            yield from (folder / name).iterdir()
    for months in sorted(folder / name for name in of_months):
        if not months.is_dir():
            continue
        for path in months.iterdir():
            if months != folder:
                yield path
            # a link that leads to itself is no folder, and cannot be resolved
            if not path.is_dir() or _like(source, path.name):
                continue
            if not (path.is_symlink() and months.resolve().is_relative_to(path.resolve())):
                yield from _below(source, path)


def _below(source: Source, folder: Path, levels: int = LEVELS) -> Iterator[Path]:
    """Everything in a folder of months and its own folders, as of ``year=2024/month=01``."""
    with os.scandir(folder) as entries:
        paths = [Path(entry.path) for entry in entries]
    for path in paths:
        yield path
        is_folder = path.is_dir() and not path.is_symlink()
        if levels > 1 and is_folder and not _like(source, path.name):
            yield from _below(source, path, levels - 1)


def _plain(name: str) -> str:
    return re.sub(r"[ _-]", "", name.lower())


def _like(source: Source, name: str) -> tuple[Dataset, "re.Match[str]"] | None:
    """The dataset of which a file's name seems to be a month."""
    for dataset in sorted(source.monthly, key=lambda d: len(d.name), reverse=True):
        if found := _pattern(dataset).search(name):
            return dataset, found
    return None


@cache
def _pattern(dataset: Dataset) -> "re.Pattern[str]":
    before = dataset.path.rpartition("/")[2].partition("{month}")[0]
    # people separate words in different ways
    words = r"[ _-]*".join(map(re.escape, re.split(r"[ _-]+", before)))
    return re.compile((dataset.alike or words) + _MONTH, re.IGNORECASE | re.ASCII | re.DOTALL)


def _judged(source: Source, folder: Path, path: Path) -> Lookalike | None:
    if path.name.startswith(".") or not (found := _like(source, path.name)):
        return None
    dataset, like = found
    is_in_place = path.parent == folder / dataset.folder
    exact = month_of_name(dataset, path.name)
    if exact and is_in_place and path.is_file():
        return None
    month = exact[0] if exact else _month(like["year"], like["month"])
    rest = like["rest"].lower()
    ending = next((f for f in reversed(TABLE_FORMATS) if f".{f}" in rest), dataset.file_format)
    put = dataset.file_path(month, ending) if month else ""
    if _is_broken(path):
        words = _broken(path)
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
        words = (
            f"does not lie directly in {dataset.folder}/, where months are looked for: move it"
            " there"
        )
    elif exact:
        words = NO_FILE
    else:
        words = f"is not called as months are: if it is one, call it {put}; if not, take it away"
    return Lookalike(dataset, month, path, on_one_line(f"{path} {words}"))


def _reference(source: Source, folder: Path, path: Path) -> Lookalike | None:
    for dataset in (d for d in source.datasets if not d.monthly and d.alike):
        put = folder / dataset.path
        is_like = re.search(dataset.alike, path.name, re.IGNORECASE)
        if not is_like or path.name.startswith(".") or put.is_file():
            continue
        if _is_broken(path):
            words = _broken(path)
        elif path != put:
            words = f"is not looked for under this name: put it as {dataset.path}"
        elif path.is_dir():
            words = "is a folder, and should be one file: put the file there under this name"
        else:
            words = NO_FILE
        return Lookalike(dataset, None, path, on_one_line(f"{path} {words}"))
    return None


def _is_broken(path: Path) -> bool:
    return path.is_symlink() and not path.exists()


def _broken(path: Path) -> str:
    return f"is a link to {path.readlink()}, where nothing is: mend the link"


def _month(year: str, month: str) -> date | None:
    is_month = year.startswith("20") and 1 <= int(month) <= 12
    return date(int(year), int(month), 1) if is_month else None
