"""What the marts of 3 and 30 million rows cost on Spark with one and two workers, and on DuckDB.

Arguments are other sizes in millions of rows, and after ``--workers`` other numbers of workers.
Rows are in months of 3 million of yellow. Measured is ``medallion transform``, tests of data
included, with a cluster that is up, and nothing built. Processor time is that of whole processes:
of executors, of the Thrift server, and of dbt. What Spark says of its tasks is in its event log.
A heavy stage has a hundredth of the tasks' processor time.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from ingestion.sources.files.publisher import months_between
from tests.benchmarks.support import (
    cpu_of_cluster,
    environment,
    medallion,
    rows_of_a_month,
    spark_cluster,
    write_month,
)

MILLION = 1_000_000
MONTH_ROWS = rows_of_a_month(3 * MILLION)
MONTHS = months_between(date(2013, 1, 1), date(2022, 12, 1))


@dataclass
class Stage:
    """What the tasks of one stage took."""

    cpu_seconds: list[float] = field(default_factory=list)
    shuffled: int = 0
    spilled: int = 0


def main() -> None:
    """Print the costs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("millions", nargs="*", type=int, default=[3, 30])
    parser.add_argument("--workers", nargs="*", type=int, default=[1, 2])
    parser.add_argument("--conf", nargs="*", default=[], help="further settings of Spark")
    asked = parser.parse_args()
    for millions in asked.millions:
        months = max(1, round(millions * MILLION / MONTH_ROWS))
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
            root = Path(folder)
            for month in MONTHS[:months]:
                write_month(root / "published", "yellow", month, MONTH_ROWS)
            env = environment(root)
            medallion(env, "land")
            shutil.rmtree(root / "published")
            (root / "published").mkdir()
            rows = months * MONTH_ROWS / MILLION
            print(f"\n{rows:g} million rows")
            for workers in asked.workers:
                _on_spark(env, rows, workers, asked.conf)
                shutil.rmtree(root / "spark")
                shutil.rmtree(root / "lake" / "spark")
            wall, cpu = _cost(env, "load")
            print(f"  DuckDB, load: {cpu / rows:.2f} CPU s per million rows, {wall:.0f} s")
            wall, cpu = _cost(env, "transform")
            print(f"  DuckDB: {cpu / rows:.2f} CPU s per million rows, {wall:.0f} s", flush=True)


def _on_spark(env: Mapping[str, str], rows: float, workers: int, conf: list[str]) -> None:
    log = Path(env["MEDALLION_WORK_DIR"]).parent / "events"
    log.mkdir(exist_ok=True)
    told = {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": log.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }
    settings = [f"{key}={value}" for key, value in told.items()]
    with spark_cluster(env, workers, *settings, *conf) as here:
        medallion(here, "load")
        begun, before = time.time(), cpu_of_cluster(here)
        wall, dbt = _cost(here, "transform")
        after = cpu_of_cluster(here)
    spent = {role: after[role] - before[role] for role in after}
    stages, names = _stages(log, begun)
    shutil.rmtree(log)
    tasks_cpu = sum(sum(stage.cpu_seconds) for stage in stages.values())
    heavy = {k: s for k, s in stages.items() if sum(s.cpu_seconds) >= tasks_cpu / 100}
    counts = [len(stage.cpu_seconds) for stage in heavy.values()]
    mb = 1 << 20
    print(
        f"  Spark, {workers} workers: {spent['executors'] / rows:.2f} CPU s per million rows"
        f" ({tasks_cpu / rows:.2f} of them of tasks), {wall:.0f} s;"
        f" server {spent['server']:.0f} CPU s, dbt {dbt:.0f} CPU s;"
        f" shuffled {sum(s.shuffled for s in stages.values()) / mb / rows:.0f} MB per million rows,"
        f" spilled {sum(s.spilled for s in stages.values()) / mb / rows:.0f};"
        f" {len(stages)} stages, {len(heavy)} heavy with {statistics.median(counts):g} tasks in the"
        f" middle and {min(counts)} at least",
        flush=True,
    )
    for key, stage in sorted(heavy.items(), key=lambda item: -sum(item[1].cpu_seconds)):
        each = stage.cpu_seconds
        print(
            f"    {sum(each):7.1f} CPU s in {len(each):3} tasks, the longest {max(each):5.1f};"
            f" shuffled {stage.shuffled / mb:5.0f} MB, spilled {stage.spilled / mb:5.0f};"
            f" {names.get(key, '')}"
        )


def _stages(folder: Path, since: float) -> tuple[dict[int, Stage], dict[int, str]]:
    """The stages with a task since then, by their number, and what the statement of each is."""
    stages: dict[int, Stage] = defaultdict(Stage)
    names: dict[int, str] = {}
    for event in _events(folder):
        if event["Event"] == "SparkListenerJobStart":
            said = " ".join((event["Properties"].get("spark.job.description") or "").split())
            names |= dict.fromkeys(event["Stage IDs"], said.partition("*/")[0][-110:])
        if event["Event"] != "SparkListenerTaskEnd" or not event.get("Task Metrics"):
            continue
        if event["Task Info"]["Launch Time"] < since * 1000:
            continue
        metrics, stage = event["Task Metrics"], stages[event["Stage ID"]]
        stage.cpu_seconds.append(metrics["Executor CPU Time"] / 1e9)
        stage.shuffled += metrics["Shuffle Write Metrics"]["Shuffle Bytes Written"]
        stage.spilled += metrics["Disk Bytes Spilled"]
    return stages, names


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    for path in folder.iterdir():
        with path.open() as lines:
            yield from map(json.loads, lines)


def _cost(env: Mapping[str, str], *arguments: str) -> tuple[float, float]:
    """Seconds of a command, and CPU seconds of its process."""
    command = [sys.executable, "-m", "orchestration.cli", *arguments, "--quiet"]
    begun = time.perf_counter()
    process = subprocess.Popen(command, env=dict(env), stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - begun, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
