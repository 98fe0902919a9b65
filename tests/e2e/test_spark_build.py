"""dbt on a real Spark cluster: its marts are those of DuckDB, and what a killed run leaves."""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import FACTS, MARTS, Place, differing_on_spark
from tests.support import real_months
from tests.support.processes import Started, wait_until
from tests.support.samples import copied_project
from tests.support.spark import new_prefix, prefix, statement, table_files
from tests.support.trips import publish, trips

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]  # a build takes minutes

MARCH = date(2023, 3, 1)
# Data tests of these are left out, but for --faults: the same macros write them as those of the
# others, and their rows are compared with DuckDB's, which have passed them.
ALIKE = (
    "seeds",
    "models/staging",
    *(
        f"models/marts/{folder}"
        for folder in ("demand", "documents", "fleet", "revenue", "services", "trust")
    ),
)
TABLES = (
    "select table_name, service, tests from {p}intermediate.month_builds"
    " where source_month is null order by table_name"
)


@pytest.fixture(scope="module")
def night(
    part: Place,
    tmp_path_factory: pytest.TempPathFactory,
    spark: dict[str, str],
    at_length: bool,
) -> Iterator[Place]:
    """A place with a part of the sample, built and tested on DuckDB and on Spark from one lake."""
    place = Place(tmp_path_factory.mktemp("spark_build") / "copy", patience_seconds=2700)
    shutil.copytree(part.folder, place.folder, copy_function=shutil.copy2)
    left_out = [] if at_length else [f"test_type:generic,path:{path}" for path in ALIKE]
    with built_on_spark(place, spark, *(("--exclude", *left_out) if left_out else ())):
        yield place


@contextmanager
def built_on_spark(place: Place, spark: dict[str, str], *arguments: str) -> Iterator[None]:
    """Load the lake of a place and build it on Spark; its schemas are dropped at the end."""
    place.env |= spark | {"MEDALLION_SPARK_SCHEMA_PREFIX": new_prefix()}
    place.medallion("load", "--quiet")
    place.dbt("build", *arguments)
    yield
    for schema, *_ in statement(place.env, "show schemas like '{p}*'"):
        statement(place.env, f"drop schema `{schema}` cascade")


def executors(place: Place) -> list[int]:
    """The processes that do the work of the cluster's worker."""
    work = Path(place.env["MEDALLION_SPARK_DIR"]).resolve() / "work"
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile, or is somebody else's
            if (process / "cwd").readlink().is_relative_to(work):
                found.append(int(process.name))
    return found


def differing(place: Place) -> dict[str, int]:
    """How many rows of each table that dbt built are on one of the engines only."""
    return differing_on_spark(place, partial(table_files, place.env))


def test_every_table_is_that_of_duckdb_to_the_last_bit(night: Place) -> None:
    assert differing(night) == {}


def test_the_tables_of_real_months_are_those_of_duckdb(
    real_data: Path, spark: dict[str, str], tmp_path: Path, at_length: bool
) -> None:
    if not at_length:
        pytest.skip("tried with --faults")
    place = Place(tmp_path, patience_seconds=2700)
    real_months.publish(place.published, real_data, real_months.twelve(real_data))
    place.medallion("run", "--quiet")
    with built_on_spark(place, spark, "--exclude-resource-type", "unit_test"):
        ((rows, files),) = statement(
            place.env,
            "select count(*), count(distinct service, source_month) from {p}marts.fct_trips",
        )
        assert (rows, files) == place.query(f"select count(*), 12 from {FACTS}")[0]
        assert differing(place) == {}


def test_a_month_of_the_facts_is_planned_from_that_month_alone(night: Place) -> None:
    """Also on the other side of joins, and of joins within joins."""
    models = ("fct_trips", "int_trip_repeats")
    night.dbt("compile", "--select", *models)
    wanted = "service in ('green', 'fhv') and source_month in (date '2023-01-01')"
    for model in models:
        (path,) = night.folder.glob(f"dbt/target/compiled/**/[!_]*/{model}.sql")
        sql = f"explain formatted select * from ({path.read_text()}) as model where {wanted}"
        ((plan,),) = statement(night.env, sql)
        filters = re.findall("PartitionFilters: .*", plan)
        assert len(filters) > 1
        assert [f for f in filters if "2023-01-01" not in f or "green" not in f] == []


def test_the_metastore_is_asked_for_as_many_months_as_there_are(night: Place) -> None:
    """Of the 600 that are asked for, the table has three; and one that is not asked for."""
    table, first = "{p}intermediate.many_months", date(1970, 1, 1)
    months = [date(first.year + n // 12, n % 12 + 1, 1) for n in range(600)]
    statement(
        night.env,
        f"create table {table} using parquet partitioned by (service, source_month) as"
        " select /*+ coalesce(1) */ id as n, if(id % 2 = 0, 'green', 'fhv') as service,"
        f" add_months(date '{first}', cast(id as int)) as source_month from range(4)",
    )
    listed = ", ".join(f"date '{month}'" for month in months if month != months[2])
    either = " or ".join(
        f"(service = '{service}' and source_month in ({listed}))" for service in ("fhv", "green")
    )
    query = f"select count(*) + 700 as found from {table} where {either}"
    shown = night.dbt("show", "--inline", query.replace("{p}", prefix(night.env)))
    assert "703" in shown
    statement(night.env, f"drop table {table}")


def test_hive_reads_a_table_whose_columns_have_long_descriptions(night: Place) -> None:
    described = statement(night.env, "describe extended {p}marts.report_measures")
    (comment,) = (comment for name, _, comment in described if name == "measure")
    assert comment
    assert len(comment) == 256
    (reader,) = (value for name, value, _ in described if name == "Serde Library")
    assert "ParquetHiveSerDe" in reader


def test_a_second_build_writes_nothing(night: Place) -> None:
    """Also where an earlier release had the md5 of a table's tests in another column."""
    versions, before = "{p}intermediate.month_build_versions", statement(night.env, TABLES)
    columns = "source_month, file_key, build_key, row_count, built_at, tested_at"
    statement(
        night.env,
        f"create table {versions}_before using parquet partitioned by (table_name, version) as"
        f" select definition, coalesce(service, tests) as service, {columns}, table_name, version"
        f" from {versions}",
    )
    statement(night.env, f"drop table {versions}")
    statement(night.env, f"alter table {versions}_before rename to {versions}")
    said = night.dbt("run", "--no-use-colors")
    built = [line for line in said.splitlines() if " OK created " in line]
    assert len(built) > len(MARTS)
    assert [line for line in built if "UNCHANGED" not in line and "[0 months" not in line] == []
    after = statement(night.env, TABLES)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    tested = {(table, service, tests) for table, service, tests in before if tests}
    assert tested <= set(after)
    assert [table for table, service, _ in tested if not service]


def test_of_the_runs_of_dbt_the_last_ones_are_kept(night: Place) -> None:
    runs = "select invocation_id from {p}intermediate.dbt_invocations order by completed_at desc"
    before = statement(night.env, runs)
    assert len(before) > 1
    for most, kept in ((len(before), len(before)), (1, 1)):
        limits = f"{{most: {most}, kept: 1}}"
        night.dbt("run-operation", "drop_old_invocations", "--args", limits)
        assert statement(night.env, runs) == before[:kept]


def test_a_seed_without_rows_keeps_none(night: Place, tmp_path: Path) -> None:
    project = copied_project(tmp_path) / "dbt_project"
    seed = project / "seeds" / "known_divergences.csv"
    before = statement(night.env, "select count(*) from {p}staging.known_divergences")
    header, *_ = seed.read_text().splitlines()
    seed.write_text(f"{header}\n")
    folders = ("--project-dir", str(project), "--profiles-dir", str(project))
    for there, expected in ((folders, [(0,)]), ((), before)):
        night.dbt("seed", "--select", "known_divergences", *there)
        found = statement(night.env, "select count(*) from {p}staging.known_divergences")
        assert found == expected


def test_a_small_table_is_replaced_where_its_rows_differ(night: Place, tmp_path: Path) -> None:
    """Then its tests are stale. Where the columns are not those of its contract, it stays."""
    tested = (
        "select tested_at is not null from {p}intermediate.month_builds"
        " where table_name = 'marts.dim_vendors'"
    )
    assert statement(night.env, tested) == [(True,)]
    statement(night.env, "insert into {p}marts.dim_vendors values (99, 'nobody', 'nowhere')")
    build = ("run", "--select", "dim_vendors", "--no-use-colors")
    for code in ("REPLACED", "UNCHANGED"):
        assert f"[{code} in" in night.dbt(*build)
        assert statement(night.env, tested) == [(False,)]
    assert differing(night) == {}

    project = copied_project(tmp_path) / "dbt_project"
    (model,) = project.rglob("dim_vendors.sql")
    as_text = "cast(vendor_id as {{ sql_type('text') }}) as vendor_id"
    model.write_text(model.read_text().replace("    vendor_id,", f"    {as_text},"))
    folders = ("--project-dir", str(project), "--profiles-dir", str(project))
    said = night.dbt(*build, *folders, expect=1)
    assert "has an enforced contract that failed" in said
    assert differing(night) == {}


def forget(place: Place, table: str, condition: str) -> None:
    """Write the build records of a table without those of the months of a condition."""
    records = "{p}intermediate.month_build_versions"
    columns = "definition, service, source_month, file_key, build_key, row_count, built_at"
    statement(
        place.env,
        f"insert into {records} partition (table_name, version)"
        f" select {columns}, tested_at, tests, table_name, (select max(version) + 1 from {records})"
        f" from {{p}}intermediate.month_builds where table_name = '{table}'"
        f" and (service is null or not ({condition}))",
    )


def test_a_month_that_is_no_more_leaves_and_comes_back(night: Place) -> None:
    """Also from a table of which a run was killed while it replaced the month."""
    months = "select service, source_month, count(*) from {p}marts.daily_trips group by all"
    before = sorted(statement(night.env, months))
    build = ("run", "--select", "int_trips", "int_trip_repeats", "fct_trips", "daily_trips")

    night.medallion("withdraw", "fhv", "2023-01", "--reason", "it is wrong")
    night.medallion("load", "--quiet")
    forget(night, "marts.daily_trips", "service = 'fhv'")
    statement(
        night.env,
        "insert into {p}intermediate.dbt_invocations partition (invocation_id = 'killed')"
        " values ('run', '', current_timestamp(), false, '')",
    )
    assert "1 months, 0 rows" in night.dbt(*build)
    assert sorted(statement(night.env, months)) == [m for m in before if m[0] != "fhv"]

    night.medallion("withdraw", "fhv", "2023-01", "--undo")
    night.medallion("load", "--quiet")
    night.dbt(*build)
    assert sorted(statement(night.env, months)) == before
    assert differing(night) == {}


def start_build(night: Place, *models: str) -> subprocess.Popen[str] | Started:
    """Begin to build tables anew, while other runs of dbt have the place's folder of results.

    This run has a folder of its own, and in it what the others have parsed already.
    """
    folder = night.folder / "beside"
    folder.mkdir(exist_ok=True)
    shutil.copy2(night.folder / "dbt" / "target" / "partial_parse.msgpack", folder)
    return night.start(
        "dbt.cli.main",
        *("run", "--full-refresh", "--select", *models),
        *("--target-path", str(folder), "--log-path", str(folder)),
        cwd=PROJECT_ROOT / "dbt_project",
    )


def test_a_build_that_is_killed_goes_on(night: Place) -> None:
    """It is killed while the table is built anew; readers keep the old one. What it left goes."""
    build = start_build(night, "hourly_zone_demand")
    tables = "show tables in {p}marts like 'hourly_zone_demand*'"
    wait_until(lambda: len(statement(night.env, tables)) == 2, night.patience_seconds, pause=0.5)
    build.kill()
    build.communicate()
    assert differing(night) == {}
    left = "daily_trips__old_0f"
    statement(night.env, f"create table {{p}}marts.{left} using parquet as select 1 as x")

    said = night.dbt("run", "--select", "hourly_zone_demand", expect=2)
    assert "Another dbt builds in Spark" in said
    assert "drop view" in said
    night.dbt("run", "--select", "hourly_zone_demand", "--vars", "{spark_turn_minutes: 0}")
    assert len(statement(night.env, tables)) == 1
    assert statement(night.env, f"show tables in {{p}}marts like '{left}'") == []
    assert differing(night) == {}


def test_a_build_goes_on_where_an_executor_is_killed(night: Place) -> None:
    build = start_build(night, "hourly_zone_demand", "daily_trips")
    tables = "show tables in {p}marts like 'hourly_zone_demand*'"
    wait_until(lambda: len(statement(night.env, tables)) == 2, night.patience_seconds, pause=0.5)
    killed = executors(night)
    assert killed
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    said, _ = build.communicate(timeout=night.patience_seconds)
    assert build.returncode == 0, said
    assert not set(killed) & set(executors(night))
    assert differing(night) == {}


def test_a_month_whose_file_is_gone_stays_as_it_was(night: Place) -> None:
    """It is one of several that a table of the metastore reads: Spark then reads the others."""
    (file,) = night.lake.rglob("green_tripdata_2023_02*.parquet")
    build = ("run", "--select", "int_raw_counts")
    forget(night, "intermediate.int_raw_counts", "source_month = date '2023-02-01'")
    away = file.rename(file.with_suffix(".away"))
    try:
        assert "green 2023-02 (0 of 4209 rows)" in night.dbt(*build, expect=1)
        assert differing(night) == {}
    finally:
        away.rename(file)
    assert "1 months" in night.dbt(*build)
    assert differing(night) == {}


def promoting(night: Place) -> None:
    """Write the records that stand there while the daily trips are promoted."""
    records = "{p}intermediate.month_build_versions"
    version = f"(select max(version) + 1 from {records})"
    columns = "definition, service, source_month, file_key, build_key, row_count, built_at"
    for sql in (
        f"select {columns}, tested_at, tests, 'marts.daily_trips__rebuild', {version}"
        " from {p}intermediate.month_builds where table_name = 'marts.daily_trips'",
        f"select 'promoting', {'null, ' * 8} 'marts.daily_trips', {version}",
    ):
        statement(night.env, f"insert into {records} partition (table_name, version) {sql}")


def test_what_a_killed_promotion_left_is_finished(night: Place) -> None:
    """It was killed when the old table was gone, and before the new one had its name."""
    promoting(night)
    statement(night.env, "alter table {p}marts.daily_trips rename to {p}marts.daily_trips__rebuild")

    assert "0 months" in night.dbt("run", "--select", "daily_trips")
    assert differing(night) == {}


def test_a_table_that_lost_its_rows_when_its_server_ended_is_built_again(night: Place) -> None:
    """Spark gives it its new name before it moves its folder, and was killed between the two."""
    promoting(night)
    table = "{p}marts.daily_trips"
    for service, month in statement(
        night.env, f"select distinct service, cast(source_month as string) from {table}"
    ):
        partition = f"service = '{service}', source_month = date '{month}'"
        statement(night.env, f"alter table {table} drop partition ({partition})")

    assert "[0 months" not in night.dbt("run", "--select", "daily_trips")
    assert differing(night) == {}


def test_a_session_without_a_setting_builds_nothing(night: Place, tmp_path: Path) -> None:
    profiles = (PROJECT_ROOT / "dbt_project" / "profiles.yml").read_text()
    asked = 'spark.sql.ansi.enabled": "true"'
    assert asked in profiles
    (tmp_path / "profiles.yml").write_text(profiles.replace(asked, asked.replace("true", "false")))
    said = night.dbt("run", "--profiles-dir", str(tmp_path), expect=2)
    assert "spark.sql.ansi.enabled is false, not true" in said


def test_the_flow_builds_and_tests_what_is_new(night: Place, at_length: bool) -> None:
    """With all tests of data; some marts have no row of the month, and are built all the same."""
    if not at_length:
        pytest.skip("tried with --faults")
    publish(night.published, "green", MARCH, trips("green", MARCH))
    night.run("orchestration.flows")
    on_duckdb = Place(night.folder, night.env | {"MEDALLION_TARGET": "duckdb"})
    on_duckdb.medallion("run", "--quiet")
    assert differing(night) == {}
    ledger = (
        "select fact_rows, is_balanced from {p}marts.ledger"
        f" where dataset = 'green' and month = date '{MARCH}'"
    )
    assert statement(night.env, ledger) == [(20, True)]
    empty = (
        "select row_count from {p}intermediate.month_builds"
        f" where table_name = 'marts.tip_shares' and source_month = date '{MARCH}'"
    )
    assert statement(night.env, empty) == [(0,)]
    report = night.medallion_json("run", "--quiet")
    assert (report["faults"], report["new"], report["built"]) == ([], [], False)
