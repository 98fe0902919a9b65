"""The whole job on the generated sample, run by run, as a new user meets it."""

import json
import shutil
import signal
from pathlib import Path

import pytest

from ingestion.sample import publish_sample
from ingestion.settings import PROJECT_ROOT
from tests.e2e.conftest import FACTS, Place
from tests.support.processes import wait_until
from tests.support.samples import publish_part


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the sample was landed, loaded and transformed; tests only look at it."""
    place = Place(tmp_path_factory.mktemp("built"))
    publish_sample(place.published)
    place.report = place.medallion_json("run")  # type: ignore[attr-defined]
    return place


@pytest.fixture(scope="module")
def part(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """The same of six months only; tests only look at it."""
    place = Place(tmp_path_factory.mktemp("part"))
    publish_part(place.published)
    place.medallion("run", "--quiet")
    return place


@pytest.fixture
def copy(part: Place, tmp_path: Path) -> Place:
    """A place of the test's own with the same published files, lake and warehouse."""
    place = Place(tmp_path / "copy")
    shutil.copytree(part.folder, place.folder, copy_function=shutil.copy2)
    # the address of the publisher is another, as is the folder
    place.env["MEDALLION_TLC_URL"] = place.published.as_uri()
    return place


def test_nothing_is_lost_and_every_rule_is_met(built: Place) -> None:
    report = built.report  # type: ignore[attr-defined]
    assert report["faults"] == []
    assert report["ledger_balances"] is True
    assert report["rows"] == report["valid"] + sum(report["flagged"].values())
    reasons = {r for (r,) in built.query("select invalid_reason from staging.invalid_reasons")}
    assert set(report["flagged"]) == reasons


def test_facts_have_each_raw_row_once(built: Place) -> None:
    (ids, distinct), *_ = built.query(f"select count(*), count(distinct trip_id) from {FACTS}")
    assert ids == distinct
    raw = built.query(
        "select dataset, month, table_name from raw.files where is_current and month is not null"
    )
    for dataset, month, table in raw:
        (expected,) = built.query(f"select count(*) from raw.{table}")
        found = built.query(
            f"select count(*) from {FACTS} where service = '{dataset}' and source_month = '{month}'"
        )
        assert found == [expected], table


def test_a_second_run_finds_nothing_new(built: Place) -> None:
    before = built.fingerprint()
    again = built.medallion_json("run", "--quiet")
    assert (again["new"], again["republished"], again["loaded"]) == ([], [], [])
    assert again["built"] is False
    assert built.fingerprint() == before


def test_plain_dbt_build_passes_and_changes_nothing(copy: Place) -> None:
    before = copy.fingerprint()
    output = copy.dbt("build")
    assert "ERROR=0" in output
    assert "fct_trips" in output
    assert "[0 months, 0 rows" in output.replace("\x1b[32m", "")
    assert copy.fingerprint() == before


def test_republication_makes_one_version_and_the_facts_follow(copy: Place, tmp_path: Path) -> None:
    publish_part(copy.published, republished=True)
    report = copy.medallion_json("run", "--quiet")
    assert report["republished"] == ["green 2023-02"]
    assert len(report["loaded"]) == 1

    afresh = Place(tmp_path / "afresh")
    publish_part(afresh.published, republished=True)
    afresh.medallion_json("run", "--quiet")
    assert copy.fingerprint() == afresh.fingerprint()
    versions = copy.query("select count(*) from raw.files where dataset = 'green'")
    assert versions == [(4,)]


def test_as_of_a_day_before_everything_says_that_there_is_nothing(copy: Place) -> None:
    copy.medallion("run", "--as-of", "2020-01-01", expect=1)
    assert "error: " in copy.last_stderr
    assert "Traceback" not in copy.last_stderr


def test_as_of_a_day_the_marts_are_those_of_that_day(
    part: Place, copy: Place, tmp_path: Path
) -> None:
    for record in (copy.lake / "catalog").rglob("*.json"):
        landed = json.loads(record.read_text()) | {"landed_at": "2024-05-01T23:00:00+00:00"}
        record.write_text(json.dumps(landed))
    publish_part(copy.published, republished=True)
    assert copy.medallion_json("run", "--quiet")["republished"] == ["green 2023-02"]
    now = copy.fingerprint()
    assert now != part.fingerprint()

    report = copy.medallion_json("run", "--quiet", "--as-of", "2024-05-01")
    assert (report["faults"], report["new"], report["ledger_balances"]) == ([], [], True)
    then = Place(tmp_path / "then")
    then.folder.mkdir()
    shutil.copy(copy.folder / "warehouse.as-of-2024-05-01.duckdb", then.warehouse)
    assert then.fingerprint() == part.fingerprint()
    assert copy.fingerprint() == now

    again = copy.medallion_json("run", "--quiet", "--as-of", "2024-05-01")
    assert (again["loaded"], again["built"]) == ([], False)
    sql = "select count(*) as n from raw.files"
    past = copy.medallion("query", sql, "--format", "csv", "--as-of", "2024-05-01")
    present = copy.medallion("query", sql, "--format", "csv")
    assert int(present.split()[1]) - int(past.split()[1]) == 1
    assert "balances" in copy.medallion("audit", "--as-of", "2024-05-01")
    files = copy.medallion_json("status", "--as-of", "2024-05-01")["files"]
    assert {(f["published"], f["versions"], f["loaded"]) for f in files} == {(None, 1, True)}


def test_as_of_a_day_to_come_is_what_is_known_so_far(copy: Place) -> None:
    report = copy.medallion_json("run", "--as-of", "9999-12-31")
    assert "9999-12-31 is still to come" in copy.last_stderr
    assert report["rows"] == copy.medallion_json("run", "--quiet")["rows"]


def test_the_lake_alone_rebuilds_everything(copy: Place) -> None:
    before = copy.fingerprint()
    copy.warehouse.unlink()
    shutil.rmtree(copy.folder / "work")
    shutil.rmtree(copy.published)
    copy.medallion("load")
    copy.medallion("transform")
    assert copy.fingerprint() == before


def test_the_pipelines_run_by_themselves(place: Place) -> None:
    publish_part(place.published)
    place.run("ingestion", "--dataset", "green")
    assert place.query("select count(*) from tlc.green_tripdata")[0][0] > 0
    place.dbt("build")
    assert place.query("select bool_and(is_balanced), count(*) from marts.ledger") == [(True, 3)]


@pytest.mark.parametrize("stage", ["land", "load", "transform fct_trips", "transform ledger"])
def test_a_killed_run_is_run_again_and_the_result_is_the_same(
    part: Place, place: Place, stage: str
) -> None:
    publish_part(place.published)
    process = place.start("orchestration.cli", "run")
    assert process.stderr is not None
    said: list[str] = []

    def reached() -> bool:
        assert process.stderr is not None
        said.append(process.stderr.readline())
        return said[-1].startswith(stage) or not said[-1]

    wait_until(reached, seconds=120)
    assert said[-1], "the run ended before it came to the stage"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    report = place.medallion_json("run", "--quiet")
    assert report["faults"] == []
    # the addresses differ and so may nothing else
    assert place.fingerprint() == part.fingerprint()


def test_a_broken_month_is_quarantined_and_everything_else_goes_on(place: Place) -> None:
    publish_part(place.published)
    broken = place.published / "trip-data" / "green_tripdata_2023-02.parquet"
    broken.write_bytes(b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>")
    report = place.medallion_json("run", "--quiet", expect=1)
    assert report["ledger_balances"] is True
    assert report["files"] == 5
    assert report["faults"] == [f for f in report["faults"] if "XML error page" in f]
    assert "green 2023-02 quarantined" in place.last_stderr
    rows = place.query("select status, error from raw.files where status <> 'loaded'")
    assert [status for status, _ in rows] == ["quarantined"]
    kept = list((place.lake / "quarantine").iterdir())
    assert [k.read_bytes() for k in kept] == [broken.read_bytes()]

    # the same the next night, until it is mended
    place.medallion("run", "--quiet", expect=1)
    publish_part(place.published)
    report = place.medallion_json("run", "--quiet")
    assert report["new"] == ["green 2023-02"]
    assert report["files"] == 6


def test_a_held_warehouse_is_named(copy: Place) -> None:
    import duckdb

    with duckdb.connect(copy.warehouse):
        copy.medallion("query", "select 1", expect=1)
    assert "is held by" in copy.last_stderr
    assert str(copy.warehouse) in copy.last_stderr
    assert "Traceback" not in copy.last_stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A dbt project of the test's own."""
    folder = tmp_path / "dbt_project"
    ours = PROJECT_ROOT / "dbt_project"
    shutil.copytree(ours, folder, ignore=shutil.ignore_patterns("target", "logs"))
    return folder


def edit(model: Path, before: str, after: str) -> None:
    text = model.read_text()
    assert before in text
    model.write_text(text.replace(before, after))


def build(place: Place, project: Path, expect: int = 0) -> dict[str, str]:
    """Build a project with dbt alone; the line on each by_month model that was built.

    Without unit tests, which would stop a model that is wrong before it is built.
    """
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    arguments = ("build", "--exclude-resource-type", "unit_test", *folder)
    output = place.dbt(*arguments, expect=expect).replace("\x1b[32m", "")
    lines = [line for line in output.splitlines() if "OK created sql by_month" in line]
    return {line.split(" model ")[1].split()[0]: line for line in lines}


def run_days(place: Place, project: Path) -> str:
    """Build daily_trips of a project, and nothing else; return what dbt said."""
    folder = ("--project-dir", str(project), "--profiles-dir", str(project))
    return place.dbt("run", "--select", "daily_trips", *folder).replace("\x1b[32m", "")


def test_a_changed_model_rebuilds_what_it_must(copy: Place, project: Path) -> None:
    copy.dbt("build")
    model = project / "models" / "marts" / "demand" / "daily_trips.sql"
    edit(model, "count(*) as trips", "count(*) + 0 as trips")
    built = build(copy, project)
    assert "[6 months" in built["marts.daily_trips"]
    assert "[0 months" in built["marts.fct_trips"]
    assert "[0 months" in built["marts.hourly_zone_demand"]


def test_a_changed_constraint_reaches_the_table(copy: Place, project: Path) -> None:
    yml = project / "models" / "marts" / "demand" / "_demand__models.yml"
    what = "Median minutes of trips over 0 and under 6 hours by trip_seconds."
    edit(yml, f'"{what}"', f'"{what}"\n        constraints: [{{type: not_null}}]')
    assert "[6 months" in run_days(copy, project)
    nullable = (
        "select is_nullable from information_schema.columns where table_name = 'daily_trips'"
        " and column_name = 'median_trip_minutes'"
    )
    assert copy.query(nullable) == [("NO",)]


def test_a_changed_description_reaches_the_table(copy: Place, project: Path) -> None:
    yml = project / "models" / "marts" / "demand" / "_demand__models.yml"
    comment = (
        "select comment from duckdb_columns() where table_name = 'daily_trips'"
        " and column_name = 'trip_miles'"
    )
    assert copy.query(comment) == [("Miles together.",)]
    edit(yml, "Miles together.", "Miles, all of them.")
    assert "[0 months" in run_days(copy, project)
    assert copy.query(comment) == [("Miles, all of them.",)]


def test_readers_keep_the_old_table_until_a_rebuild_is_whole(copy: Place, project: Path) -> None:
    """A rebuild that fails at its last months leaves what was there; the next takes its place."""
    days = "select count(*), sum(trips) from marts.daily_trips"
    before = copy.query(days)
    model = project / "models" / "marts" / "demand" / "daily_trips.sql"
    late = (
        "case when max(source_month) > date '2024-01-01' then error(max(service)) else count(*) end"
    )
    edit(model, "count(*) as trips", f"cast({late} as bigint) as trips")
    assert "marts.daily_trips" not in build(copy, project, expect=1)
    assert copy.query(days) == before
    beside = "select count(*) from information_schema.tables where table_name like '%__rebuild'"
    assert copy.query(beside) == [(1,)]
    rebuilt = (
        "select count(*) from intermediate.month_builds"
        " where table_name = 'marts.daily_trips__rebuild' and source_month is not null"
    )
    done = copy.query(rebuilt)
    assert done == [(4,)]  # the months of 2023
    assert "marts.daily_trips" not in build(copy, project, expect=1)
    assert copy.query(rebuilt) == done  # it went on where it was
    edit(model, f"cast({late} as bigint) as trips", "count(*) + 0 as trips")
    assert "[6 months" in build(copy, project)["marts.daily_trips"]
    assert copy.query(days) == before
    assert copy.query(beside) == [(0,)]


def test_a_failing_test_fails_again_until_it_is_mended(copy: Place, tmp_path: Path) -> None:
    """A month is tested until it has passed, not once."""
    import duckdb

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


def test_facts_that_somebody_changed_are_seen_by_testing_all(copy: Place) -> None:
    """The counts are of the day when the month was built, and so is the ledger."""
    import duckdb

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


def test_what_marts_hold_of_a_month_that_is_gone_is_seen(copy: Place) -> None:
    import duckdb

    with duckdb.connect(copy.warehouse) as connection:
        for mart in ("daily_trips", "hourly_zone_demand"):
            connection.execute(
                f"insert into marts.{mart} select * replace (date '2009-01-01' as source_month)"
                f" from marts.{mart} limit 1"
            )
    tests = ("assert_days_add_up", "assert_zones_add_up")
    said = copy.dbt("test", "--select", *tests, expect=1)
    assert [f"Failure in test {name}" in said for name in tests] == [True, True]
