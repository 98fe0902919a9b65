"""Small generated files in the form in which TLC publishes them."""

import gzip
import os
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.sources.base import Column, FileFormat
from ingestion.sources.tlc.datasets import DATASETS

_TYPES: dict[str, pa.DataType] = {
    "int32": pa.int32(),
    "int64": pa.int64(),
    "double": pa.float64(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "timestamp[us]": pa.timestamp("us"),
}

ZONES = (
    b'"LocationID","Borough","Zone","service_zone"\r\n'
    b'1,"EWR","Newark Airport","EWR"\r\n'
    b'2,"Queens","Jamaica Bay","Boro Zone"\r\n'
    b'128,"Manhattan","Inwood Hill Park, ""North""","Boro Zone"\r\n'
    b'264,"Unknown","N/A","N/A"\r\n'
)


def trip_files(folder: Path) -> list[tuple[str, date, Path]]:
    """Every monthly file in a folder, as (dataset, month, path)."""
    found = []
    for path in sorted((folder / "trip-data").glob("*.parquet")):
        dataset, _, month = path.stem.partition("_tripdata_")
        found.append((dataset, date.fromisoformat(f"{month}-01"), path))
    return found


def csv_heads(folder: Path) -> dict[str, bytes]:
    """The first lines of TLC's CSV months, by file name.

    Each is the longest head there is, cut to whole lines.
    """
    heads = {
        path.name: path.read_bytes().rpartition(b"\n")[0] + b"\n"  # the last line is cut
        for path in (folder / "samples" / "heads-1kb").glob("*.csv")
    }
    longer = (folder / "samples" / "heads-100-lines").glob("*.csv")
    return dict(sorted((heads | {path.name: path.read_bytes() for path in longer}).items()))


def month_of(file_name: str) -> tuple[str, date]:
    """The dataset and the month in the name of a published file."""
    dataset, _, month = file_name.partition(".")[0].partition("_tripdata_")
    return dataset, date.fromisoformat(f"{month}-01")


def trips(dataset: str, month: date, rows: int = 20, seed: int = 0) -> pa.Table:
    """Rows with the columns of the month's era, each with one of its types in that era."""
    rng = np.random.default_rng([seed, month.toordinal()])
    columns = DATASETS[dataset].era(month).columns
    return pa.table({c.name: _values(c, month, rows, rng) for c in columns})


def _values(column: Column, month: date, rows: int, rng: np.random.Generator) -> pa.Array:
    known = min(column.file_types - {"null"})
    if known == "timestamp[us]":
        start = np.datetime64(month, "us").astype(np.int64)
        values = start + rng.integers(0, 27 * 86_400, rows) * 1_000_000
    elif known == "double":
        values = rng.integers(100, 10_000, rows) / 100
    elif known in ("int32", "int64"):
        values = rng.integers(1, 264, rows)
    elif "datetime" in column.name.lower():
        days = rng.integers(1, 28, rows)
        values = [f"{month:%Y-%m}-{day:02} 12:00:00" for day in days]
    else:
        values = [("N", "Y", "CMT")[i] for i in rng.integers(0, 3, rows)]
    return pa.array(values).cast(_TYPES[known])


def with_column(table: pa.Table, name: str, values: object, type_: object = None) -> pa.Table:
    """The same table with one column replaced, or added at the end if it is new."""
    array = pa.array(values, type_) if not isinstance(values, pa.Array) else values
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), name, array)
    return table.append_column(name, array)


def publish(
    folder: Path,
    dataset: str,
    month: date | None,
    content: pa.Table | bytes,
    file_format: FileFormat | None = None,
) -> Path:
    """Write or replace a file at the path below ``folder`` where TLC would publish it."""
    where = DATASETS[dataset].file_path(month, file_format) or "misc/data_reports_monthly.csv"
    path = folder / where
    path.parent.mkdir(parents=True, exist_ok=True)
    before = path.stat() if path.exists() else None
    path.unlink(missing_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(gzip.compress(content) if file_format == "csv.gz" else content)
    else:
        pq.write_table(content, path)
    if before and path.stat().st_mtime_ns == before.st_mtime_ns:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))  # for a coarse clock
    return path
