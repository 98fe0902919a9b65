"""``medallion backfill``: the whole job month by month."""

from datetime import date

import pytest

from tests.e2e.conftest import Place
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

MONTHS = [date(2024, m, 1) for m in (1, 2, 3)]
SPAN = ("--dataset", "green", "--from", "2024-01", "--to", "2024-03", "--quiet")


def test_a_month_that_fails_is_named_and_the_others_go_on(place: Place) -> None:
    for month in MONTHS:
        publish(place.published, "green", month, trips("green", month))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    publish(place.published, "green", MONTHS[1], b"no parquet")
    months = place.medallion_json("backfill", *SPAN, expect=1)
    assert "2024-02" in place.last_stderr
    assert [m["month"] for m in months] == ["2024-01", "2024-02", "2024-03"]
    # the zones, which the first month's run loads too, are none of its rows
    assert [(m["files"], m["rows loaded"]) for m in months] == [(1, 20), (0, 0), (1, 20)]
    loaded = "select month, fact_rows from marts.ledger order by month"
    assert place.query(loaded) == [(MONTHS[0], 20), (MONTHS[1], 0), (MONTHS[2], 20)]
    reasons = "select month from marts.ledger where missing_reason is not null"
    assert place.query(reasons) == [(MONTHS[1],)]

    publish(place.published, "green", MONTHS[1], trips("green", MONTHS[1]))
    months = place.medallion_json("backfill", *SPAN)
    # what was done is not done again
    assert [m["rows loaded"] for m in months] == [0, 20, 0]
    assert place.query(loaded) == [(month, 20) for month in MONTHS]
    assert place.query(reasons) == []
    assert place.medallion_json("status")["last_run"]["command"] == "backfill of 2024-03"


def test_months_are_asked_for(place: Place) -> None:
    place.medallion("backfill", "--from", "2024-01", expect=2)
    assert "--to" in place.last_stderr


def test_a_deployment_needs_a_server(place: Place) -> None:
    span = ("--from", "2024-01", "--to", "2024-02")
    place.medallion("backfill", *span, "--deployment", expect=2)
    assert "PREFECT_API_URL" in place.last_stderr
    place.env["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    place.medallion("backfill", *span, "--deployment", expect=1)
    assert "Cannot reach the Prefect server" in place.last_stderr
    assert "Traceback" not in place.last_stderr
