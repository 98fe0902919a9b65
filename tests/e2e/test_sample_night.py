"""The whole job on the generated sample, run by run, as a new user meets it."""

import json
import shutil
from pathlib import Path

import duckdb
import pytest

from ingestion.sources.tlc.sample import publish_sample
from tests.e2e.conftest import FACTS, Place
from tests.support.samples import publish_part


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where the sample was landed, loaded and transformed; tests only look at it."""
    place = Place(tmp_path_factory.mktemp("built"))
    publish_sample(place.published)
    place.report = place.medallion_json("run")  # type: ignore[attr-defined]
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
    built.env["PYTHONPROFILEIMPORTTIME"] = "1"
    again = json.loads(built.run("orchestration.cli", "run", "--quiet", "--json", anew=True))
    del built.env["PYTHONPROFILEIMPORTTIME"]
    assert (again["new"], again["republished"], again["loaded"]) == ([], [], [])
    assert again["built"] is False
    assert built.fingerprint() == before
    imported = {line.rpartition("|")[2].strip() for line in built.last_stderr.splitlines()}
    assert "duckdb" in imported
    # they are as slow to import as the rest of such a run
    assert not {"dlt", "numpy", "pandas", "pyarrow"} & imported


def test_a_month_without_a_line_in_the_ledger_is_not_built(copy: Place) -> None:
    month = "'2023-01-01'"
    with duckdb.connect(copy.warehouse) as connection:
        connection.execute(f"delete from marts.ledger where dataset = 'fhv' and month = {month}")
    files = copy.medallion_json("status")["files"]
    lacking = [f["dataset"] for f in files if f["month"] and not f["built"]]
    assert lacking == ["fhv"]


@pytest.mark.slow
def test_republication_makes_one_version_and_the_facts_follow(copy: Place) -> None:
    """They are those that the lake alone makes, which is all that is left in the end."""
    before = copy.fingerprint()
    publish_part(copy.published, republished=True)
    report = copy.medallion_json("run", "--quiet")
    assert report["republished"] == ["green 2023-02"]
    assert len(report["loaded"]) == 1
    versions = copy.query("select count(*) from raw.files where dataset = 'green'")
    assert versions == [(4,)]
    followed = copy.fingerprint()
    assert followed != before

    copy.warehouse.unlink()
    shutil.rmtree(copy.folder / "work")
    shutil.rmtree(copy.published)
    copy.medallion("load")
    copy.medallion("transform")
    assert copy.fingerprint() == followed


def test_as_of_a_day_before_everything_says_that_there_is_nothing(copy: Place) -> None:
    copy.medallion("run", "--as-of", "2020-01-01", expect=1)
    assert "error: " in copy.last_stderr
    assert "Traceback" not in copy.last_stderr


@pytest.mark.slow
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


@pytest.mark.slow
def test_as_of_a_day_to_come_is_what_is_known_so_far(copy: Place) -> None:
    report = copy.medallion_json("run", "--as-of", "9999-12-31")
    assert "9999-12-31 is still to come" in copy.last_stderr
    assert report["rows"] == copy.medallion_json("run", "--quiet")["rows"]


def test_a_held_warehouse_is_named(copy: Place) -> None:
    import duckdb

    with duckdb.connect(copy.warehouse):
        copy.medallion("query", "select 1", expect=1)
    assert "is held by" in copy.last_stderr
    assert str(copy.warehouse) in copy.last_stderr
    assert "Traceback" not in copy.last_stderr
