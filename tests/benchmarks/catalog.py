"""The catalog over 600 files, in a folder and in a bucket on loopback: opening it, and one month.

Each time is a new process's, from `duckdb.connect` to the rows. The baseline opens an empty
database and counts nothing.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.reading.views import write_lake_views
from ingestion.lake.storage.store import Store
from ingestion.settings import Settings
from ingestion.sources.files.publisher import months_between
from ingestion.sources.tlc.datasets import TRIP_DATASETS
from tests.benchmarks.support import report, side_by_side
from tests.support.stores import fresh_environment, scratch, store_server
from tests.support.trips import trips

FILES = 600
ROWS = 10
MONTH = date(2019, 5, 1)
QUERY = """
import sys, duckdb
from ingestion.lake.reading.attach import attach_lake
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    attach_lake(connection, sys.argv[2])
    connection.sql(sys.argv[3]).fetchall()
"""


def main() -> None:
    """Print the medians."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        scratch() as data,
        store_server("s3", data) as store,
        fresh_environment(store.environment),
    ):
        root = Path(folder)
        empty = root / "empty.duckdb"
        _run(empty, root.as_uri(), "select 1", read_only=False)
        contents = _contents(root)
        for lake_url in ((root / "lake").as_uri(), store.new_lake()):
            _fill(lake_url, contents)
            settings = Settings(_env_file=None, lake_url=lake_url, work_dir=root)
            views = write_lake_views(settings, root / f"{lake_url[:2]}.duckdb")
            month = f"source_month = date '{MONTH}'"
            asked = {
                "an empty database": (empty, "select 1"),
                "the versions": (views.database, "select count(*) from versions"),
                "the columns of a view": (views.database, "describe from yellow"),
                "one month": (views.database, f"select sum(fare_amount) from yellow where {month}"),
                "one month, as of a day": (
                    views.database,
                    f"select sum(fare_amount) from yellow_as_of(current_date) where {month}",
                ),
                "all rows of all months": (views.database, "select sum(fare_amount) from yellow"),
            }
            medians = side_by_side(
                {
                    name: lambda path=path, url=lake_url, sql=sql: _run(path, url, sql)  # type: ignore[misc]
                    for name, (path, sql) in asked.items()
                }
            )
            report(f"a catalog of {FILES} files, {lake_url[:2]}", medians, "an empty database")


def _contents(folder: Path) -> list[tuple[FileVersion, Path]]:
    """Landings of small files of every dataset and era, as many as TLC has published."""
    found: list[tuple[FileVersion, Path]] = []
    begun = datetime(2026, 1, 1, tzinfo=UTC)
    for dataset in TRIP_DATASETS:
        assert dataset.first_month
        for month in months_between(dataset.first_month, date(2026, 10, 1)):
            table = trips(dataset.name, month, ROWS)
            path = folder / f"{dataset.name}-{month}.parquet"
            pq.write_table(table, path)
            file_id = f"{len(found):08x}" * 8
            landing = FileVersion(
                dataset=dataset.name,
                month=month,
                file_id=file_id,
                source_url=path.as_uri(),
                etag=None,
                last_modified=None,
                bytes=path.stat().st_size,
                row_count=ROWS,
                columns=tuple((f.name, str(f.type)) for f in table.schema),
                lake_path="",
                landed_at=begun + timedelta(seconds=len(found)),
                status="landed",
            )
            name = f"raw/{dataset.name}/{landing.table_name}.parquet"
            found.append((replace(landing, lake_path=name), path))
    return found[-FILES:]


def _fill(lake_url: str, contents: list[tuple[FileVersion, Path]]) -> None:
    store, catalog = Store(lake_url), Catalog(lake_url)
    for landing, path in contents:
        store.put(path, landing.lake_path)
        catalog.append(landing)


def _run(path: Path, lake_url: str, sql: str, read_only: bool = True) -> None:
    script = QUERY if read_only else QUERY.replace(", read_only=True", "")
    command = [sys.executable, "-c", script, str(path), lake_url, sql]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
