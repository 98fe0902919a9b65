"""Loading a month of 3 million rows, Parquet and CSV, beside DuckDB's own create table as."""

import tempfile
from datetime import date
from itertools import count
from pathlib import Path

import duckdb
import pyarrow.csv
import pyarrow.parquet as pq

from ingestion.land import land
from ingestion.load import load
from tests.benchmarks.support import report, rows_of_a_month, settings_in, side_by_side, write_month

ROWS = rows_of_a_month(3_000_000)
PLAINLY = {
    "parquet": "read_parquet('{path}')",
    # as text, as it is loaded
    "csv": "read_csv('{path}', all_varchar = true)",
}


def main() -> None:
    """Print the medians."""
    for file_format in PLAINLY:
        with tempfile.TemporaryDirectory() as folder:
            _compare(file_format, Path(folder))


def _compare(file_format: str, root: Path) -> None:
    path = write_month(root / "published", "yellow", date(2020, 1, 1), ROWS)
    if file_format == "csv":
        path = _as_csv(path)
    settings = settings_in(root / "place", root / "published")
    land(settings)
    runs = count()

    def create_table_as() -> None:
        source = PLAINLY[file_format].format(path=path)
        with duckdb.connect(root / f"plain-{next(runs)}.duckdb") as connection:
            connection.execute(f"create table t as select * from {source}")

    def load_it() -> None:
        warehouse = root / f"loaded-{next(runs)}.duckdb"
        load(settings.model_copy(update={"duckdb_path": warehouse}))

    load_it()  # the imports
    medians = side_by_side({"create table as": create_table_as, "load": load_it})
    report(f"load {ROWS:,} rows of {file_format}", medians, "create table as")


def _as_csv(path: Path) -> Path:
    """The same month as TLC published it before 2022, in the place of the Parquet file."""
    target = path.with_suffix(".csv")
    pyarrow.csv.write_csv(pq.read_table(path), target)
    path.unlink()
    return target


if __name__ == "__main__":
    main()
