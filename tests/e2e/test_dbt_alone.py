"""The pipelines and dbt by themselves: what a build does again, and what its tests see."""

import re
import shutil
from datetime import date
from pathlib import Path

import duckdb
import pytest

from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import (
    FACTS,
    FERRY_RIDES,
    WITHOUT_UNIT_TESTS,
    Place,
    differing,
    publish_harbour,
)
from tests.support.samples import publish_part
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

MARCH = date(2024, 3, 1)


def test_the_pipelines_run_by_themselves(place: Place) -> None:
    publish_part(place.published)
    place.run("ingestion", "--dataset", "green")
    assert place.query("select count(*) from tlc.green_tripdata")[0][0] > 0
    place.dbt("build", *WITHOUT_UNIT_TESTS)
    assert place.query("select bool_and(is_balanced), count(*) from marts.ledger") == [(True, 3)]


def test_plain_dbt_build_passes_and_changes_nothing(copy: Place) -> None:
    before = copy.fingerprint()
    output = copy.dbt("build")
    assert "ERROR=0" in output
    assert "fct_trips" in output
    assert "[0 months, 0 rows" in output.replace("\x1b[32m", "")
    assert copy.fingerprint() == before


def test_a_wrong_path_is_one_error_and_makes_no_database(place: Place) -> None:
    for name, said in (("wrong.duckdb", "Mend them, or load first"), ("tlc.duckdb", "choose")):
        place.env["MEDALLION_DUCKDB_PATH"] = str(place.folder / name)
        output = place.dbt("build", expect=2)
        assert output.count(said) == 1
        assert "ERROR=" not in output
        assert not (place.folder / name).exists()


def test_a_warehouse_without_anything_loaded_says_to_load_first(place: Place) -> None:
    duckdb.connect(place.warehouse).close()
    output = place.dbt("build", expect=2)
    assert "Load first: medallion load, or python -m ingestion" in output


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dbt project of the test's own."""
    folder = tmp_path / "dbt_project"
    ours = PROJECT_ROOT / "dbt_project"
    shutil.copytree(ours, folder, ignore=shutil.ignore_patterns("target", "logs"))
    return folder


def test_a_read_view_of_a_later_release_says_to_load_first(copy: Place) -> None:
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("drop view tlc.taxi_zone_cells")
    said = copy.dbt("build", expect=2)
    assert "lacks tlc.taxi_zone_cells" in said
    assert "medallion load" in said
    assert "[ERROR" not in said, "no model was begun"
    copy.dbt("build", "--select", "dim_vendors")
    copy.medallion("load", "--quiet")
    copy.dbt("build", "--select", "stg_tlc__zone_cells")


def test_marts_do_not_depend_on_the_number_of_threads(
    place: Place, project: Path, tmp_path: Path
) -> None:
    # so many rows that threads share them: DuckDB gives each thread 122,880 at a time
    publish(place.published, "fhvhv", MARCH, trips("fhvhv", MARCH, rows=130_000))
    publish(place.published, "yellow", MARCH, trips("yellow", MARCH, rows=130_000))
    place.run("ingestion")
    warehouses = []
    for threads in (1, 8):
        warehouses.append(tmp_path / f"{threads}_threads.duckdb")
        shutil.copyfile(place.warehouse, warehouses[-1])
        place.env["MEDALLION_DUCKDB_PATH"] = str(warehouses[-1])
        shutil.copyfile(PROJECT_ROOT / "dbt_project" / "profiles.yml", project / "profiles.yml")
        edit(project / "profiles.yml", "settings:\n", f"settings:\n        threads: {threads}\n")
        folder = ("--project-dir", str(project), "--profiles-dir", str(project))
        place.dbt("build", *WITHOUT_UNIT_TESTS, "--exclude-resource-type", "test", *folder)
    with duckdb.connect(warehouses[1], read_only=True) as connection:
        assert connection.execute(
            "select count(*) > 1 from marts.daily_trips where trip_miles > 0"
        ).fetchone() == (True,)
    assert differing(*warehouses) == {}


def edit(model: Path, before: str, after: str) -> None:
    text = model.read_text()
    assert before in text
    model.write_text(text.replace(before, after))


def build(place: Place, project: Path, *nodes: str, expect: int = 0) -> dict[str, str]:
    """Build nodes of a project with dbt alone; the line on each by_month model that was built.

    Without unit tests, which would stop a model that is wrong before it is built.
    """
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    arguments = ("build", *WITHOUT_UNIT_TESTS, "--select", *nodes, *folder)
    output = place.dbt(*arguments, expect=expect).replace("\x1b[32m", "")
    lines = [line for line in output.splitlines() if "OK created sql by_month" in line]
    return {line.split(" model ")[1].split()[0]: line for line in lines}


def run_days(place: Place, project: Path) -> str:
    """Build daily_trips of a project, and nothing else; return what dbt said."""
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    return place.dbt("run", "--select", "daily_trips", *folder).replace("\x1b[32m", "")


def test_a_changed_model_rebuilds_what_it_must(copy: Place, project: Path) -> None:
    models = ("fct_trips", "daily_trips", "hourly_zone_demand")
    copy.dbt("run", "--select", *models)
    model = project / "models" / "marts" / "demand" / "daily_trips.sql"
    edit(model, "count(*) as trips", "count(*) + 0 as trips")
    built = build(copy, project, *models)
    assert "[6 months" in built["marts.daily_trips"]
    assert "[0 months" in built["marts.fct_trips"]
    assert "[0 months" in built["marts.hourly_zone_demand"]


def test_a_mart_that_alone_is_built_anew_is_compared_with_the_others(
    copy: Place, project: Path
) -> None:
    model = project / "models" / "marts" / "revenue" / "monthly_zone_revenue.sql"
    edit(model, "count(*) as trips", "2 * count(*) as trips")
    nodes = ("--select", "monthly_zone_revenue", "assert_zones_add_up", *WITHOUT_UNIT_TESTS)
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    assert "assert_zones_add_up" in copy.dbt("build", *nodes, *folder, expect=1)


def test_a_mart_that_is_removed_is_not_published_and_hinders_no_other(
    copy: Place, project: Path
) -> None:
    copy.env["MEDALLION_PUBLISH_URL"] = str(copy.folder / "gold")
    marts = project / "models" / "marts" / "core"
    (marts / "dim_extra.sql").write_text(
        "-- Grain: one row.\n\nselect cast(1 as integer) as extra_id\n"
    )
    (marts / "_dim_extra.yml").write_text(
        "models:\n  - name: dim_extra\n    columns:\n"
        "      - {name: extra_id, data_type: integer, data_tests: [{accepted_values:"
        " {arguments: {values: [2], quote: false}}}]}\n"
    )
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    copy.dbt("build", "--select", "dim_extra", *folder, expect=1)
    copy.dbt("build", "--select", "dim_vendors", *folder)
    copy.medallion("publish", "--quiet", expect=1)
    assert "marts.dim_extra was not tested" in copy.last_stderr
    for path in marts.glob("*dim_extra*"):
        path.unlink()
    copy.dbt("build", "--select", "dim_vendors", *folder)
    copy.medallion("publish", "--quiet")


def test_the_contract_of_a_view_is_enforced(copy: Place, project: Path) -> None:
    staging = project / "models" / "staging"
    (staging / "stg_extra.sql").write_text(
        "-- Grain: one row.\n\nselect cast(1 as integer) as extra_id\n"
    )
    (staging / "_stg_extra.yml").write_text(
        "models:\n  - name: stg_extra\n    config: {contract: {enforced: true}}\n    columns:\n"
        "      - {name: extra_id, data_type: varchar}\n"
    )
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    said = copy.dbt("build", "--select", "stg_extra", *folder, expect=1)
    assert "This model has an enforced contract that failed" in said


AIRPORTS = "airport_trips_hourly"


@pytest.mark.parametrize("is_recorded", [True, False])
def test_months_count_by_the_seed_that_was_loaded(
    copy: Place, project: Path, is_recorded: bool
) -> None:
    """A changed seed counts once it is loaded; an upgrade alone builds nothing."""
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    line = f" marts.{AIRPORTS} "

    def months(*command: str) -> int:
        output = copy.dbt(*command, *folder).replace("\x1b[32m", "")
        (found,) = re.findall(rf"OK created sql by_month model{line}\.* \[(\d+) months", output)
        return int(found)

    copy.dbt("seed", "--select", "zone_groups", *folder)
    assert months("run", "--select", AIRPORTS) == 0
    if not is_recorded:
        with duckdb.connect(copy.warehouse) as connection:
            connection.execute(
                "delete from intermediate.month_builds where table_name = 'staging.zone_groups'"
            )
        assert months("run", "--select", AIRPORTS) == 0
    at_airports = f"select count(*) from marts.{AIRPORTS}"
    ((before,),) = copy.query(at_airports)
    assert before > 0
    edit(project / "seeds" / "zone_groups.csv", ",true,false,", ",false,false,")
    # the seed is not loaded: what is built is of the one before
    assert months("run", "--select", AIRPORTS) == (0 if is_recorded else 6)
    assert copy.query(at_airports) == [(before,)]
    assert months("build", *WITHOUT_UNIT_TESTS, "--select", "zone_groups", AIRPORTS) == 6
    assert copy.query(at_airports) == [(0,)]
    assert months("run", "--select", AIRPORTS) == 0


def test_a_changed_constraint_reaches_the_table(copy: Place, project: Path) -> None:
    yml = project / "models" / "marts" / "demand" / "_demand__models.yml"
    what = """'{{ doc("median_trip_minutes") }}'"""
    edit(yml, what, f"{what}\n        constraints: [{{type: not_null}}]")
    assert "[6 months" in run_days(copy, project)
    nullable = (
        "select is_nullable from information_schema.columns where table_name = 'daily_trips'"
        " and column_name = 'median_trip_minutes'"
    )
    assert copy.query(nullable) == [("NO",)]


def test_a_changed_description_reaches_the_table(copy: Place, project: Path) -> None:
    docs = project / "models" / "marts" / "_marts__docs.md"
    comment = (
        "select comment from duckdb_columns() where table_name = 'daily_trips'"
        " and column_name = 'trip_miles'"
    )
    assert copy.query(comment) == [("Miles together, exact to the thousandth.",)]
    edit(docs, "Miles together, exact to the thousandth.", "Miles, all of them.")
    assert "[0 months" in run_days(copy, project)
    assert copy.query(comment) == [("Miles, all of them.",)]


def test_views_and_their_columns_are_described(copy: Place) -> None:
    files = "'stg_tlc__files'"
    [(description,)] = copy.query(f"select comment from duckdb_views() where view_name = {files}")
    assert description.endswith("Grain: one file version.")
    [(columns, described)] = copy.query(
        f"select count(*), count(comment) from duckdb_columns() where table_name = {files}"
    )
    assert columns == described > 5


def test_a_dataset_of_a_further_source_is_counted_staged_and_has_no_facts(
    copy: Place, project: Path, tmp_path: Path
) -> None:
    publish_harbour(copy, tmp_path)
    before = copy.query(f"select count(*) from {FACTS}")
    copy.run("ingestion", "--dataset", FERRY_RIDES)
    status = ("status", "--dataset", FERRY_RIDES)
    assert {f["stale"] for f in copy.medallion_json(*status)["files"]} == {"transform"}
    copy.medallion("source", "scaffold", "harbour", "--out", str(project / "models" / "staging"))
    # what comes after the source, and the facts, which do not
    built = build(copy, project, "source:harbour+", "fct_trips", "int_raw_counts+")
    assert copy.query(f"select count(*) from staging.stg_harbour__{FERRY_RIDES}") == [(3,)]
    # only what is new: no month of another dataset is counted again
    assert "[2 months, 2 rows" in built["intermediate.int_raw_counts"]
    assert "[0 months" in built["marts.fct_trips"]
    assert copy.query(f"select count(*) from {FACTS}") == before
    assert copy.query(
        "select month::text, file_rows, raw_rows, fact_rows, valid_rows, invalid_rows, is_balanced"
        " from marts.ledger where dataset like 'ferry%' order by month"
    ) == [
        ("2024-01-01", 2, 2, None, None, None, True),
        ("2024-02-01", 1, 1, None, None, None, True),
    ]
    (balance,) = (
        balance
        for balance in copy.medallion_json("audit")["balances"]
        if balance["dataset"] == FERRY_RIDES
    )
    assert (balance["raw_rows"], balance["fact_rows"], balance["is_balanced"]) == (3, None, True)
    assert {f["stale"] for f in copy.medallion_json(*status)["files"]} == {None}
    # without its read view nothing is counted, and nobody takes that for no rows
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("drop view harbour." + FERRY_RIDES)
    assert "has months in raw.files and no read view" in copy.dbt(
        "build", "--select", "int_raw_counts", expect=1
    )


def test_a_row_lost_of_a_file_without_a_month_is_found(copy: Place) -> None:
    lines = "select dataset, file_rows, raw_rows, is_balanced from marts.ledger_single_files"
    single = copy.query(lines)
    assert ("taxi_zone_lookup", 265, 265, True) in single
    assert all(is_balanced for *_, is_balanced in single)
    audit = copy.medallion_json("audit")
    told = {
        (s["dataset"], s["file_rows"], s["raw_rows"], s["is_balanced"])
        for s in audit["single_files"]
    }
    assert told == set(single)
    assert {dataset for dataset, *_ in single} >= {"taxi_zone_lookup", "tlc_monthly_report"}
    ((table,),) = copy.query("select table_name from raw.files where dataset = 'taxi_zone_lookup'")
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(f"delete from raw.{table} where \"LocationID\" = '7'")
    # the tests alone, and with a new build; the audit with and without a count of its own
    failed = copy.dbt("test", "--select", "assert_single_files_balance", expect=1)
    assert "Got 1 result" in failed
    audit = copy.medallion_json("audit", expect=1)
    assert [
        (u["dataset"], u["month"], u["file_rows"], u["raw_rows"]) for u in audit["unbalanced"]
    ] == [("taxi_zone_lookup", None, 265, 264)]
    (fault,) = [line for line in copy.last_stderr.splitlines() if line.startswith("error: ")]
    assert f"raw.{table} holds 264 rows, and 265 were loaded" in fault
    assert copy.medallion_json("audit", "--no-recount")["unbalanced"] == []
    nodes = ("--select", "+ledger_single_files", *WITHOUT_UNIT_TESTS)
    assert "assert_single_files_balance" in copy.dbt("build", *nodes, expect=1)
    copy.medallion("audit", "--no-recount", expect=1)
    assert f"error: {table} does not balance: 265 rows in the file, 264 in raw" in copy.last_stderr


def test_readers_keep_the_old_table_until_a_rebuild_is_whole(copy: Place, project: Path) -> None:
    """A rebuild that fails at its last months leaves what was there; the next takes its place."""
    days = "select count(*), sum(trips) from marts.daily_trips"
    before = copy.query(days)
    model = project / "models" / "marts" / "demand" / "daily_trips.sql"
    late = (
        "case when max(source_month) > date '2024-01-01' then error(max(service)) else count(*) end"
    )
    edit(model, "count(*) as trips", f"cast({late} as bigint) as trips")
    assert "marts.daily_trips" not in build(copy, project, "daily_trips", expect=1)
    assert copy.query(days) == before
    beside = "select count(*) from information_schema.tables where table_name like '%__rebuild'"
    assert copy.query(beside) == [(1,)]
    rebuilt = (
        "select count(*) from intermediate.month_builds"
        " where table_name = 'marts.daily_trips__rebuild' and source_month is not null"
    )
    done = copy.query(rebuilt)
    assert done == [(4,)]  # the months of 2023
    assert "marts.daily_trips" not in build(copy, project, "daily_trips", expect=1)
    assert copy.query(rebuilt) == done  # it went on where it was
    edit(model, f"cast({late} as bigint) as trips", "count(*) + 0 as trips")
    assert "[6 months" in build(copy, project, "daily_trips")["marts.daily_trips"]
    assert copy.query(days) == before
    assert copy.query(beside) == [(0,)]


def test_a_failing_test_fails_again_until_it_is_mended(copy: Place, tmp_path: Path) -> None:
    """A month is tested until it has passed, not once."""
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(
            "update intermediate.month_builds set tested_at = null"
            " where service = 'green' and source_month = '2023-01-01'"
        )
        connection.execute(
            f"insert into {FACTS} select * from {FACTS}"
            " where service = 'green' and source_month = '2023-01-01' limit 1"
        )
    for _ in range(2):
        output = copy.dbt("build", "--select", "fct_trips", expect=1)
        assert "unique_fct_trips_trip_id" in output


@pytest.mark.parametrize(
    "fault",
    [
        "update marts.dim_zones set zone_id = 2 where zone_id = 1",
        "alter table marts.dim_zones alter column is_cbd drop not null;"
        "update marts.dim_zones set is_cbd = null where zone_id = 1",
    ],
    ids=["a key twice", "a value that is not there"],
)
def test_a_key_is_unique_and_has_its_values(copy: Place, fault: str) -> None:
    tests = ("test", "--select", "dim_zones", *WITHOUT_UNIT_TESTS)
    copy.dbt(*tests)
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(fault)
    assert "Failure in test key_dim_zones" in copy.dbt(*tests, expect=1)


def test_a_changed_test_sees_the_months_that_were_tested_before(copy: Place, project: Path) -> None:
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    builds = "intermediate.month_builds"
    tested = f"select count(tested_at) from {builds} where table_name = 'marts.daily_trips'"

    def build_days(expect: int = 0) -> str:
        nodes = ("--select", "daily_trips", *WITHOUT_UNIT_TESTS)
        return copy.dbt("build", *nodes, *folder, expect=expect)

    assert copy.query(tested) == [(7,)]  # the months, and the table as a whole
    # an earlier release had the md5 of the tests in another column
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(f"update {builds} set service = tests where source_month is null")
        connection.execute(f"alter table {builds} drop column tests")
    generic = project / "tests" / "generic" / "key.sql"
    edit(generic, "count(*) > 1", "count(*) > 0")
    assert "Failure in test key_daily_trips" in build_days(expect=1)
    assert copy.query(tested) == [(0,)]
    edit(generic, "count(*) > 0", "count(*) > 1")
    build_days()
    assert copy.query(tested) == [(7,)]
    in_service = f"select count(*) from {builds} where source_month is null and service is not null"
    assert copy.query(in_service) == [(0,)]
    # an upgrade from a release that recorded no tests tests no month again
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(f"alter table {builds} drop column tests")
    further = project / "tests" / "assert_no_trips.sql"
    days = "{{ ref('daily_trips') }} where {{ is_to_be_tested(ref('daily_trips')) }}"
    further.write_text(f"select * from {days} and trips > 0\n")
    build_days()
    edit(further, "trips > 0", "trips >= 1")
    assert "Failure in test assert_no_trips" in build_days(expect=1)


def test_facts_that_somebody_changed_are_seen_by_testing_all(copy: Place) -> None:
    """The counts are of the day when the month was built, and so is the ledger."""
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(
            f"update {FACTS} set invalid_reason = null, is_valid = true where trip_id ="
            f" (select min(trip_id) from {FACTS} where invalid_reason = 'refund')"
        )
        connection.execute(
            f"delete from {FACTS} where trip_id ="
            f" (select min(trip_id) from {FACTS} where service = 'fhvhv')"
        )
    test = ("--select", "assert_facts_are_as_counted")
    # a build costs what is new, and nothing is
    copy.dbt("build", *test)
    # two outcomes of one month and one of another, as they are and as they were counted
    assert "Got 6 results" in copy.dbt("test", *test, expect=1)
    # which of the months are bad is not known, so the next build looks at all
    assert "Got 6 results" in copy.dbt("build", *test, expect=1)
    copy.medallion("audit", expect=1)
    assert re.search(r"fhvhv 20\d\d-\d\d does not balance", copy.last_stderr)
    assert copy.last_stderr.count("does not balance") == 1
    copy.medallion("audit", "--no-recount")
    copy.medallion("transform", "--full-refresh")
    copy.medallion("audit")


def test_a_ledger_that_says_nothing_does_not_balance(copy: Place) -> None:
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("delete from marts.ledger where dataset = 'green'")
    report = copy.medallion_json("run", "--quiet", expect=1)
    assert report["ledger_balances"] is False
    assert all(fault.startswith("green") for fault in report["faults"])


def test_a_mart_that_somebody_dropped_comes_back(copy: Place) -> None:
    before = copy.fingerprint()
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute("drop table marts.dim_zones")
        connection.execute(f"drop table {FACTS}")
    copy.medallion("audit", expect=1)
    assert "medallion run" in copy.last_stderr
    copy.medallion("run")
    assert copy.fingerprint() == before


def test_what_marts_hold_of_a_month_that_is_gone_is_seen(copy: Place) -> None:
    with duckdb.connect(copy.warehouse) as connection:
        for mart in ("daily_trips", "hourly_zone_demand"):
            connection.execute(
                f"insert into marts.{mart} select * replace (date '2009-01-01' as source_month)"
                f" from marts.{mart} limit 1"
            )
    tests = ("assert_days_add_up", "assert_zones_add_up")
    said = copy.dbt("test", "--select", *tests, expect=1)
    assert [f"Failure in test {name}" in said for name in tests] == [True, True]
