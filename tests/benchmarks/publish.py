"""Publishing beside building, and queries on a publication beside those on the warehouse.

    python -m tests.benchmarks.publish          (BENCHMARK_ROWS=300000 for a quick look)
    python -m tests.benchmarks.publish postgres (on the server that libpq's variables name)

Bars: the first publication at most 0.5 times building; one month of 3 million rows at most 3 s;
nothing new at most 0.2 s; queries at most 1.5 times those on the warehouse.
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import duckdb

from orchestration.job.pipeline import run
from orchestration.job.publish import publish
from tests.benchmarks.support import (
    own_database,
    report,
    rows_of_a_month,
    settings_in,
    side_by_side,
    timed,
    write_month,
)

MONTHS = int(os.environ.get("BENCHMARK_MONTHS", "24"))
QUERIES = {
    "pruned month": "select count(*), sum(total_usd) from marts.fct_trips"
    " where source_month = date '2020-05-01'",
    "full aggregate": "select service, count(*), sum(total_usd), avg(trip_seconds)"
    " from marts.fct_trips group by 1",
    "by zone": "select pickup_zone_id, count(*), sum(tip_usd) from marts.fct_trips group by 1",
    "small mart": "select pickup_date, sum(trips) from marts.daily_trips group by 1",
}


def main() -> None:
    target: Any = sys.argv[1] if len(sys.argv) > 1 else "duckdb"
    rows = rows_of_a_month(3_000_000)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        if target == "postgres":
            os.environ.update(stack.enter_context(own_database()))
        folder = Path(name)
        published = folder / "trips"
        for n in range(MONTHS):
            write_month(published, "yellow", date(2020 + n // 12, n % 12 + 1, 1), rows, n)
        settings = settings_in(folder, published, target)
        built = timed(lambda: run(settings))
        settings = settings.model_copy(update={"publish_url": (folder / "gold").as_uri()})
        first = timed(lambda: publish(settings))
        nothing = [timed(lambda: publish(settings)) for _ in range(3)]
        print(f"\n{MONTHS} months of {rows:,} rows")
        print(f"  build                {built:8.2f} s")
        print(f"  first publication    {first:8.2f} s   {first / built:.2f} x build")
        print(f"  nothing new          {sorted(nothing)[1]:8.2f} s")
        write_month(published, "yellow", date(2020, 3, 1), rows, 99)
        run(settings.model_copy(update={"publish_url": "off"}))
        print(f"  one month            {timed(lambda: publish(settings)):8.2f} s")
        size = sum(f.stat().st_size for f in (folder / "gold").rglob("*.parquet"))
        print(f"  files {size / 1e6:,.0f} MB")
        if target == "postgres":
            return
        held = settings.duckdb_path.stat().st_size
        print(f"  warehouse {held / 1e6:,.0f} MB")
        paths = {"warehouse": settings.duckdb_path, "publication": folder / "gold/medallion.duckdb"}
        for title, sql in QUERIES.items():

            def ask(path: Path, sql: str = sql) -> None:
                with duckdb.connect(path, read_only=True) as connection:
                    connection.execute(sql).fetchall()

            medians = side_by_side(
                {place: (lambda path=path: ask(path)) for place, path in paths.items()}, rounds=5
            )
            report(title, medians, "warehouse")


if __name__ == "__main__":
    main()
