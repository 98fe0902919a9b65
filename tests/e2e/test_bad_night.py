"""Nights that are killed, or meet a file that cannot be trusted, and the nights after them."""

import signal

import pytest

from tests.e2e.conftest import Place
from tests.support.processes import wait_until
from tests.support.samples import publish_part


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

    wait_until(reached, seconds=120, pause=0)
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
