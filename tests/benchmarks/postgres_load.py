"""Loading a month of 3 million rows into PostgreSQL, beside a server-side binary COPY of its rows.

The server is the one that libpq's variables name; its account must be allowed to read and write
files on the server (``pg_read_server_files``, ``pg_write_server_files``).
"""

import tempfile
from datetime import date
from itertools import count
from pathlib import Path

from ingestion.engines import connect
from ingestion.lake import land
from ingestion.warehouse import load
from tests.benchmarks.support import report, settings_in, side_by_side, write_month

PREPARED = "/tmp/medallion-benchmark.copy"


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        write_month(root / "published", "yellow", date(2025, 1, 1), 3_000_000)
        settings = settings_in(root / "place", root / "published").model_copy(
            update={"target": "postgres"}
        )
        land(settings)
        load(settings)
        with connect(settings) as session:
            ((table,),) = session.query("select table_name from raw.files where is_current").rows
            session.execute(f"copy raw.{table} to '{PREPARED}' (format binary)")
            names = count()

            def server_side_copy() -> None:
                name = f"raw.plain_{next(names)}"
                with session.transaction():
                    session.execute(f"create table {name} (like raw.{table})")
                    session.execute(f"copy {name} from '{PREPARED}' (format binary, freeze)")
                session.execute(f"drop table {name}")

            def load_it() -> None:
                session.execute("delete from raw.files")
                session.execute("drop view tlc.yellow_tripdata")
                load(settings)

            medians = side_by_side({"server-side COPY": server_side_copy, "load": load_it})
        report("load 3 million rows into PostgreSQL", medians, "server-side COPY")


if __name__ == "__main__":
    main()
