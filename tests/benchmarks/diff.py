"""Diff of two publications that differ in one of many months, beside reading both as a whole.

    python -m tests.benchmarks.diff          (BENCHMARK_ROWS=30000 for a quick look)

Bar: under 2 s where one of 200 months differs.
"""

import json
import os
import tempfile
from datetime import date
from pathlib import Path

import duckdb

from ingestion.publications.diff import diff
from ingestion.publications.manifest import from_json, to_json
from tests.benchmarks.support import report, rows_of_a_month, settings_in, side_by_side
from tests.support.publications import Month, published

MONTHS = int(os.environ.get("BENCHMARK_MONTHS", "200"))
MARTS = 20
FACTS = (
    "select range as trip_id, timestamp '2024-01-01' + interval (range) second as pickup_at,"
    " (hash(range + {seed}) % 263)::integer as pickup_zone_id,"
    " (hash(range * 7) % 10000 / 100)::double as fare_usd,"
    " (hash(range * 11) % 10000 / 100)::double as total_usd,"
    " hash(range) % 50 > 0 as is_valid from range({rows})"
)


def main() -> None:
    rows = rows_of_a_month(300_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        months = [("yellow", date(2009 + n // 12, n % 12 + 1, 1)) for n in range(MONTHS)]

        def marts(seed: int) -> dict[str, dict[Month, str]]:
            """One large mart and many small ones; the last month depends on the seed."""
            seeds = dict.fromkeys(months, 0) | {months[-1]: seed}
            large = {m: FACTS.format(rows=rows, seed=s) for m, s in seeds.items()}
            small = {m: FACTS.format(rows=100, seed=s) for m, s in seeds.items()}
            return {"fct_trips": large} | {f"mart_{n}": dict(small) for n in range(MARTS)}

        sides = [published(folder, str(seed), marts(seed)) for seed in (0, 1)]
        settings = settings_in(folder, folder)
        keys = dict.fromkeys(marts(0), ("trip_id",))
        manifests = [to_json(side.publication) for side in sides]

        def whole() -> None:
            with duckdb.connect() as connection:
                files = [
                    json.dumps([str(folder / p) for p in s.publication.parts]).replace('"', "'")
                    for s in sides
                ]
                a, b = (f"(from read_parquet({f}, hive_partitioning = true))" for f in files)
                connection.execute(f"select count(*) from ({a} except all {b})").fetchall()

        medians = side_by_side(
            {
                "diff": lambda: diff(settings, *sides, keys),
                "read both manifests": lambda: [from_json(m, "") for m in manifests],
                "except all of everything, one way": whole,
            }
        )
        report(f"1 of {MONTHS} months of {rows:,} rows and {MARTS} small marts", medians, "diff")


if __name__ == "__main__":
    main()
