"""Spark 3.5 with tables of Iceberg, over a lake in a bucket: its tables are those of DuckDB."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ingestion.settings import PROJECT_ROOT
from ingestion.warehouse.spark import cluster
from tests.e2e.conftest import FACTS, Place, differing_on_spark
from tests.support import spark35
from tests.support.ports import free_port
from tests.support.processes import wait_until
from tests.support.samples import publish_part
from tests.support.spark import new_prefix, prefix, start, statement
from tests.support.stores import S3, Store

pytestmark = [pytest.mark.slow, pytest.mark.timeout(7200)]  # a build takes many minutes

# test_spark_build.py runs them, and the rows are compared with DuckDB's, which have passed them
WITHOUT_TESTS = ("--exclude-resource-type", "test", "unit_test")
# the dbt that had the turn was killed
WITHOUT_WAITING = ("--vars", "{spark_turn_minutes: 0}")
MONTHS = "select service, source_month, count(*) from {p}marts.fct_trips"
SNAPSHOTS = (
    "select snapshot_id, cast(summary['total-records'] as bigint) from {p}marts.fct_trips.snapshots"
)
RECORDS = (
    "select count(*) from {p}intermediate.month_builds"
    f" where table_name = '{FACTS}' and source_month is not null"
)


@pytest.fixture(scope="module")
def night(
    tmp_path_factory: pytest.TempPathFactory,
    store_servers: Callable[[str], Store],
    at_length: bool,
) -> Iterator[Place]:
    """A place with a part of the sample in a bucket, built on DuckDB and on Spark from there."""
    if not at_length:
        pytest.skip("it downloads 300 MB once, and builds for many minutes: only with --faults")
    store = bucket(store_servers)
    place = Place(tmp_path_factory.mktemp("spark_iceberg"), patience_seconds=2700)
    place.env |= store.environment | {"MEDALLION_LAKE_URL": store.new_lake()}
    publish_part(place.published)
    place.medallion("run", "--quiet")
    server = place.folder / "server"
    place.env |= {
        "MEDALLION_TARGET": "spark",
        "MEDALLION_SPARK_PORT": str(free_port()),
        "MEDALLION_SPARK_DIR": str(server),
        "MEDALLION_SPARK_FORMAT": "iceberg",
        "MEDALLION_SPARK_SCHEMA_PREFIX": new_prefix(),
    }
    try:
        serve(place, store)
        build(place)
        yield place
    finally:
        cluster.down(server)


def bucket(store_servers: Callable[[str], Store]) -> S3:
    """The store that has the lake."""
    store = store_servers("s3")
    assert isinstance(store, S3)
    return store


def serve(place: Place, store: S3) -> None:
    """Start Spark, with a key that may only read the bucket."""
    start(
        Path(place.env["MEDALLION_SPARK_DIR"]),
        int(place.env["MEDALLION_SPARK_PORT"]),
        workers=0,
        settings=(*spark35.ICEBERG_SETTINGS, *spark35.s3a_settings(store.reader)),
        home=spark35.home(),
        memory=spark35.MEMORY,
    )


def build(place: Place, *arguments: str) -> None:
    """Load what has landed, and bring every table on Spark up to date."""
    place.medallion("load", "--quiet")
    place.dbt("build", *WITHOUT_TESTS, *arguments)


def build_on_duckdb(place: Place) -> None:
    """Land what is new, and bring the marts of DuckDB up to date."""
    Place(place.folder, place.env | {"MEDALLION_TARGET": "duckdb"}).medallion("run", "--quiet")


def differing(place: Place) -> dict[str, int]:
    """How many rows of each table that dbt built are on one of the engines only."""

    def files(schema: str, name: str) -> list[str]:
        folder = database(place, schema) / name
        if folder.is_dir():  # a seed: those of Iceberg have a folder of another name
            return [str(path) for path in folder.rglob("*.parquet")]
        listed = statement(place.env, f"select file_path from {{p}}{schema}.{name}.files")
        return [path.removeprefix("file:") for (path,) in listed]

    return differing_on_spark(place, files)


def database(place: Place, schema: str) -> Path:
    """The folder of a schema's tables."""
    warehouse = Path(place.env["MEDALLION_SPARK_DIR"]) / "warehouse"
    return warehouse / f"{prefix(place.env)}{schema}.db"


def written(place: Place, mart: str) -> set[Path]:
    """The files of rows of a mart, of its older snapshots too."""
    folders = (f"{mart}-*", f"{mart}__rebuild-*")
    marts = database(place, "marts")
    return {path for name in folders for path in marts.glob(f"{name}/data/**/*.parquet")}


def start_dbt(place: Place, *arguments: str) -> Any:
    """Start a dbt that will not end well; it has folders of its own for what it leaves."""
    folder = str(place.folder / "killed")
    return place.start(
        "dbt.cli.main",
        *("run", *arguments, "--target-path", folder, "--log-path", folder),
        cwd=PROJECT_ROOT / "dbt_project",
    )


def kill_while_it_writes(place: Place, mart: str, *arguments: str) -> None:
    """Kill a dbt that builds a mart when its first new file is there."""
    files = written(place, mart)
    build = start_dbt(place, "--select", mart, *arguments)
    wait_until(lambda: written(place, mart) - files, place.patience_seconds)
    build.kill()
    build.communicate()


def months(place: Place, version: str = "") -> list[tuple[Any, ...]]:
    """The service, the month and the rows of each month of the facts; also of an older version."""
    return sorted(statement(place.env, f"{MONTHS} {version} group by all"))


def test_every_table_is_that_of_duckdb_to_the_last_bit(night: Place) -> None:
    assert differing(night) == {}
    assert len(months(night)) > 3
    audited = night.medallion_json("audit")
    assert audited["files"] > 3
    assert audited["unbalanced"] == []


def test_a_month_is_replaced_as_a_whole_also_where_dbt_is_killed(night: Place) -> None:
    """The next run ends as one that was not disturbed."""
    before, earlier = months(night), {number for number, _ in statement(night.env, SNAPSHOTS)}
    publish_part(night.published, republished=True)
    build_on_duckdb(night)
    night.medallion("load", "--quiet")
    night.dbt("run", "--select", "int_trips", "int_trip_repeats")
    kill_while_it_writes(night, "fct_trips")
    assert statement(night.env, RECORDS) == [(len(before) - 1,)]

    build(night, *WITHOUT_WAITING)
    assert differing(night) == {}
    after = months(night)
    assert after != before
    whole = {sum(rows for *_, rows in seen) for seen in (before, after)}
    seen_by_readers = [each for each in statement(night.env, SNAPSHOTS) if each[0] not in earlier]
    assert seen_by_readers
    for number, rows in seen_by_readers:
        assert rows in whole
        assert months(night, f"version as of {number}") in (before, after)


def test_a_table_is_built_anew_beside_the_old_one_also_where_dbt_is_killed(night: Place) -> None:
    """The files of the old one are deleted when the new one is there."""
    old = written(night, "daily_trips")
    kill_while_it_writes(night, "daily_trips", "--full-refresh")
    assert old <= written(night, "daily_trips")
    assert differing(night) == {}
    night.dbt("run", "--select", "daily_trips", "--full-refresh", *WITHOUT_WAITING)
    assert differing(night) == {}
    assert not old & written(night, "daily_trips")


def test_a_month_that_is_withdrawn_leaves(night: Place) -> None:
    before = months(night)
    night.medallion("withdraw", "fhv", "2023-01", "--reason", "it is wrong")
    build_on_duckdb(night)
    build(night)
    assert months(night) == [month for month in before if month[0] != "fhv"]
    assert differing(night) == {}


def test_a_table_is_built_in_the_other_format_beside_the_old_one(night: Place) -> None:
    """It is of Parquet files from then on, on the server that has a catalog of Iceberg."""
    night.env["MEDALLION_SPARK_FORMAT"] = "parquet"
    for said in ("BUILT", "UNCHANGED"):
        assert said in night.dbt("run", "--select", "dim_vendors", "--no-use-colors")
    ((provider,),) = (
        (value,)
        for name, value, _ in statement(night.env, "describe extended {p}marts.dim_vendors")
        if name == "Provider"
    )
    assert provider == "parquet"
    assert differing(night) == {}
