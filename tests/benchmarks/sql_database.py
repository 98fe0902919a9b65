"""A table of PostgreSQL to a file and to the lake, against ``COPY … TO`` into a Parquet writer.

``BENCHMARK_ROWS`` says fewer rows than 3 million. The server is one of the benchmark's own.
"""

import os
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from ingestion.land import Outcome, land
from ingestion.settings import Settings
from ingestion.sources import registry
from ingestion.sources.base import Fetched
from ingestion.sources.kinds import kind_of
from tests.benchmarks.support import peak_mb, report, rows_of_a_month, side_by_side
from tests.support.debian_postgres import DebianPostgres, debian_postgres

ROWS = rows_of_a_month(3_000_000)
TABLE = f"""
create table trips as
select
    i::bigint as trip_id,
    (i % 3 + 1)::int as vendor_id,
    timestamp '2024-01-01' + i * interval '0.8 s' as pickup_at,
    timestamp '2024-01-01' + i * interval '0.8 s' + (i % 3600) * interval '1 s' as dropoff_at,
    timestamptz '2024-01-01 00:00+00' + i * interval '0.8 s' as stored_at,
    (i % 6 + 1)::int as passenger_count,
    (i * 7919 % 3000) / 100.0::double precision as trip_distance,
    (i * 104729 % 263 + 1)::int as pickup_zone_id,
    (i * 1299709 % 263 + 1)::int as dropoff_zone_id,
    case i % 20 when 0 then 'Y' else 'N' end as store_and_fwd_flag,
    (i % 4 + 1)::int as payment_type,
    ((i * 31 % 9000) / 100.0)::numeric(10, 2) as fare_amount,
    ((i * 17 % 900) / 100.0)::numeric(10, 2) as tip_amount,
    case when i % 9 = 0 then 6.94 end::numeric(10, 2) as tolls_amount,
    ((i * 31 % 9900) / 100.0)::numeric(10, 2) as total_amount,
    i % 5 = 0 as is_shared
from generate_series(1, {ROWS}::bigint) as i;
alter table trips add primary key (trip_id);
analyze trips;
"""
SOURCE = """
kind = "sql_database"
credentials = { env = "BENCHMARK_DATABASE" }

[datasets.benchmark_trips]
table = "public.trips"
"""


def fetch(folder: Path) -> Fetched:
    """Read the table as ``land`` does."""
    publisher = Settings(_env_file=None).publisher(registry.sources()["benchmark"])
    kind = kind_of(publisher)
    (file,) = kind.discover(publisher, ["benchmark_trips"])
    fetched = kind.fetch(publisher, file, folder / "spool")
    assert fetched
    return fetched


def land_anew(folder: Path) -> None:
    """Fetch the table, check it, and store it in a lake that is empty."""
    place = Path(tempfile.mkdtemp(dir=folder))
    values = {"lake_url": str(place / "lake"), "work_dir": place / "work"}
    (landed,) = land(Settings(_env_file=None, **values), ["benchmark_trips"]).files
    assert landed.outcome is Outcome.NEW


def copy(server: DebianPostgres, folder: Path) -> Path:
    """Read the table as CSV, and write it with the same types and the same compression."""
    types = pq.read_schema(fetch.path)  # type: ignore[attr-defined]
    path = folder / "copied.parquet"
    command = ["psql", "--no-psqlrc", "-c", "copy trips to stdout with (format csv)"]
    environment = os.environ | server.variables
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as running:
        reader = csv.open_csv(
            pa.PythonFile(running.stdout, mode="r"),
            csv.ReadOptions(column_names=types.names, block_size=8 << 20),
            convert_options=csv.ConvertOptions(
                column_types=types, true_values=["t"], false_values=["f"]
            ),
        )
        texts = [field.name for field in types if pa.types.is_string(field.type)]
        with pq.ParquetWriter(path, types, compression="zstd", use_dictionary=texts) as writer:
            for batch in reader:
                writer.write_batch(batch)
    assert running.returncode == 0
    return path


def main() -> None:
    """Print the ratio and the peak of memory."""
    with tempfile.TemporaryDirectory() as place, debian_postgres() as server:
        folder = Path(place)
        (folder / "benchmark").mkdir()
        (folder / "benchmark" / "source.toml").write_text(SOURCE)
        os.environ["MEDALLION_SOURCES"] = str(folder)
        role = server.superuser
        os.environ["BENCHMARK_DATABASE"] = (
            f"postgresql://{role.name}:{quote(role.password)}@{server.host}:{server.port}/postgres"
        )
        server.query(TABLE)
        server.query("vacuum trips")
        fetch.path = fetch(folder).path  # type: ignore[attr-defined]  # and warms the server
        rows = pq.read_metadata(fetch.path).num_rows  # type: ignore[attr-defined]
        assert rows == pq.read_metadata(copy(server, folder)).num_rows == ROWS
        assert pq.read_table(fetch.path).equals(pq.read_table(folder / "copied.parquet"))
        medians = side_by_side(
            {
                "copy": lambda: copy(server, folder),
                "fetch": lambda: fetch(folder),
                "land": lambda: land_anew(folder),
            }
        )
        report(f"{ROWS:,} rows of 16 columns from PostgreSQL to Parquet", medians, "copy")
        at_lake = {"MEDALLION_LAKE_URL": str(folder / "lake")}
        at_lake |= {"MEDALLION_WORK_DIR": str(folder / "work")}
        peak = peak_mb(os.environ | at_lake, "land", "--dataset", "benchmark_trips")
        print(f"  peak memory of medallion land: {peak:,.0f} MB")


if __name__ == "__main__":
    main()
