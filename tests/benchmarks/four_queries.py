"""The four queries of the billion-taxi-rides benchmark: on the facts, on Parquet, on a mart.

The queries are those of https://tech.marksblogg.com/benchmarks.html: trips by cab type; the average
total by passengers; trips by passengers and year; trips by passengers, year and distance. The
baseline is DuckDB on the same published Parquet files, with each month's own column names. No file
of TLC's has the cab type: there it is a constant in the query. So trips by cab type are counted on
Parquet files with the cab type as a column, too. ``BENCHMARK_ROWS`` says how many rows there are in
all.
"""

import os
import tempfile
from datetime import date
from pathlib import Path

import duckdb

from tests.benchmarks.support import (
    environment,
    medallion,
    report,
    rows_of_a_month,
    side_by_side,
    write_month,
)

ROWS = rows_of_a_month(100_000_000)
MONTHS = [date(2024, month, 1) for month in range(1, 11)]
PICKUP = {"yellow": "tpep_pickup_datetime", "green": "lpep_pickup_datetime"}
ROUNDS = 5

QUERIES = {
    "trips by cab type": "select service, count(*) from {trips} group by service",
    "average total by passengers": (
        "select passenger_count, avg(total_usd) from {trips} group by passenger_count"
    ),
    "trips by passengers and year": (
        "select passenger_count, extract(year from pickup_at) as year, count(*)"
        " from {trips} group by passenger_count, year"
    ),
    "trips by passengers, year and distance": (
        "select passenger_count, extract(year from pickup_at) as year,"
        " round(trip_miles) as miles, count(*)"
        " from {trips} group by passenger_count, year, miles order by year, count(*) desc"
    ),
}
ON_A_MART = "select service, sum(trips) from marts.monthly_service_summary group by service"


def main() -> None:
    """Print the medians and the ratios."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        for month in MONTHS:
            write_month(root / "published", "yellow", month, ROWS * 9 // 10 // len(MONTHS))
            write_month(root / "published", "green", month, ROWS // 10 // len(MONTHS))
        place = environment(root)
        medallion(place, "run")
        with duckdb.connect(root / "warehouse.duckdb", read_only=True) as connection:
            plain = " union all ".join(
                f"select '{service}' as service, passenger_count, total_amount as total_usd,"
                f" {pickup} as pickup_at, trip_distance as trip_miles"
                f" from read_parquet('{root}/published/trip-data/{service}_*.parquet')"
                for service, pickup in PICKUP.items()
            )
            typed = root / "typed"
            connection.execute(f"copy ({plain}) to '{typed}' (format parquet, per_thread_output)")
            for title, query in QUERIES.items():
                candidates = {
                    "plain Parquet": query.format(trips=f"({plain})"),
                    "fct_trips": query.format(trips="marts.fct_trips"),
                }
                if title == "trips by cab type":
                    candidates |= {
                        "Parquet with cab types": query.format(trips=f"read_parquet('{typed}/*')"),
                        "monthly_service_summary": ON_A_MART,
                    }
                medians = side_by_side(
                    {
                        name: lambda sql=sql: connection.execute(sql).fetchall()  # type: ignore[misc]
                        for name, sql in candidates.items()
                    },
                    ROUNDS,
                )
                report(f"{title}, {ROWS:,} rows", medians, "plain Parquet")


if __name__ == "__main__":
    main()
