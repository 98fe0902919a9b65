"""A version is withdrawn, and taken back: everything that shows it follows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import FACTS, Place
from tests.support import postgres
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY = date(2024, 1, 1)
REASON = "The vendor has sent fares in cents."


@contextmanager
def engine(place: Place, name: str, folder: Path) -> Iterator[None]:
    """Let the commands of a place use an engine."""
    if name == "in place":
        place.env["MEDALLION_RAW"] = "in_place"
        yield
        return
    with postgres.server(folder / "postgres") as server, postgres.database(server) as variables:
        place.env |= variables | {"MEDALLION_TARGET": "postgres"}
        yield


def query(place: Place, sql: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(place.medallion("query", sql, "--format", "json"))
    return found


def facts(place: Place) -> int:
    return int(query(place, f"select count(*) as n from {FACTS}")[0]["n"])


def january(place: Place) -> dict[str, Any]:
    (found,) = [f for f in place.medallion_json("status")["files"] if f["dataset"] == "green"]
    return found


@pytest.mark.parametrize("name", ["in place", "postgres"])
def test_a_withdrawn_version_is_passed_over_until_it_is_taken_back(
    place: Place, name: str, tmp_path: Path
) -> None:
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=20))
    with engine(place, name, tmp_path):
        place.medallion("run", "--quiet")
        publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=25))
        place.medallion("run", "--quiet")
        assert facts(place) == 25

        # what shows it is behind, until the next run
        place.medallion("withdraw", "green", "2024-01", expect=2)
        told = place.medallion("withdraw", "green", "2024-01", "--reason", REASON)
        assert REASON in told
        bad = told[:8]
        assert january(place)["stale"] == "load"
        place.medallion("audit", expect=1)
        assert f"version {bad} is still in use" in place.last_stderr

        # the version before it is in use, and the run is good
        report = place.medallion_json("run", "--quiet")
        assert report["faults"] == []
        assert [m["file_id"][:8] for m in report["passed_over"]] == [bad]
        assert facts(place) == 20
        audited = place.medallion("audit")
        assert f"green 2024-01: an older version is in use: {bad} was withdrawn" in audited
        assert REASON in audited
        (line,) = query(place, "select file_rows, missing_reason from marts.ledger")
        assert (line["file_rows"], REASON in line["missing_reason"]) == (20, True)
        (raw,) = query(
            place, "select status, error, is_current from raw.files where row_count = 25"
        )
        assert (raw["status"], REASON in raw["error"], raw["is_current"]) == (
            "withdrawn",
            True,
            False,
        )
        found = january(place)
        assert (found["stale"], REASON in found["withdrawn"]) == (None, True)
        history = place.medallion("history", "green", "2024-01")
        assert "withdrawn" in history
        assert "cents" in history
        assert place.medallion_json("transform")["built"] is False

        # without one before it, the month is missing, and the ledger says why
        place.medallion("withdraw", "green", "2024-01", "--reason", "It is of another year.")
        place.medallion("load", "--quiet")
        place.medallion("audit", expect=1)
        assert "medallion transform makes the marts follow" in place.last_stderr
        assert january(place)["stale"] == "transform"
        report = place.medallion_json("run", "--quiet")
        assert (report["faults"], facts(place)) == ([], 0)
        (line,) = query(place, "select raw_rows, fact_rows, missing_reason from marts.ledger")
        assert (line["raw_rows"], line["fact_rows"]) == (0, 0)
        assert REASON in line["missing_reason"]
        assert january(place)["stale"] is None

        # taken back, and then replaced by the publisher's own
        place.medallion("withdraw", "green", "2024-01", "--undo", expect=2)
        place.medallion("withdraw", "green", "2024-01", bad, "--undo")
        assert place.medallion_json("run", "--quiet")["loaded"] == []
        assert facts(place) == 25
        place.medallion("withdraw", "green", "2024-01", bad[:4], "--reason", REASON)
        publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=30))
        report = place.medallion_json("run", "--quiet")
        assert (report["faults"], report["passed_over"], facts(place)) == ([], [], 30)
        assert january(place)["withdrawn"] is None
