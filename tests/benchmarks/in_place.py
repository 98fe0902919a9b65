"""One month of 3 million rows: facts and marts from the lake as it lies, and from a raw table.

In place it is read from a folder, and from a bucket on loopback. `load` is timed by itself: in
place, it counts rows and writes views. The facts alone are what dbt says of that one model.
"""

import json
import os
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from tests.benchmarks.support import (
    environment,
    medallion,
    peak_mb,
    report,
    rows_of_a_month,
    side_by_side,
    write_month,
)
from tests.support.stores import scratch, store_server

ROWS = rows_of_a_month(3_000_000)
MONTH = date(2025, 1, 1)
MODES = ("loaded", "in_place", "in_place_s3")
ROUNDS = 3


def main() -> None:
    """Print the medians and the ratios."""
    with (
        tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder,
        scratch() as data,
        store_server("s3", data) as store,
    ):
        root = Path(folder)
        write_month(root / "published", "yellow", MONTH, ROWS)
        places = {mode: _place(root, mode) for mode in MODES}
        places["in_place_s3"] |= {"MEDALLION_LAKE_URL": store.new_lake(), **store.environment}
        for mode in ("loaded", "in_place_s3"):  # in place, the folder is the same
            medallion(places[mode], "land")

        def load(mode: str) -> None:
            Path(places[mode]["MEDALLION_DUCKDB_PATH"]).unlink(missing_ok=True)
            medallion(places[mode], "load")

        loads = side_by_side({m: lambda m=m: load(m) for m in MODES}, ROUNDS)  # type: ignore[misc]
        report(f"load a month of {ROWS:,} rows", loads, "loaded")

        facts: dict[str, list[float]] = {mode: [] for mode in MODES}

        def transform(mode: str) -> None:
            medallion(places[mode], "transform", "--full-refresh")
            facts[mode].append(_seconds(places[mode], "model.medallion.fct_trips"))

        all_of_it = side_by_side(
            {m: lambda m=m: transform(m) for m in MODES},  # type: ignore[misc]
            ROUNDS,
        )
        report(f"transform a month of {ROWS:,} rows", all_of_it, "loaded")
        middle = {mode: sorted(times)[len(times) // 2] for mode, times in facts.items()}
        report("of which its facts", middle, "loaded")
        for mode in MODES:
            peak = peak_mb(places[mode], "transform", "--full-refresh")
            print(f"  peak memory, {mode}: {peak:.0f} MB")


def _place(root: Path, mode: str) -> dict[str, str]:
    return environment(root) | {
        "MEDALLION_RAW": mode.removesuffix("_s3"),
        "MEDALLION_DUCKDB_PATH": str(root / f"{mode}.duckdb"),
        "MEDALLION_WORK_DIR": str(root / f"work-{mode}"),
    }


def _seconds(place: Mapping[str, str], node: str) -> float:
    """How long dbt took for one node, by what it wrote of its last run."""
    (results,) = Path(place["MEDALLION_WORK_DIR"]).glob("dbt/**/run_results.json")
    nodes = json.loads(results.read_text())["results"]
    return next(float(n["execution_time"]) for n in nodes if n["unique_id"] == node)


if __name__ == "__main__":
    main()
