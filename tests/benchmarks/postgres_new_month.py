"""A new month of 3 million rows in PostgreSQL on top of 3 and of 24 such months, land to audit.

Each round brings the next month, since a warehouse of this size is not put back in a minute: on top
of 3, 4 and 5, and of 24, 25 and 26. Before each, outside the clock, the database is vacuumed and
its blocks are written out, as between two nights.

The server is the one that libpq's variables name; its account must be allowed to make databases
and checkpoints. It needs room for both warehouses, about 1.5 GB for each of their 33 months.
"""

import os
import statistics
import tempfile
from contextlib import ExitStack
from datetime import date
from functools import partial
from pathlib import Path

from ingestion.sources.files.publisher import months_between
from tests.benchmarks.support import (
    environment,
    medallion,
    own_database,
    report,
    rows_of_a_month,
    timed,
    write_month,
)
from tests.support import postgres

ROWS = rows_of_a_month(3_000_000)
HELD = months_between(date(2023, 1, 1), date(2024, 12, 1))
NEW = months_between(date(2025, 1, 1), date(2025, 3, 1))
ALREADY = (3, 24)


def main() -> None:
    """Print the medians."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        ExitStack() as databases,
    ):
        root = Path(folder)
        for month in (*HELD, *NEW):
            write_month(root / "made", "yellow", month, ROWS)
        places = {n: root / str(n) for n in ALREADY}
        envs: dict[int, dict[str, str]] = {}
        for n, place in places.items():
            variables = databases.enter_context(own_database())
            envs[n] = environment(place) | variables | {"MEDALLION_TARGET": "postgres"}
            for month in HELD[:n]:
                _publish(root / "made", place, month)
            medallion(envs[n], "run")
        seconds: dict[str, list[float]] = {}
        for month in NEW:
            for n, place in places.items():
                _publish(root / "made", place, month)
                _settle(envs[n])
                once = timed(partial(medallion, envs[n], "run"))
                seconds.setdefault(f"on top of {n} months", []).append(once)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    report(
        f"a new month of {ROWS:,} rows in PostgreSQL, land to audit",
        medians,
        f"on top of {ALREADY[0]} months",
    )


def _publish(made: Path, place: Path, month: date) -> None:
    name = f"trip-data/yellow_tripdata_{month:%Y-%m}.parquet"
    (place / "published" / name).parent.mkdir(parents=True, exist_ok=True)
    os.link(made / name, place / "published" / name)


def _settle(variables: dict[str, str]) -> None:
    connection = postgres.connect(variables)
    try:
        with connection.cursor() as cursor:
            cursor.execute("vacuum")
            cursor.execute("checkpoint")
    finally:
        connection.close()
    os.sync()


if __name__ == "__main__":
    main()
