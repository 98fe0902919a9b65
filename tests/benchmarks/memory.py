"""Peak memory of a high-volume month of 20 million rows: each stage, one run, and in each store."""

import os
import tempfile
from datetime import date
from pathlib import Path

from tests.benchmarks.support import environment, peak_mb, rows_of_a_month, write_month
from tests.support.stores import scratch, store_server

ROWS = rows_of_a_month(20_000_000)


def main() -> None:
    """Print the peaks."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        path = write_month(root / "published", "fhvhv", date(2024, 1, 1), ROWS)
        print(f"fhvhv 2024-01: {ROWS:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        for arguments in (["land"], ["load"], ["transform"], ["run", "--full-refresh"]):
            peak = peak_mb(environment(root), *arguments)
            print(f"  medallion {' '.join(arguments):<20} {peak:8,.0f} MB")
        for kind in ("s3", "gs", "az"):
            with scratch() as place, store_server(kind, place) as store:
                at_store = environment(root) | store.environment
                at_store["MEDALLION_LAKE_URL"] = store.new_lake()
                for command in ("land", "verify"):
                    peak = peak_mb(at_store, command)
                    print(f"  medallion {command:<6} at {kind:<10} {peak:8,.0f} MB")


if __name__ == "__main__":
    main()
