"""Loading a month of 3 million rows, beside DuckDB's own create table as select."""

import tempfile
from datetime import date
from itertools import count
from pathlib import Path

import duckdb

from ingestion.lake import land
from ingestion.warehouse import load
from tests.benchmarks.support import report, settings_in, side_by_side, write_month


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        path = write_month(root / "published", "yellow", date(2025, 1, 1), 3_000_000)
        settings = settings_in(root / "place", root / "published")
        land(settings)
        runs = count()

        def create_table_as() -> None:
            with duckdb.connect(root / f"plain-{next(runs)}.duckdb") as connection:
                connection.execute(f"create table t as select * from read_parquet('{path}')")

        def load_it() -> None:
            warehouse = root / f"loaded-{next(runs)}.duckdb"
            load(settings.model_copy(update={"duckdb_path": warehouse}))

        load_it()  # the imports
        medians = side_by_side({"create table as": create_table_as, "load": load_it})
        report("load 3 million rows", medians, "create table as")


if __name__ == "__main__":
    main()
