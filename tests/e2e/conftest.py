"""Run the project as users do: commands in separate processes and separate folders."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.locks import turn_with_file
from ingestion.progress import Quiet
from ingestion.settings import PROJECT_ROOT
from tests.support.processes import COMMANDS, Started, is_copy
from tests.support.samples import publish_part

FACTS = "marts.fct_trips"
MARTS = (
    FACTS,
    "marts.daily_trips",
    "marts.hourly_zone_demand",
    "marts.hourly_zone_dropoffs",
    "marts.zone_pair_trips",
    "marts.airport_trips_hourly",
    "marts.daily_trips_weather",
    "marts.monthly_zone_revenue",
    "marts.tip_shares",
    "marts.congestion_pricing",
    "marts.monthly_service_summary",
    "marts.fhvhv_service",
    "marts.ledger",
    "marts.ledger_reasons",
    "marts.ledger_single_files",
    "marts.tlc_reconciliation",
    "marts.base_reconciliation",
    "marts.base_reconciliation_monthly",
    "marts.report_measures",
    "marts.fleet_monthly",
)

# what was built when
BUILDS = ("month_builds", "dbt_invocations")

# Their data is in the project, so that they pass or fail whatever is loaded: on DuckDB
# test_plain_dbt_build_passes_and_changes_nothing runs them, on PostgreSQL
# test_dbt_build_passes_by_itself.
WITHOUT_UNIT_TESTS = ("--exclude-resource-type", "unit_test")


@dataclass
class Place:
    """A home, a publisher's folder, a lake and a warehouse for commands to work in."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    patience_seconds: float = 600  # for one command

    @property
    def published(self) -> Path:
        return self.folder / "published"

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def warehouse(self) -> Path:
        return self.folder / "warehouse.duckdb"

    def environment(self) -> dict[str, str]:
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("MEDALLION_")}
        return inherited | {
            "HOME": str(home),
            "MEDALLION_TLC_URL": self.published.as_uri(),
            "MEDALLION_LAKE_URL": str(self.lake),
            "MEDALLION_DUCKDB_PATH": str(self.warehouse),
            "MEDALLION_WORK_DIR": str(self.folder / "work"),
            # what publishes has tests of its own, which set a place for it
            "MEDALLION_PUBLISH_URL": "off",
            "MEDALLION_SITE_DIR": "off",
            **self.env,
        }

    def start(
        self, *command: str, cwd: Path = PROJECT_ROOT, anew: bool = False
    ) -> subprocess.Popen[str] | Started:
        """Start ``python -m …``.

        The process is forked from one that has done the imports, or starts ``anew`` as from a
        shell.
        """
        module, *arguments = command
        is_ours = cwd.is_relative_to(PROJECT_ROOT) or is_copy(cwd)
        if not anew and module in COMMANDS and is_ours:
            return Started(module, arguments, cwd, self.environment())
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=cwd,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, *command: str, expect: int = 0, cwd: Path = PROJECT_ROOT, anew: bool = False
    ) -> str:
        """Run ``python -m …`` as ``start`` does; return its stdout. Its stderr is ``last_stderr``.

        Fails if the exit code is not ``expect``.
        """
        process = self.start(*command, cwd=cwd, anew=anew)
        stdout, self.last_stderr = process.communicate(timeout=self.patience_seconds)
        assert process.returncode == expect, stdout[-3000:] + self.last_stderr[-3000:]
        return stdout

    def medallion(self, *arguments: str, expect: int = 0) -> str:
        return self.run("orchestration.cli", *arguments, expect=expect)

    def medallion_json(self, *arguments: str, expect: int = 0) -> Any:
        return json.loads(self.medallion(*arguments, "--json", expect=expect))

    def dbt(self, *arguments: str, expect: int = 0) -> str:
        """Run dbt alone, in its own folder."""
        self.env |= {
            "DBT_TARGET_PATH": str(self.folder / "dbt" / "target"),
            "DBT_LOG_PATH": str(self.folder / "dbt" / "logs"),
        }
        return self.run("dbt.cli.main", *arguments, expect=expect, cwd=PROJECT_ROOT / "dbt_project")

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(self.warehouse, read_only=True) as connection:
            yield connection

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connect() as connection:
            return connection.execute(sql).fetchall()

    def fingerprint(self) -> dict[str, Any]:
        """The row count and hashes of every mart's content; the order of rows does not matter."""
        with self.connect() as connection:
            return {
                mart: connection.execute(
                    f"select count(*), bit_xor(hash(t)), sum(hash(t)) from {mart} as t"
                ).fetchone()
                for mart in MARTS
            }


# longer than the name of any dataset of the project
FERRY_RIDES = "ferry_rides_of_the_inner_harbour"
HARBOUR = f"""
title = "The harbour"
url = "https://harbour.example"

[datasets.{FERRY_RIDES}]
path = "{{month}}.csv"
first_month = "2024-01"
required = ["left_at"]

[datasets.{FERRY_RIDES}.columns]
left_at = "timestamp"
"""


def publish_harbour(place: Place, folder: Path) -> None:
    """Add a further source without facts to a place, and publish two months of its dataset."""
    declared, published = folder / "sources" / "harbour", folder / "rides"
    for made in (declared, published):
        made.mkdir(parents=True)
    (declared / "source.toml").write_text(HARBOUR)
    (published / "2024-01.csv").write_text("left_at\n2024-01-01 08:00:00\n2024-01-01 09:00:00\n")
    (published / "2024-02.csv").write_text("left_at\n2024-02-01 08:00:00\n")
    place.env |= {
        "MEDALLION_SOURCES": str(declared.parent),
        "MEDALLION_HARBOUR_URL": published.as_uri(),
    }


def differing(left: Path, right: Path) -> dict[str, int]:
    """How many rows of each mart are in only one of two warehouses; marts without any are left out.

    Every column is compared to the last bit.
    """
    with duckdb.connect() as connection:
        connection.execute(f"attach '{left}' as a (read_only); attach '{right}' as b (read_only)")

        def fetched(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        marts = [
            name
            for (name,) in fetched(
                "select table_name from duckdb_tables()"
                " where database_name = 'a' and schema_name = 'marts'"
            )
        ]
        assert {f"marts.{name}" for name in marts} >= set(MARTS)
        counted = {}
        for mart in marts:
            a, b = (f"(from {warehouse}.marts.{mart})" for warehouse in "ab")
            ((counted[mart],),) = fetched(
                f"select count(*) from (({a} except all {b}) union all ({b} except all {a}))"
            )
        return {mart: count for mart, count in counted.items() if count}


def differing_on_spark(place: Place, files: Callable[[str, str], Sequence[str]]) -> dict[str, int]:
    """How many rows of each table that dbt built are only on DuckDB or only on Spark.

    ``files`` gives the Parquet files of a table on Spark, by its schema and name. What was built
    when is not compared. Tables without a difference are left out. Every column is compared to the
    last bit.
    """
    with place.connect() as connection:
        tables = connection.execute(
            "select schema_name, table_name, list(column_name order by column_index),"
            " list(data_type order by column_index)"
            " from duckdb_columns() inner join duckdb_tables() using (schema_name, table_name)"
            " where schema_name in ('staging', 'intermediate', 'marts')"
            f" and table_name not in {BUILDS} group by all"
        ).fetchall()
        assert {f"{schema}.{name}" for schema, name, *_ in tables} >= set(MARTS)
        counted = {}
        for schema, name, columns, types in tables:
            compared = here = f"(select {', '.join(columns)} from {schema}.{name})"
            if paths := list(files(schema, name)):
                casts = ", ".join(f"cast({c} as {t})" for c, t in zip(columns, types, strict=True))
                there = f"(select {casts} from read_parquet({paths}, hive_partitioning = true))"
                compared = f"(({here} except all {there}) union all ({there} except all {here}))"
            found = connection.execute(f"select count(*) from {compared}").fetchone()
            counted[f"{schema}.{name}"] = found[0] if found else -1
    return {table: count for table, count in counted.items() if count}


MakePlace = Callable[[Path], Place]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place: nothing is published, and no command was run."""
    made = Place(tmp_path)
    made.published.mkdir()
    return made


@pytest.fixture(scope="session")
def part(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Place:
    """A place where six months of the sample were loaded and built. Tests must not change it."""
    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":  # one for all workers; the first that needs it makes it
        folder = folder.parent
    place, built = Place(folder / "part"), folder / "part.built"
    with turn_with_file(folder / "part.lock", "the sample", Quiet()):
        if not built.exists():
            publish_part(place.published)
            place.medallion("run", "--quiet")
            built.touch()
    return place


@pytest.fixture
def copy(part: Place, tmp_path: Path) -> Place:
    """A copy of ``part`` for one test: published files, lake and warehouse."""
    place = Place(tmp_path / "copy")
    shutil.copytree(part.folder, place.folder, copy_function=shutil.copy2)
    # the publisher has another address here, because the folder is another
    place.env["MEDALLION_TLC_URL"] = place.published.as_uri()
    return place
