"""Loading a month of 3 million rows into PostgreSQL, beside other ways to bring them there.

- A server-side binary COPY of the same rows: what the server itself needs for them.
- dlt's own PostgreSQL destination, loading Parquet, which is its fastest format: its job ingests
  over ADBC. It is given the file as dlt's users may give it: as one Arrow table, as Arrow batches,
  or imported, with names as published, so that dlt need not write it anew. (CSV and INSERT, its
  other formats, are several times slower.)
- pandas' ``to_sql`` as it comes, where SQLAlchemy puts 1,000 rows into a statement: a tenth of the
  month, and its seconds times ten.

The server is the one that libpq's variables name, over TCP; its account must be allowed to make
databases, and to read and write files on the server (``pg_read_server_files``,
``pg_write_server_files``, ``pg_checkpoint``).
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dlt
import pandas as pd
import pyarrow.parquet as pq
import sqlalchemy
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns

from ingestion.land import land
from ingestion.load import load
from ingestion.warehouse import connect
from ingestion.warehouse.base import Session
from tests.benchmarks.support import (
    own_database,
    report,
    rows_of_a_month,
    settings_in,
    side_by_side,
    write_month,
)

ROWS = rows_of_a_month(3_000_000)
MONTH = date(2025, 1, 1)
PREPARED = "/tmp/medallion-benchmark.copy"
SCHEMAS = ("raw", "tlc", "plain", "stock", "frames")


def main() -> None:
    """Print the medians."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        own_database() as variables,
    ):
        os.environ |= variables
        root = Path(folder)
        path = write_month(root / "published", "yellow", MONTH, ROWS)
        tenth = write_month(root / "tenth", "yellow", MONTH, ROWS // 10)
        settings = settings_in(root / "place", root / "published", "postgres")
        land(settings)
        load(settings)
        dlt_user = Dlt(root / "dlt")
        engine = sqlalchemy.create_engine("postgresql+psycopg2://")
        with connect(settings) as session:
            _prepare(session)

            def server_side_copy() -> None:
                with session.transaction():
                    session.execute("create table plain.trips (like public.shape)")
                    session.execute(f"copy plain.trips from '{PREPARED}' (format binary, freeze)")

            def to_sql() -> None:
                frame = pd.read_parquet(tenth)
                frame.to_sql("trips", engine, schema="frames", index=False, chunksize=100_000)

            stock: dict[str, Callable[[], object]] = {
                "dlt's own, a table": lambda: dlt_user.run(lambda: _table(path)),
                "dlt's own, batches": lambda: dlt_user.run(lambda: _batches(path)),
                "dlt's own, the file": lambda: dlt_user.run(lambda: _file(path), "direct"),
            }
            medians = side_by_side(
                {
                    "server-side COPY": server_side_copy,
                    "load": lambda: load(settings),
                    **stock,
                    "to_sql": to_sql,
                },
                before=lambda: _clear(session),
            )
            _clear(session)
            session.execute(f"copy (select) to '{PREPARED}'")
        medians["pandas to_sql, a tenth times ten"] = 10 * medians.pop("to_sql")
        report(f"load {ROWS:,} rows into PostgreSQL", medians, "server-side COPY")
        fastest = min(stock, key=lambda name: medians[name])
        print(f"  {fastest} / load: {medians[fastest] / medians['load']:.2f}")
        to_sql_ratio = medians["pandas to_sql, a tenth times ten"] / medians["load"]
        print(f"  pandas to_sql / load: {to_sql_ratio:.2f}")


def _prepare(session: Session) -> None:
    """Keep the loaded month's columns and rows for COPY."""
    ((table,),) = session.query("select table_name from raw.files where is_current").rows
    session.execute(f"create table public.shape (like raw.{table})")
    session.execute(f"copy raw.{table} to '{PREPARED}' (format binary)")


def _clear(session: Session) -> None:
    """Drop what the last one made, after a look whether it is whole."""
    made = session.query(
        "select format('%I.%I', schemaname, tablename) from pg_tables"
        f" where schemaname in {SCHEMAS} and tablename <> 'files' and tablename !~ '^_dlt'"
    )
    for (table,) in made.rows:
        ((rows,),) = session.query(f"select count(*) from {table}").rows
        if rows != (ROWS // 10 if table.startswith("frames.") else ROWS):
            raise SystemExit(f"{table} has {rows:,} rows")
    for schema in SCHEMAS:
        session.execute(f"drop schema if exists {schema} cascade")
    session.execute("create schema plain; create schema frames")
    session.execute("checkpoint")


class Dlt:
    """A user of dlt, who brings Parquet to its own PostgreSQL destination."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._runs = count()

    def run(self, trips: Callable[[], Iterator[Any]], naming: str = "snake_case") -> None:
        """Load with a pipeline that has never run; names are dlt's, or as published."""
        dlt.config["schema.naming"] = naming
        pipeline = dlt.pipeline(
            "trips",
            pipelines_dir=str(self._folder / str(next(self._runs))),
            destination=dlt.destinations.postgres(_url()),
            dataset_name="stock",
        )
        pipeline.run(dlt.resource(trips, name="trips"), loader_file_format="parquet")


def _table(path: Path) -> Iterator[Any]:
    yield pq.read_table(path)


def _batches(path: Path) -> Iterator[Any]:
    yield from pq.ParquetFile(path).iter_batches()


def _file(path: Path) -> Iterator[Any]:
    columns = py_arrow_to_table_schema_columns(pq.read_schema(path))
    yield dlt.mark.with_file_import(
        str(path), "parquet", hints=dlt.mark.make_hints(columns=columns)
    )


def _url() -> str:
    """The database as dlt and ADBC want it named; dlt insists on a password."""
    env = os.environ
    user = f"{quote(env['PGUSER'])}:{quote(env.get('PGPASSWORD', 'none'))}"
    place = f"{env.get('PGHOST', 'localhost')}:{env.get('PGPORT', '5432')}"
    return f"postgresql://{user}@{place}/{env['PGDATABASE']}"


if __name__ == "__main__":
    main()
