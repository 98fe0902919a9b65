"""Peak memory of loading a high-volume month of 20 million rows into PostgreSQL.

Beside it, the same for a month of one row, which is what dlt and the other tools take. The server
is the one that libpq's variables name; its account must be allowed to make databases.
"""

import os
import tempfile
from datetime import date
from pathlib import Path

from tests.benchmarks.support import (
    environment,
    medallion,
    own_database,
    peak_mb,
    rows_of_a_month,
    write_month,
)

ROWS = rows_of_a_month(20_000_000)


def main() -> None:
    """Print the peaks."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        for rows in (1, ROWS):
            place = Path(folder) / str(rows)
            path = write_month(place / "published", "fhvhv", date(2024, 1, 1), rows)
            with own_database() as variables:
                env = environment(place) | variables | {"MEDALLION_TARGET": "postgres"}
                medallion(env, "land")
                peak = peak_mb(env, "load")
            print(f"load {rows:>10,} rows, {path.stat().st_size / 1e6:4,.0f} MB: {peak:6,.0f} MB")


if __name__ == "__main__":
    main()
