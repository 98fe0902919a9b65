"""Peak memory of a high-volume month of 20 million rows, stage by stage and as one run."""

import os
import tempfile
from datetime import date
from pathlib import Path

from tests.benchmarks.support import environment, peak_mb, rows_of_a_month, write_month

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


if __name__ == "__main__":
    main()
