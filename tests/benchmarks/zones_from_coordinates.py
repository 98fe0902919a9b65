"""The facts of a month with coordinates, with their zones and without, on both engines.

The shapes are TLC's own, of ``MEDALLION_TEST_DATA``; the points lie anywhere in Manhattan. Without
the shapefile the same SQL finds no cell. PostgreSQL is the one from the wheel.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from ingestion.settings import PROJECT_ROOT
from ingestion.sources.tlc.shapes.read import read_shapes
from tests.benchmarks.support import (
    environment,
    medallion,
    report,
    rows_of_a_month,
    timed,
    write_month,
)
from tests.support import postgres

ROWS = {"duckdb": rows_of_a_month(3_000_000), "postgres": rows_of_a_month(3_000_000) // 3}
MONTH = date(2010, 3, 1)
ROUNDS = 3
NAMES = ("pickup_longitude", "pickup_latitude", "dropoff_longitude", "dropoff_latitude")


def main() -> None:
    """Print the medians."""
    shapefile = Path(os.environ["MEDALLION_TEST_DATA"]) / "misc" / "taxi_zones.zip"
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        print(f"reading {shapefile.name}: {timed(lambda: read_shapes(shapefile)):.2f} s")
        with postgres.server(root / "postgres") as server:
            for target, rows in ROWS.items():
                month = _month(root / f"month-{target}", shapefile, rows)
                with (
                    postgres.database(server) as without,
                    postgres.database(server) as with_shapes,
                ):
                    envs = {
                        "without shapes": _place(root / f"{target}-without", month, None) | without,
                        "with shapes": _place(root / f"{target}-with", month, shapefile)
                        | with_shapes,
                    }
                    _measure(target, rows, envs)


def _measure(target: str, rows: int, envs: dict[str, dict[str, str]]) -> None:
    seconds: dict[str, list[float]] = {name: [] for name in envs}
    for env in envs.values():
        env["MEDALLION_TARGET"] = target
        medallion(env, "land")
    for name, env in envs.items():
        if name == "with shapes":
            cells = ("load", "--dataset", "taxi_zone_cells")
            # B023: it is called at once, in the same round of the loop
            seconds = timed(lambda: medallion(env, *cells))  # noqa: B023
            print(f"{target}: loading the grid {seconds:.2f} s")
        medallion(env, "load")
        medallion(env, "transform")
    for _ in range(ROUNDS):
        for name, env in envs.items():
            seconds[name].append(_facts(env))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    report(f"{target}: fct_trips of {rows:,} rows", medians, "without shapes")


def _facts(env: dict[str, str]) -> float:
    """Seconds in which dbt built all facts anew, by its own clock."""
    target = Path(env["MEDALLION_WORK_DIR"]) / "dbt-target"
    subprocess.run(
        [sys.executable, "-m", "dbt.cli.main", "run", "--select", "fct_trips", "--full-refresh",
         "--target-path", str(target), "--target", env["MEDALLION_TARGET"]],
        cwd=PROJECT_ROOT / "dbt_project",
        env=env | {"DBT_LOG_PATH": str(target)},
        check=True,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    results = json.loads((target / "run_results.json").read_text())["results"]
    return sum(r["execution_time"] for r in results if r["unique_id"].endswith(".fct_trips"))


def _place(root: Path, month: Path, shapefile: Path | None) -> dict[str, str]:
    """The environment of a place where the month is published, and the shapes if there are any."""
    (root / "published" / "trip-data").mkdir(parents=True)
    (root / "published" / "trip-data" / month.name).hardlink_to(month)
    if shapefile:
        (root / "published" / "misc").mkdir()
        shutil.copyfile(shapefile, root / "published" / "misc" / shapefile.name)
    return environment(root)


def _month(root: Path, shapefile: Path, rows: int) -> Path:
    """A yellow month whose pickups and dropoffs lie anywhere in Manhattan."""
    path = write_month(root, "yellow", MONTH, rows)
    found = read_shapes(shapefile)["shapes"]
    shapes = shapely.from_geojson([s["geometry"] for s in found if s["borough"] == "Manhattan"])
    land = shapely.union_all(shapely.make_valid(shapes))
    shapely.prepare(land)
    rng = np.random.default_rng(12)
    west, south, east, north = land.bounds
    drawn = np.empty((0, 2))
    while len(drawn) < 100_000:
        points = rng.uniform((west, south), (east, north), (100_000, 2))
        drawn = np.vstack([drawn, points[shapely.contains_xy(land, points)]])
    table = pq.read_table(path)
    for end in (0, 2):
        # a few metres aside, so that no two are the same
        points = drawn[rng.integers(0, len(drawn), rows)] + rng.normal(0, 5e-5, (rows, 2))
        for name, values in zip(NAMES[end : end + 2], points.T, strict=True):
            place = table.column_names.index(name)
            table = table.set_column(place, name, pa.array(values))
    pq.write_table(table, path, compression="zstd")
    return path


if __name__ == "__main__":
    main()
