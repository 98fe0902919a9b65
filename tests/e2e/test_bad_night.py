"""Nights that are killed, or meet a file that cannot be trusted, and the nights after them."""

import shutil
import signal
from datetime import date

import pytest

from ingestion.sources.tlc.validate import REPORT_COLUMNS
from tests.e2e.conftest import FACTS, Place
from tests.support.processes import Started, wait_until
from tests.support.samples import publish_part
from tests.support.trips import publish, trips

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)


def test_a_run_that_is_killed_again_and_again_ends_with_the_same_result(
    part: Place, place: Place
) -> None:
    """Each run goes on from where the one before was killed."""
    publish_part(place.published)
    for stage in ("land", "load", "transform fct_trips", "transform ledger"):
        kill_run_at(place, stage)
    report = place.medallion_json("run", "--quiet")
    assert report["faults"] == []
    # the addresses differ and so may nothing else
    assert place.fingerprint() == part.fingerprint()


def kill_run_at(place: Place, stage: str) -> None:
    """Begin a run, and kill it when it says that it has come to a stage."""
    process = place.start("orchestration.cli", "run")
    assert isinstance(process, Started)

    def reached() -> bool:
        assert process.poll() is None, "the run ended before it came to the stage"
        return f"\n{stage}" in f"\n{process.told()}"

    wait_until(reached, pause=0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL


def test_a_month_that_comes_back_after_a_killed_run_is_built_again(place: Place) -> None:
    """What the killed run has built is recorded nowhere but in the month itself."""
    first = trips("green", JANUARY, rows=20)
    publish(place.published, "green", JANUARY, first)
    place.medallion("run", "--quiet")
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=25))
    kill_run_at(place, "transform fct_trips")
    assert place.query(f"select count(*) from {FACTS}") == [(25,)]
    publish(place.published, "green", JANUARY, first)
    place.medallion("run", "--quiet")
    assert place.query(f"select count(*) from {FACTS}") == [(20,)]
    place.medallion("audit")


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

    # the same the next night, until it is mended, also where a later stage fails
    logs = place.folder / "work" / "dbt"
    shutil.rmtree(logs)
    logs.touch()
    place.medallion("run", "--quiet", "--full-refresh", expect=1)
    told = place.last_stderr.splitlines()
    assert [("XML error page" in line, str(logs) in line) for line in told] == [
        (True, False),
        (False, True),
    ]
    logs.unlink()
    publish_part(place.published)
    report = place.medallion_json("run", "--quiet")
    assert report["new"] == ["green 2023-02"]
    assert report["files"] == 6


def test_a_class_of_the_report_that_is_unknown_is_named(place: Place) -> None:
    publish(place.published, "green", JANUARY, trips("green", JANUARY))
    figures = "824,37028,829,797,424,16.5,3.5,16.1,3.4,15.0,75%,-"
    report = f"{','.join(REPORT_COLUMNS)}\n2024-01,Gren,{figures}\n"
    publish(place.published, "tlc_monthly_report", None, report.encode())
    place.medallion("run", "--quiet", expect=1)
    (told,) = place.last_stderr.splitlines()
    assert "assert_report_classes_are_known: Got 1 result" in told
    assert "(the first: license_class=Gren, first_month=2024-01-01," in told
