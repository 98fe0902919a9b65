"""A new month of 3 million rows on top of 3 and of 24 such months, land to audit.

Beside it, a hand-written DuckDB script that computes the same facts and marts for that month alone,
and the start-up that a run pays whatever it does. Beside the start-up, dbt by itself on a project
of about as many models, seeds and tests, each of them ``select 1``.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from itertools import count
from pathlib import Path

import duckdb

from ingestion.settings import PROJECT_ROOT
from ingestion.sources.files.publisher import months_between
from tests.benchmarks.support import (
    environment,
    medallion,
    report,
    rows_of_a_month,
    side_by_side,
    write_month,
)

ROWS = rows_of_a_month(3_000_000)
NEW = date(2025, 1, 1)
ROUNDS = 3


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCHMARK_DIR")) as folder:
        root = Path(folder)
        new = write_month(root / "new", "yellow", NEW, ROWS)
        places = {n: _place(root / f"on-{n}", n) for n in (3, 24)}
        small = _place(root / "on-nothing", 0)
        trivial = _trivial_project(root / "trivial")
        runs = count()

        def by_hand() -> None:
            script = (Path(__file__).parent / "by_hand.sql").read_text().format(file=new)
            with duckdb.connect(root / f"by-hand-{next(runs)}.duckdb") as connection:
                connection.execute(script)

        def on_top(n: int) -> None:
            # each round starts from the same warehouse, which is put back outside the clock
            medallion(environment(places[n]), "run")

        def nothing_but_start_up() -> None:
            medallion(environment(small), "transform", "--full-refresh")

        def trivial_start_up() -> None:
            command = [sys.executable, "-m", "dbt.cli.main", "build", "--quiet"]
            subprocess.run(command, cwd=trivial, env=os.environ, check=True)

        medians: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for place in places.values():
                _restore(place, new)
            for name, seconds in side_by_side(
                {
                    "by hand": by_hand,
                    "dbt on as many nodes of select 1": trivial_start_up,
                    "start-up (dbt on no month)": nothing_but_start_up,
                    "on top of 3 months": lambda: on_top(3),
                    "on top of 24 months": lambda: on_top(24),
                },
                rounds=1,
            ).items():
                medians.setdefault(name, []).append(seconds)
        middle = {name: sorted(times)[len(times) // 2] for name, times in medians.items()}
        report(f"a new month of {ROWS:,} rows, land to audit", middle, "by hand")
        ratio = middle["on top of 24 months"] / middle["on top of 3 months"]
        print(f"  on top of 24 / on top of 3: {ratio:.2f}")
        start_up, of_dbt = (
            middle[name]
            for name in ("start-up (dbt on no month)", "dbt on as many nodes of select 1")
        )
        print(f"  start-up / dbt on as many nodes of select 1: {start_up / of_dbt:.2f}")
        beyond = middle["on top of 24 months"] - 2 * middle["by hand"]
        print(f"  beyond twice by hand: {beyond:.2f} s")


def _place(root: Path, months: int) -> Path:
    """A place with this many months landed, loaded and built, kept as it is for each round."""
    (root / "published" / "trip-data").mkdir(parents=True)
    for month in months_between(date(2023, 1, 1), date(2024, 12, 1))[:months]:
        write_month(root / "published", "yellow", month, ROWS)
    if months == 0:
        write_month(root / "published", "green", NEW, 1)
    medallion(environment(root), "run")
    for name in ("warehouse.duckdb", "lake"):
        source, kept = root / name, root / f"kept-{name}"
        (shutil.copytree if source.is_dir() else shutil.copy2)(source, kept)
    return root


def _trivial_project(folder: Path) -> Path:
    """A dbt project of about as many views, tables, seeds and tests as ours, of a row each."""
    project = PROJECT_ROOT / "dbt_project"
    views = len([*project.glob("models/staging/**/*.sql"), *project.glob("models/int*/**/*.sql")])
    tables = len([*project.glob("models/**/*.sql")]) - views
    seeds = len([*project.glob("seeds/*.csv")])
    tests = len([*project.glob("tests/*.sql")])
    for path in (*project.glob("models/**/*.yml"), *project.glob("seeds/*.yml")):
        tests += path.read_text().count("arguments:") + path.read_text().count("- unique")
    for name in ("models", "seeds", "tests"):
        (folder / name).mkdir(parents=True)
    described = {"name": "trivial", "version": "1.0", "profile": "trivial"}
    # YAML reads JSON
    (folder / "dbt_project.yml").write_text(json.dumps(described))
    target = {"type": "duckdb", "path": str(folder / "warehouse.duckdb"), "threads": 1}
    profile = {"trivial": {"target": "duckdb", "outputs": {"duckdb": target}}}
    (folder / "profiles.yml").write_text(json.dumps(profile))
    for kind, n in (("view", views), ("table", tables)):
        for i in range(n):
            config = f"{{{{ config(materialized='{kind}') }}}} select 1 as id"
            (folder / "models" / f"{kind}_{i}.sql").write_text(config)
    for i in range(seeds):
        (folder / "seeds" / f"seed_{i}.csv").write_text("id\n1\n")
    for i in range(tests):
        text = f"select * from {{{{ ref('view_{i % views}') }}}} where id is null"
        (folder / "tests" / f"test_{i}.sql").write_text(text)
    return folder


def _restore(place: Path, new: Path) -> None:
    shutil.rmtree(place / "lake")
    shutil.copytree(place / "kept-lake", place / "lake", copy_function=os.link)
    shutil.copy2(place / "kept-warehouse.duckdb", place / "warehouse.duckdb")
    target = place / "published" / "trip-data" / new.name
    if not target.exists():
        os.link(new, target)
    os.sync()


if __name__ == "__main__":
    main()
