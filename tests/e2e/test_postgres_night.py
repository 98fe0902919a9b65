"""The whole job on PostgreSQL, and that its marts are those of DuckDB, row by row."""

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from ingestion.sources.tlc.sample import publish_sample
from tests.e2e.conftest import FERRY_RIDES, WITHOUT_UNIT_TESTS, Place, publish_harbour
from tests.support import browser, postgres
from tests.support.processes import PATIENCE_SECONDS, wait_until
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

# the sample has no such months
JUNE, JULY, AUGUST = date(2024, 6, 1), date(2024, 7, 1), date(2024, 8, 1)
# the grain of each mart
MARTS = {
    "fct_trips": ["trip_id"],
    "daily_trips": ["service", "pickup_date"],
    "hourly_zone_demand": ["service", "pickup_zone_id", "pickup_hour"],
    "hourly_zone_dropoffs": ["service", "source_month", "dropoff_zone_id", "dropoff_hour"],
    "zone_pair_trips": ["service", "source_month", "pickup_zone_id", "dropoff_zone_id"],
    "airport_trips_hourly": ["service", "source_month", "airport_zone_id", "trip_hour"],
    "daily_trips_weather": ["service", "pickup_date"],
    "tip_shares": ["service", "source_month", "pickup_zone_id"],
    "congestion_pricing": ["service", "pickup_date", "is_cbd"],
    "monthly_service_summary": ["service", "source_month", "company_id"],
    "fhvhv_service": ["source_month", "pickup_zone_id", "company_id"],
    "monthly_zone_revenue": ["service", "source_month", "pickup_zone_id"],
    "ledger": ["dataset", "month"],
    "ledger_reasons": ["dataset", "month", "invalid_reason"],
    "ledger_single_files": ["dataset", "table_name"],
    "tlc_reconciliation": ["service", "month"],
    "report_measures": ["service", "month", "measure"],
    "fleet_monthly": ["month", "license_class"],
    "dim_bases": ["base_number"],
    "dim_zones": ["zone_id"],
    "dim_dates": ["date_day"],
    "dim_companies": ["company_id"],
    "dim_trip_types": ["trip_type_id"],
}


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A place with the sample built on both engines from one lake, and with a further source."""
    place = Place(tmp_path_factory.mktemp("night"))
    publish_sample(place.published)
    publish_harbour(place, place.folder)
    place.medallion("land", "--quiet", "--dataset", FERRY_RIDES)
    with (
        postgres.server(tmp_path_factory.mktemp("postgres")) as server,
        postgres.database(server) as variables,
    ):
        place.env |= variables
        place.medallion("run", "--quiet")
        place.report = place.medallion_json("run", "--quiet", "--target", "postgres")  # type: ignore[attr-defined]
        yield place


def on_postgres(place: Place, sql: str) -> list[tuple[Any, ...]]:
    connection = postgres.connect(place.env)
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()
    finally:
        connection.close()


def test_nothing_is_lost(night: Place) -> None:
    report = night.report  # type: ignore[attr-defined]
    assert report["faults"] == []
    assert report["ledger_balances"] is True
    assert "PostgreSQL at" in report["warehouse"]


def test_a_dataset_of_a_further_source_is_counted_and_has_no_facts(night: Place) -> None:
    ledger = (
        "select file_rows, raw_rows, fact_rows, is_balanced from marts.ledger"
        f" where dataset = '{FERRY_RIDES}' order by month"
    )
    assert on_postgres(night, ledger) == [(2, 2, None, True), (1, 1, None, True)]
    relations = f"select count(*) from pg_class where relname like '%{FERRY_RIDES[:15]}%'"
    # two raw tables and the read view: no partition of the facts
    assert on_postgres(night, f"{relations} and relkind in ('r', 'p', 'v')") == [(3,)]


@pytest.mark.parametrize("mart", MARTS)
def test_marts_are_those_of_duckdb(night: Place, mart: str) -> None:
    """Every figure is equal, averages and medians to the last digit."""
    columns = [
        name
        for (name,) in night.query(
            "select column_name from information_schema.columns where table_schema = 'marts'"
            f" and table_name = '{mart}' order by ordinal_position"
        )
    ]
    sql = f"select {', '.join(columns)} from marts.{mart} order by {', '.join(MARTS[mart])}"
    ours, theirs = night.query(sql), on_postgres(night, sql)
    assert len(ours) == len(theirs) > 0
    for ours_row, theirs_row in zip(ours, theirs, strict=True):
        assert dict(zip(columns, theirs_row, strict=True)) == dict(
            zip(columns, ours_row, strict=True)
        )


def test_the_site_is_the_same_on_both_engines(night: Place, tmp_path: Path) -> None:
    sites = [tmp_path / engine for engine in ("duckdb", "postgres")]
    for site in sites:
        night.medallion("site", "--quiet", "--target", site.name, "--out", str(site))
    ours, theirs = (
        {path.relative_to(data): path.read_text() for path in data.rglob("*.js")}
        for (data,) in (site.glob("build-*/data") for site in sites)
    )
    assert len(ours) > 270  # a file for each zone, and more
    assert ours == theirs
    if browser.program() is None:
        pytest.skip("the pages need Debian's chromium: apt-get install chromium")
    with browser.browser() as page:
        for path in sorted(sites[1].glob("*.html")):
            page.open(path.as_uri())
        assert page.errors == []


@pytest.mark.parametrize("engine", ["duckdb", "postgres"])
def test_what_is_published_is_what_was_built(night: Place, engine: str) -> None:
    """To the last digit and type, whichever engine built it."""
    gold = night.folder / f"gold-{engine}"
    place = Place(night.folder, night.env | {"MEDALLION_PUBLISH_URL": str(gold)})
    done = place.medallion_json("publish", "--quiet", "--target", engine)
    assert done["is_new"]
    with duckdb.connect() as connection:

        def fetched(sql: str) -> list[tuple[Any, ...]]:
            return connection.execute(sql).fetchall()

        connection.execute(f"attach '{night.warehouse}' as built (read_only)")
        connection.execute(f"attach '{gold / 'medallion.duckdb'}' as gold (read_only)")
        marts = fetched(
            "select view_name from duckdb_views()"
            " where database_name = 'gold' and schema_name = 'marts'"
        )
        assert {name for (name,) in marts} >= MARTS.keys()
        for (mart,) in marts:
            columns = fetched(f"describe built.marts.{mart}")
            assert [c[:2] for c in fetched(f"describe gold.marts.{mart}")] == [
                c[:2] for c in columns
            ], mart
            a, b = (f"(from {place}.marts.{mart})" for place in ("built", "gold"))
            differing = (
                f"select count(*) from (({a} except all {b}) union all ({b} except all {a}))"
            )
            assert fetched(differing) == [(0,)], mart


def examples() -> list[str]:
    """The queries of docs/data.md that name a mart."""
    page = (PROJECT_ROOT / "docs" / "data.md").read_text()
    blocks = re.findall(r"^```sql\n(.*?)^```", page, flags=re.MULTILINE | re.DOTALL)
    queries = [query.strip() for block in blocks for query in block.split(";")]
    return [query for query in queries if "marts." in query]


@pytest.mark.parametrize("query", examples(), ids=lambda q: re.findall(r"marts\.(\w+)", q)[0])
def test_an_example_of_the_page_runs_on_both_engines(night: Place, query: str) -> None:
    assert len(night.query(query)) == len(on_postgres(night, query))


def test_a_second_run_finds_nothing_new(night: Place) -> None:
    again = night.medallion_json("run", "--quiet", "--target", "postgres")
    assert (again["new"], again["loaded"], again["built"]) == ([], [], False)


def test_the_commands_work_as_on_duckdb(night: Place) -> None:
    target = ("--target", "postgres")
    assert night.medallion_json("audit", *target)["unbalanced"] == []
    files = night.medallion_json("status", *target)["files"]
    assert all(f["loaded"] and f["stale"] is None for f in files)
    assert all(c["good"] for c in night.medallion_json("doctor", *target))
    ((trip_id, total),) = on_postgres(
        night,
        "select trip_id, total_usd from marts.fct_trips where invalid_reason = 'refund'"
        " and service = 'green' order by trip_id limit 1",
    )
    found = night.medallion_json("explain", str(trip_id), *target)
    assert found["raw_row"]["total_amount"] == total
    assert found["rule"]["invalid_reason"] == "refund"
    for writing in (
        "delete from marts.ledger",
        "set transaction read write; delete from marts.ledger",
        "begin read write; delete from marts.ledger; commit",
        "commit; delete from marts.ledger",
        "with gone as (delete from marts.ledger returning 1) select * from gone",
        "copy (select 1) to program 'true'",
        "vacuum marts.ledger",
    ):
        night.medallion("query", writing, *target, expect=2)
        assert "read-only" in night.last_stderr, writing


def test_a_republication_is_followed_and_disturbs_no_reader(night: Place) -> None:
    publish_sample(night.published, republished=True)
    rows = "select count(*), sum(total_usd) from marts.fct_trips where source_month = '2023-02-01'"
    before = on_postgres(night, rows)
    reader = postgres.connect(night.env)
    try:
        with reader.cursor() as cursor:
            cursor.execute(f"begin isolation level repeatable read; {rows}")
            report = night.medallion_json("run", "--quiet", "--target", "postgres")
            cursor.execute(rows)
            assert cursor.fetchall() == before
    finally:
        reader.close()
    assert on_postgres(night, rows) != before
    assert report["republished"] == ["green 2023-02"]
    assert report["faults"] == []
    assert len(report["loaded"]) == 1


def test_dbt_build_passes_by_itself(night: Place) -> None:
    assert "ERROR=0" in night.dbt("build", "--target", "postgres")


def test_a_replaced_month_leaves_no_dead_rows_and_no_growth(night: Place) -> None:
    def size() -> int:
        ((size,),) = on_postgres(
            night,
            "select sum(pg_relation_size(relid)) from pg_partition_tree('marts.fct_trips')",
        )
        return int(size)

    sizes = []
    for seed in range(3):
        publish(night.published, "green", JUNE, trips("green", JUNE, rows=20_000, seed=seed))
        report = night.medallion_json("run", "--quiet", "--target", "postgres")
        assert report["faults"] == []
        sizes.append(size())
    # the month that went left room for the one that came
    assert sizes[2] - sizes[1] < 0.05 * (sizes[1] - sizes[0])
    ((dead,),) = on_postgres(
        night,
        "select sum(n_dead_tup) from pg_stat_user_tables where schemaname = 'marts'"
        " or relname like 'fct_trips%' or relname like 'hourly_zone_demand%'",
    )
    assert dead == 0


def test_a_new_month_reads_no_other_and_waits_for_no_reader(night: Place) -> None:
    def reads() -> dict[str, int]:
        partitions = "select relname, seq_scan from pg_stat_user_tables"
        return dict(on_postgres(night, f"{partitions} where relname like 'fct_trips_green%20%'"))

    before = reads()
    assert len(before) > 1
    publish(night.published, "green", AUGUST, trips("green", AUGUST))
    reader = postgres.connect(night.env)
    try:
        reader.cursor().execute("begin; lock table marts.fct_trips in access share mode")
        assert night.medallion_json("run", "--quiet", "--target", "postgres")["faults"] == []
    finally:
        reader.close()
    after = reads()
    assert {name: after[name] for name in before} == before
    (new,) = set(after) - set(before)
    assert after[new] > 0


def test_a_transform_waits_for_no_reader_of_anything(night: Place) -> None:
    """What did not change is left alone, and what did is replaced beside what readers see."""
    publish(night.published, "green", AUGUST, trips("green", AUGUST, rows=200, seed=1))
    for verb in ("land", "load"):
        night.medallion(verb, "--quiet", "--target", "postgres")
    dims = "select xmin, ctid, * from marts.dim_zones order by zone_id"
    before = on_postgres(night, dims)
    days = f"select sum(trips) from marts.daily_trips where pickup_date >= date '{AUGUST}'"
    rows = on_postgres(night, days)
    reader = postgres.connect(night.env)
    night.env["PGOPTIONS"] = "-c lock_timeout=100ms"
    try:
        with reader.cursor() as cursor:
            cursor.execute("begin isolation level repeatable read")
            cursor.execute(
                "select format('%I.%I', nspname, relname) from pg_class as c"
                " inner join pg_namespace as n on c.relnamespace = n.oid"
                " where nspname in ('tlc', 'staging', 'intermediate', 'marts')"
                " and relkind in ('r', 'v', 'p')"
            )
            for (name,) in cursor.fetchall():
                cursor.execute(f"lock table {name} in access share mode")
            cursor.execute(days)
            night.medallion("transform", "--quiet", "--target", "postgres")
            cursor.execute(days)
            assert cursor.fetchall() == rows
    finally:
        del night.env["PGOPTIONS"]
        reader.close()
    assert on_postgres(night, days) != rows
    assert on_postgres(night, dims) == before
    assert night.medallion_json("audit", "--target", "postgres")["unbalanced"] == []


def test_who_holds_what_is_replaced_is_waited_for_and_then_named(night: Place) -> None:
    for held in ("marts.dim_zones", "staging.stg_tlc__zones"):
        _waits_for_who_holds(night, held)
    assert "ERROR=0" in night.dbt("build", *WITHOUT_UNIT_TESTS, "--target", "postgres")


def _waits_for_who_holds(night: Place, held: str) -> None:
    model = held.partition(".")[2]
    build = ("run", "--full-refresh", "--select", model, "--target", "postgres")
    read = f"begin; select 1 as one from {held}"
    reader = postgres.connect(night.env)
    reader.cursor().execute("set application_name = 'dashboard'")
    night.env["PGOPTIONS"] = "-c lock_timeout=500ms"
    try:
        with reader.cursor() as cursor:
            cursor.execute(read)
            said = " ".join(night.dbt(*build, expect=1).split())
            user = night.env.get("PGUSER", "postgres")
            assert f"pid {reader.get_backend_pid()} ({user}, dashboard, since 20" in said
            assert "pg_terminate_backend" in said
            assert "is held by" in said
            cursor.execute(f"commit; {read}")
            dbt = night.start("dbt.cli.main", *build, cwd=PROJECT_ROOT / "dbt_project")
            waits = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
            wait_until(lambda: on_postgres(night, waits) == [(1,)])
            cursor.execute("commit")
        said = dbt.communicate(timeout=PATIENCE_SECONDS)[0]
        assert dbt.returncode == 0, said
    finally:
        del night.env["PGOPTIONS"]
        reader.close()


def test_a_month_whose_evidence_fails_is_not_built_and_not_built_twice(night: Place) -> None:
    """Rows and load record are one transaction, also where the adapter does not begin one."""
    publish(night.published, "green", JULY, trips("green", JULY))
    night.medallion("land", "--quiet")
    night.medallion("load", "--quiet", "--target", "postgres")
    connection = postgres.connect(night.env)
    count = f"select count(*) from marts.fct_trips where source_month = date '{JULY}'"
    with connection.cursor() as cursor:
        cursor.execute(
            "create function intermediate.refuse() returns trigger language plpgsql as"
            " $$ begin raise 'no record today'; end $$;"
            " create trigger refuse before insert on intermediate.month_builds for each row"
            " when (new.table_name = 'marts.fct_trips') execute function intermediate.refuse()"
        )
        night.medallion("transform", "--quiet", "--target", "postgres", expect=1)
        assert "no record today" in night.last_stderr
        assert on_postgres(night, count) == [(0,)]
        cursor.execute("drop function intermediate.refuse cascade")
    connection.close()
    night.medallion("transform", "--quiet", "--target", "postgres")
    assert on_postgres(night, count) == [(20,)]
    assert night.medallion_json("audit", "--target", "postgres")["unbalanced"] == []


def test_a_table_that_another_dbt_builds_is_waited_for_however_long(night: Place) -> None:
    publish(night.published, "green", JULY, trips("green", JULY, seed=1))
    for verb in ("land", "load"):
        night.medallion(verb, "--quiet", "--target", "postgres")
    database = night.env["PGDATABASE"]
    other = postgres.connect(night.env)
    options = {"PGOPTIONS": "-c lock_timeout=200ms"}
    try:
        with other.cursor() as cursor:
            table = f'"{database}"."marts"."fct_trips"'
            cursor.execute(f"select pg_advisory_lock(hashtextextended('{table}', 0))")
            night.env |= options
            build = night.start("orchestration.cli", "transform", "--quiet", "--target", "postgres")
            waits = (
                "select count(*) from pg_stat_activity where wait_event = 'advisory'"
                " and now() - query_start > interval '1 second'"
            )
            wait_until(lambda: on_postgres(night, waits) == [(1,)])
            cursor.execute("select pg_advisory_unlock_all()")
        assert build.wait(PATIENCE_SECONDS) == 0, build.communicate()
    finally:
        other.close()
        night.env = {k: v for k, v in night.env.items() if k not in options}
    assert night.medallion_json("audit", "--target", "postgres")["unbalanced"] == []


def test_a_month_that_is_no_more_leaves_and_comes_back(night: Place) -> None:
    """As where its version is distrusted, and trusted again."""
    of_a_month = "where month = (select min(month) from raw.files)"
    count = "select count(*) from marts.fct_trips"
    before = on_postgres(night, count)
    build = ("run", "--select", "fct_trips", "--target", "postgres")

    # in a warehouse in which an earlier release had the md5 of a table's tests in another column
    builds = "intermediate.month_builds"
    tests = f"select count(tests), count(service) from {builds} where source_month is null"
    ((tested, _),) = on_postgres(night, tests)
    on_postgres(night, f"update {builds} set service = tests where tests is not null returning 1")
    on_postgres(night, f"alter table {builds} drop column tests; select 1")

    on_postgres(night, f"update raw.files set is_current = false {of_a_month} returning 1")
    assert "ERROR=0" in night.dbt(*build)
    assert on_postgres(night, count) < before

    assert tested > 0
    assert on_postgres(night, tests) == [(tested, 0)]

    on_postgres(night, f"update raw.files set is_current = true {of_a_month} returning 1")
    assert "ERROR=0" in night.dbt(*build)
    assert on_postgres(night, count) == before


def test_a_second_dbt_finds_what_the_first_has_made(night: Place) -> None:
    """It read what there is before it waited for its turn, when there was no such table."""
    count = "select count(*) from marts.fct_trips"
    before = on_postgres(night, count)
    connection = postgres.connect(night.env)
    with connection.cursor() as cursor:
        cursor.execute("drop table marts.fct_trips")
        table = f'"{night.env["PGDATABASE"]}"."marts"."fct_trips"'
        cursor.execute(f"select pg_advisory_lock(hashtextextended('{table}', 0))")
        command = ("run", "--select", "fct_trips", "--target", "postgres")
        folders = [str(night.folder / name) for name in ("one", "two")]
        builds = [
            night.start(
                "dbt.cli.main",
                *command,
                *("--target-path", folder, "--log-path", folder),
                cwd=PROJECT_ROOT / "dbt_project",
            )
            for folder in folders
        ]
        waits = "select count(*) from pg_stat_activity where wait_event = 'advisory'"
        wait_until(lambda: on_postgres(night, waits) == [(2,)])
        cursor.execute("select pg_advisory_unlock_all()")
    connection.close()
    said = [
        build.communicate(timeout=PATIENCE_SECONDS)[0].replace("\x1b[32m", "") for build in builds
    ]
    assert [build.returncode for build in builds] == [0, 0], said
    assert on_postgres(night, count) == before
    assert sorted("[0 months" in text for text in said) == [False, True]


def test_a_month_that_came_while_tests_ran_is_not_taken_for_tested(night: Place) -> None:
    builds, of_the_table = "intermediate.month_builds", "where table_name = 'marts.daily_trips'"
    connection = postgres.connect(night.env)
    with connection.cursor() as cursor:
        cursor.execute(f"update {builds} set tested_at = null {of_the_table}")
        # the tests wait; meanwhile another dbt builds a month anew
        cursor.execute("begin; lock table marts.daily_trips in access exclusive mode")
        tests = night.start(
            "dbt.cli.main",
            *("test", "--select", "daily_trips", "--target", "postgres"),
            *("--target-path", str(night.folder / "one"), "--log-path", str(night.folder / "one")),
            cwd=PROJECT_ROOT / "dbt_project",
        )
        waits = "select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'"
        wait_until(lambda: on_postgres(night, waits) == [(True,)])
        cursor.execute(
            f"update {builds} set built_at = clock_timestamp() {of_the_table}"
            f" and source_month = (select min(source_month) from {builds} {of_the_table})"
        )
        built = cursor.rowcount
        cursor.execute("commit")
    connection.close()
    said = tests.communicate(timeout=PATIENCE_SECONDS)[0]
    assert tests.returncode == 0, said
    untested = f"{of_the_table} and source_month is not null and tested_at is null"
    assert on_postgres(night, f"select count(*) from {builds} {untested}") == [(built,)]


def test_a_row_lost_of_a_file_without_a_month_is_found(night: Place) -> None:
    ((table,),) = on_postgres(
        night, "select table_name from raw.files where dataset = 'taxi_zone_lookup'"
    )
    connection = postgres.connect(night.env)
    with connection.cursor() as cursor:
        cursor.execute(f"create table raw.kept as select * from raw.{table} where _row_ordinal = 6")
        cursor.execute(f"delete from raw.{table} where _row_ordinal = 6; commit")
    try:
        (found,) = night.medallion_json("audit", "--target", "postgres", expect=1)["unbalanced"]
        assert (found["table_name"], found["file_rows"], found["raw_rows"]) == (table, 265, 264)
        said = night.dbt(
            *("test", "--select", "assert_single_files_balance", "--target", "postgres"), expect=1
        )
        assert "Got 1 result" in said
    finally:
        with connection.cursor() as cursor:
            cursor.execute(f"insert into raw.{table} select * from raw.kept")
            cursor.execute("drop table raw.kept; commit")
        connection.close()


def test_the_planner_knows_the_table_as_a_whole(night: Place) -> None:
    estimate = (
        "select reltuples / (select count(*) from marts.fct_trips) from pg_class"
        " where oid = 'marts.fct_trips'::regclass"
    )
    ((share,),) = on_postgres(night, estimate)
    assert 0.5 <= share <= 2


def test_only_a_named_month_is_built_anew(night: Place) -> None:
    builds = (
        "select service, source_month, built_at from intermediate.month_builds"
        " where source_month is not null and table_name = 'marts.fct_trips'"
    )
    before, facts = on_postgres(night, builds), "select count(*), sum(trip_id) from marts.fct_trips"
    marts = on_postgres(night, facts)
    service, month, _ = before[0]
    named = ("--dataset", service, "--from", f"{month:%Y-%m}", "--to", f"{month:%Y-%m}")
    night.medallion("transform", "--quiet", "--target", "postgres", *named, "--full-refresh")
    changed = set(on_postgres(night, builds)) - set(before)
    assert [row[:2] for row in changed] == [(service, month)]
    assert on_postgres(night, facts) == marts
