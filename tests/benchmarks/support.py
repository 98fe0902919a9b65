"""Made months of realistic size and shape, places to work on, and medians in one run."""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import date
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.settings import Settings
from ingestion.sources.tlc.datasets import DATASETS
from ingestion.warehouse.spark import cluster
from tests.support import postgres
from tests.support.ports import free_port

ROW_GROUP = 1 << 20
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def rows_of_a_month(normally: int) -> int:
    """How many rows a made month has; ``BENCHMARK_ROWS`` says fewer, for a quick look."""
    return int(os.environ.get("BENCHMARK_ROWS", normally))


def write_month(folder: Path, dataset: str, month: date, rows: int, seed: int = 0) -> Path:
    """Publish one month of ``rows`` made trips as TLC does; grain is a trip; returns its path."""
    path = folder / DATASETS[dataset].file_path(month)
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([seed, month.year, month.month])
    era = DATASETS[dataset].era(month)
    fields = [pa.field(c.name, _arrow_type(c.file_types)) for c in era.columns]
    schema = pa.schema(fields)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start in range(0, rows, ROW_GROUP):
            n = min(ROW_GROUP, rows - start)
            columns = _columns(rng, n, month)
            writer.write_table(
                pa.table([_array(columns, f, rng, n) for f in fields], schema=schema)
            )
    return path


def _arrow_type(file_types: frozenset[str]) -> pa.DataType:
    for name in ("int32", "int64", "double", "timestamp[us]", "large_string", "string"):
        if name in file_types:
            return pa.type_for_alias(name)
    return pa.null()


def _columns(rng: np.random.Generator, n: int, month: date) -> dict[str, np.ndarray]:
    begin = np.datetime64(f"{month:%Y-%m}", "us")
    length = (np.datetime64(f"{month:%Y-%m}", "M") + 1).astype("datetime64[us]") - begin
    pickup = begin + rng.integers(0, length.astype(int) // 1_000_000, n) * np.timedelta64(1, "s")
    seconds = rng.gamma(2.2, 420, n).astype("int64") + 60
    miles = np.round(seconds / 3600 * rng.uniform(6, 18, n), 2)
    fare = np.round(3 + miles * 2.5 + seconds / 60 * 0.5, 1)
    tip = np.round(fare * rng.choice([0, 0.1, 0.2], n), 2)
    zones = rng.zipf(1.4, n) % 263 + 1
    return {
        "pickup": pickup,
        "dropoff": pickup + seconds * np.timedelta64(1, "s"),
        "request": pickup - rng.integers(60, 600, n) * np.timedelta64(1, "s"),
        "seconds": seconds,
        "miles": miles,
        "fare": fare,
        "tip": tip,
        "total": np.round(fare + tip + 4.3, 2),
        "pu": zones,
        "do": rng.permutation(zones),
    }


def _array(
    columns: dict[str, np.ndarray], field: pa.Field, rng: np.random.Generator, n: int
) -> pa.Array:
    name = field.name.lower()
    sources = {
        "trip_distance": "miles",
        "trip_miles": "miles",
        "trip_time": "seconds",
        "fare_amount": "fare",
        "base_passenger_fare": "fare",
        "driver_pay": "fare",
        "tip_amount": "tip",
        "tips": "tip",
        "total_amount": "total",
        "pulocationid": "pu",
        "dolocationid": "do",
    }
    if "datetime" in name:
        moment = next((k for k in ("dropoff", "request") if k in name), "pickup")
        return pa.array(columns[moment]).cast(field.type)
    if name in sources:
        return pa.array(columns[sources[name]]).cast(field.type)
    if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
        values = pa.array(["N", "Y"] if "flag" in name else ["HV0003", "B02764", "B03404"])
        picked = pa.array(rng.integers(0, len(values), n))
        return values.take(picked).cast(field.type)
    if pa.types.is_integer(field.type):
        return pa.array(rng.integers(1, 3, n)).cast(field.type)
    return pa.array(rng.choice([0.0, 0.5, 2.5, 2.75], n)).cast(field.type)


def timed(work: Callable[[], object]) -> float:
    """Seconds that ``work`` took."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def side_by_side(
    candidates: dict[str, Callable[[], object]],
    rounds: int = 3,
    before: Callable[[], object] = lambda: None,
) -> dict[str, float]:
    """Median seconds of each candidate, run in turn so that a drifting machine hits all alike.

    ``before`` runs ahead of each of them, outside the clock.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            before()
            seconds[name].append(timed(work))
    return {name: statistics.median(times) for name, times in seconds.items()}


def report(title: str, medians: dict[str, float], baseline: str) -> None:
    """Print medians and their ratios to the baseline."""
    print(f"\n{title}")
    for name, seconds in medians.items():
        print(f"  {name:<40} {seconds:8.2f} s   {seconds / medians[baseline]:6.2f} x {baseline}")


def settings_in(
    folder: Path, published: Path, target: Literal["duckdb", "postgres"] = "duckdb"
) -> Settings:
    """Settings for a lake, a warehouse and a work folder in ``folder``."""
    return Settings(
        _env_file=None,
        tlc_url=published.as_uri(),
        lake_url=str(folder / "lake"),
        target=target,
        duckdb_path=folder / "warehouse.duckdb",
        work_dir=folder / "work",
        publish_url="off",
    )


def environment(place: Path) -> dict[str, str]:
    """The environment that makes ``medallion`` work in ``place`` on what is published there."""
    return os.environ | {
        "MEDALLION_TLC_URL": (place / "published").as_uri(),
        "MEDALLION_LAKE_URL": str(place / "lake"),
        "MEDALLION_DUCKDB_PATH": str(place / "warehouse.duckdb"),
        "MEDALLION_WORK_DIR": str(place / "work"),
        "MEDALLION_PUBLISH_URL": "off",
        "MEDALLION_SITE_DIR": "off",
    }


def medallion(env: dict[str, str], *arguments: str) -> None:
    """Run one command in a process of its own; raise where it fails."""
    command = [sys.executable, "-m", "orchestration.cli", *arguments, "--quiet"]
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)


def peak_mb(env: dict[str, str], *arguments: str) -> float:
    """Peak resident memory of one command, measured by a parent that runs nothing else."""
    command = [sys.executable, "-m", "orchestration.cli", *arguments, "--quiet"]
    # a small parent: a child that is forked from a large one counts the parent's memory as its own
    measured = subprocess.run(
        [sys.executable, "-c", PEAK, *command],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return int(measured.stdout.split()[-1]) / 1024


def own_database() -> AbstractContextManager[dict[str, str]]:
    """libpq's variables of a new database on the server that they name; dropped at the end."""
    return postgres.database({k: v for k, v in os.environ.items() if k.startswith("PG")})


@contextmanager
def spark_cluster(env: Mapping[str, str], workers: int, *conf: str) -> Iterator[dict[str, str]]:
    """The same environment with a cluster of `medallion spark up` as its warehouse."""
    folder = Path(env["MEDALLION_WORK_DIR"]).parent / "spark"
    here = dict(env) | {
        "MEDALLION_TARGET": "spark",
        "MEDALLION_SPARK_PORT": str(free_port()),
        "MEDALLION_SPARK_DIR": str(folder),
    }
    settings = [part for pair in conf for part in ("--conf", pair)]
    command = [sys.executable, "-m", "orchestration.cli", "spark"]
    up = [*command, "up", "--workers", str(workers), *settings]
    subprocess.run(up, env=here, check=True, stdout=subprocess.DEVNULL)
    try:
        yield here
    finally:
        subprocess.run([*command, "down"], env=here, check=True, stdout=subprocess.DEVNULL)


def cpu_of_cluster(env: Mapping[str, str]) -> dict[str, float]:
    """CPU seconds of the executors and of the Thrift server so far; each worker has a session."""
    found = cluster.find(Path(env["MEDALLION_SPARK_DIR"]))
    assert found
    roles = {
        pid: "executors" if name.startswith("worker") else "server"
        for name, pid in found.pids.items()
        if name != "master"
    }
    spent = {"executors": 0.0, "server": 0.0}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if role := roles.get(int(fields[3])):
                # also of executors that have ended, which the worker has waited for
                spent[role] += sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    return spent
