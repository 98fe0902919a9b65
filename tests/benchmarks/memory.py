"""Peak memory of a high-volume month of 20 million rows, stage by stage and as one run."""

import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from tests.benchmarks.support import write_month

ROWS = 20_000_000
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def main() -> None:
    """Print the peaks."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        path = write_month(root / "published", "fhvhv", date(2024, 1, 1), ROWS)
        print(f"fhvhv 2024-01: {ROWS:,} rows, {path.stat().st_size / 1e6:,.0f} MB")
        for arguments in (["land"], ["load"], ["transform"], ["run", "--full-refresh"]):
            print(f"  medallion {' '.join(arguments):<20} {_peak_mb(root, arguments):8,.0f} MB")


def _peak_mb(root: Path, arguments: list[str]) -> float:
    """Peak resident memory of one command, measured by a parent that runs nothing else."""
    env = os.environ | {
        "MEDALLION_TLC_URL": (root / "published").as_uri(),
        "MEDALLION_LAKE_URL": str(root / "lake"),
        "MEDALLION_DUCKDB_PATH": str(root / "warehouse.duckdb"),
        "MEDALLION_WORK_DIR": str(root / "work"),
    }
    command = [sys.executable, "-m", "orchestration.cli", *arguments, "--quiet"]
    # a small parent: a child that is forked from a large one counts the parent's memory as its own
    measured = subprocess.run(
        [sys.executable, "-c", MEASURE, *command],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(measured.stdout.split()[-1]) / 1024


if __name__ == "__main__":
    main()
