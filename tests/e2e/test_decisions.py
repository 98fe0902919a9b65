"""A version is withdrawn, taken back or forgotten for good: everything that shows it follows."""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.lake.catalog import Catalog
from ingestion.lake.decision import decide
from ingestion.settings import PROJECT_ROOT
from orchestration.job.verdict import verdict_of
from orchestration.site.figures import query as site_query
from tests.e2e.conftest import FACTS, Place
from tests.support import postgres
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, MARCH = date(2024, 1, 1), date(2024, 3, 1)
REASON = "The vendor has sent fares in cents."
GREEN = ("forget", "green", "2024-01")
DEMAND = ("--reason", "Court order 1/24.", "--yes")


@contextmanager
def engine(place: Place, name: str, folder: Path) -> Iterator[None]:
    """Let the commands of a place use an engine."""
    if name != "postgres":
        place.env["MEDALLION_RAW"] = {"in place": "in_place"}.get(name, "loaded")
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
        for verb in ("land", "load"):
            place.medallion(verb, "--quiet")
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
        # nothing was lost: the pages and the assistants say no worse
        ledgers = [query(place, site_query(n)) for n in ("ledger", "ledger_single_files")]
        verdict = verdict_of(*ledgers, [])
        assert (verdict.is_balanced, verdict.missing, verdict.file_rows) == (True, 1, 0)
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


# --- the page ------------------------------------------------------------------------------------


def test_the_page_on_repair_works_word_for_word(place: Place) -> None:
    page = (PROJECT_ROOT / "docs" / "operations.md").read_text()
    repair = page.partition("\n## Repair\n")[2].partition("\n## ")[0]
    commands = [
        shlex.split(line.removeprefix("uv run medallion "))
        for line in repair.splitlines()
        if line.startswith("uv run medallion ")
    ]
    assert {c[0] for c in commands} >= {"history", "withdraw", "run", "transform", "forget"}
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    for rows, verbs in ((20, ("land", "load")), (25, ("run",))):
        publish(place.published, "green", MARCH, trips("green", MARCH, rows=rows))
        for verb in verbs:
            place.medallion(verb, "--quiet")
    counted = []
    for command in commands:
        # the answer to what it asks, which a test cannot type
        place.medallion(*command, *(["--yes"] if command[0] == "forget" else []))
        if command[0] in ("run", "transform"):
            counted.append(facts(place))
    assert counted == [20, 25, 25, 0]


# --- for good ------------------------------------------------------------------------------------


@pytest.fixture(params=["duckdb", "postgres"])
def month(request: pytest.FixtureRequest, place: Place, tmp_path: Path) -> Iterator[Path]:
    """One month of green, in use on an engine."""
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    path = publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=20))
    with engine(place, request.param, tmp_path):
        if request.param == "duckdb":
            place.env["MEDALLION_PUBLISH_URL"] = str(place.folder / "publications")
        place.medallion("run", "--quiet")
        yield path


def test_what_is_forgotten_is_nowhere_and_does_not_come_back(place: Place, month: Path) -> None:
    objects = list((place.lake / "raw" / "green").iterdir())
    assert len(objects) == 1
    place.medallion("run", "--quiet", "--as-of", f"{datetime.now(UTC):%Y-%m-%d}")

    # it shows first, and does nothing without an answer
    shown = place.medallion(*GREEN, "--reason", "Court order 1/24.", expect=2)
    assert "--yes" in place.last_stderr
    for what in (f"raw/green/{objects[0].name}", "raw.green_tripdata_2024_01__", "marts.fct_trips"):
        assert what in shown
    place.medallion(*GREEN, "--yes", expect=2)
    assert objects[0].exists()

    told = place.medallion(*GREEN, *DEMAND)
    assert "as-of-" in told
    assert not objects[0].exists()
    place.medallion("audit", expect=1)
    assert "is still in use, and was forgotten" in place.last_stderr
    place.medallion("verify")

    # the publisher still has it: it is passed over, also when it looks new
    report = place.medallion_json("run", "--quiet")
    assert report["faults"] == []
    assert [m["reason"].endswith("Court order 1/24.") for m in report["passed_over"]] == [True]
    assert facts(place) == 0
    raw = "select count(*) as n from information_schema.tables where table_name like 'green~_t%__%'"
    assert query(place, f"{raw} escape '~' and table_schema = 'raw'") == [{"n": 0}]
    files = "select status, loaded_at from raw.files where dataset = 'green'"
    assert query(place, files) == [{"status": "forgotten", "loaded_at": None}]
    os.utime(month, (1, 1))
    landed = place.medallion("land")
    assert "green 2024-01 is passed over: it was forgotten on" in landed
    assert list((place.lake / "raw" / "green").iterdir()) == []
    place.medallion("verify")
    history = place.medallion("history", "green", "2024-01")
    assert "Court order" in history
    place.medallion("withdraw", "green", "2024-01", "--undo", expect=2)

    # readers see another publication now, so the one that holds it can go
    before = place.medallion_json(*GREEN, *DEMAND)["removed"]["published"]
    assert len(before) == ("MEDALLION_PUBLISH_URL" in place.env)
    assert place.medallion_json(*GREEN, "--yes")["left"]["published"] == []

    # other bytes are another version
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=25))
    place.medallion("run", "--quiet")
    assert facts(place) == 25


def test_what_was_killed_is_completed_by_doing_it_again(place: Place) -> None:
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=20))
    place.medallion("land", "--quiet")
    place.medallion("load", "--quiet")
    # a kill after the record leaves this
    catalog = Catalog(place.lake.as_uri())
    (version,) = (v for v in catalog.current() if v.month)
    catalog.decide(decide(version, "forgotten", "Court order 1/24."))
    place.medallion("verify", expect=1)
    assert "medallion forget green 2024-01 completes it" in place.last_stderr
    place.medallion("verify", "--restore", expect=1)
    place.medallion(*GREEN, "--yes")
    place.medallion("verify")
    assert list((place.lake / "raw" / "green").iterdir()) == []
    assert len(Catalog(place.lake.as_uri()).decisions) == 1
