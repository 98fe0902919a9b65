"""What the flow adds to ``medallion run``: one new month each, with a Prefect server up.

The server is the one that ``PREFECT_API_URL`` names. Each month brings 100,000 trips, so that what
is measured is mostly start-up, on both sides.
"""

import os
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from ingestion.sources.files.publisher import months_between
from tests.benchmarks.support import report, side_by_side, write_month

ROWS = 100_000
ROUNDS = 3


def main() -> None:
    """Print the medians."""
    if not os.environ.get("PREFECT_API_URL"):
        raise SystemExit("PREFECT_API_URL names no server; start one with: prefect server start")
    months = months_between(date(2024, 1, 1), date(2024, 1 + ROUNDS, 1))
    commands = {"medallion run": "orchestration.cli run --quiet", "the flow": "orchestration.flows"}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        places = {name: Path(folder) / name.replace(" ", "-") for name in commands}

        def night(name: str) -> None:
            place = places[name]
            done = len(list(place.glob("published/trip-data/*")))
            write_month(place / "published", "green", months[done], ROWS)
            environment = os.environ | {
                "MEDALLION_TLC_URL": (place / "published").as_uri(),
                "MEDALLION_LAKE_URL": str(place / "lake"),
                "MEDALLION_DUCKDB_PATH": str(place / "warehouse.duckdb"),
                "MEDALLION_WORK_DIR": str(place / "work"),
            }
            command = [sys.executable, "-m", *commands[name].split()]
            subprocess.run(command, env=environment, check=True, capture_output=True)

        for name in commands:
            night(name)  # the first builds everything
        candidates = {name: (lambda name=name: night(name)) for name in commands}
        medians = side_by_side(candidates, ROUNDS)
    report("one new month, from the command to its end", medians, "medallion run")
    print(f"  the flow adds {medians['the flow'] - medians['medallion run']:.2f} s")


if __name__ == "__main__":
    main()
