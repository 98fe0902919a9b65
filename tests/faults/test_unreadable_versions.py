"""Months that land and cannot be read: each is in quarantine, and the older version is shown."""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ingestion.land import Outcome, land
from ingestion.load import LoadReport, load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from tests.conftest import MakeSettings
from tests.e2e.conftest import Place
from tests.faults.conftest import Tally
from tests.faults.jobs import copy_of
from tests.support import postgres
from tests.support.damage import damage_page
from tests.support.trips import ZONES, publish, trips

pytestmark = pytest.mark.slow

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
WAREHOUSES = ("loaded", "in_place", "postgres")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@contextmanager
def variables_of(kind: str, server: Callable[[], dict[str, str]]) -> Iterator[dict[str, str]]:
    """The environment of a warehouse of that kind, which is the test's own."""
    if kind == "postgres":
        with postgres.database(server()) as found:
            yield found | {"MEDALLION_TARGET": "postgres"}
    else:
        yield {"MEDALLION_RAW": kind}


@pytest.fixture(params=WAREHOUSES)
def settings(
    request: pytest.FixtureRequest,
    published: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """Settings for each warehouse in turn."""
    with variables_of(request.param, lambda: request.getfixturevalue("server")) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield make_settings(
            target=variables.get("MEDALLION_TARGET", "duckdb"),
            raw=variables.get("MEDALLION_RAW", "loaded"),
        )


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def months(settings: Settings) -> dict[date, int]:
    return dict(rows(settings, "select source_month, count(*) from tlc.green_tripdata group by 1"))


def files(settings: Settings) -> list[tuple[Any, ...]]:
    return rows(
        settings,
        "select month, row_count, status, is_current, is_newest, error is null, loaded_at is null"
        " from raw.files order by month, landed_at",
    )


def publish_damaged(folder: Path, month: date, count: int) -> None:
    path = publish(folder, "green", month, trips("green", month, rows=count, seed=1))
    damage_page(path)


def landed_and_loaded(settings: Settings) -> LoadReport:
    assert not land(settings).of(Outcome.QUARANTINED, Outcome.FAILED)
    return load(settings)


def test_a_damaged_page_is_in_quarantine_until_the_month_is_published_anew(
    settings: Settings, published: Path, tally: Tally
) -> None:
    begun, silent = time.monotonic(), 0
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=20))
    publish_damaged(published, FEBRUARY, 30)
    publish(published, "green", MARCH, trips("green", MARCH, rows=40))
    for again in (False, True):  # every load tries it again, and says the same
        report = landed_and_loaded(settings)
        silent += not report.failed
        (name,) = report.quarantined
        assert name.startswith("green_tripdata_2024_02")
        assert "\n" not in report.failed[name]
        assert len(report.loaded) == (0 if again else 2)
        assert months(settings) == {JANUARY: 20, MARCH: 40}
        assert files(settings) == [
            (JANUARY, 20, "loaded", True, True, True, False),
            (FEBRUARY, 30, "quarantined", False, True, False, True),
            (MARCH, 40, "loaded", True, True, True, False),
        ]
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=30))
    assert [v.month for v in landed_and_loaded(settings).loaded] == [FEBRUARY]
    assert files(settings)[1:3] == [
        (FEBRUARY, 30, "quarantined", False, False, False, True),
        (FEBRUARY, 30, "loaded", True, True, True, False),
    ]
    shown = months(settings)
    assert load(settings) == LoadReport()
    lost = 90 - sum(shown.values())
    seconds = time.monotonic() - begun
    tally("a page of a month is damaged", lost=lost, silent=silent, seconds=seconds)


def test_the_version_before_one_that_cannot_be_read_is_shown(
    settings: Settings, published: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=20))
    land(settings)
    publish_damaged(published, JANUARY, 30)
    # a warehouse that has neither, and then one that has the older
    for first in (True, False):
        report = landed_and_loaded(settings)
        assert [v.row_count for v in report.loaded] == [20] * first
        assert len(report.quarantined) == 1
        assert months(settings) == {JANUARY: 20}
        assert files(settings) == [
            (JANUARY, 20, "loaded", True, False, True, False),
            (JANUARY, 30, "quarantined", False, True, False, True),
        ]
    # what was published before comes back, which is a landing and no new version
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=20))
    assert landed_and_loaded(settings) == LoadReport()
    assert [row[3:5] for row in files(settings)] == [(True, True), (False, False)]


def test_both_versions_of_a_month_may_be_damaged(settings: Settings, published: Path) -> None:
    for count in (20, 30):
        publish_damaged(published, JANUARY, count)
        land(settings)
    for _ in range(2):
        report = load(settings)
        assert len(report.quarantined) == 2
        assert report.loaded == []
        assert [row[2:5] for row in files(settings)] == [
            ("quarantined", False, False),
            ("quarantined", False, True),
        ]


def test_what_one_engine_cannot_hold_is_in_quarantine_there_only(
    settings: Settings, published: Path
) -> None:
    nested = pa.array([[[1]], [[2], [3]]])
    odd = trips("green", JANUARY, rows=2).append_column("odd_one", nested)
    publish(published, "green", JANUARY, odd)
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=3))
    report = landed_and_loaded(settings)
    held = settings.target == "duckdb"
    assert len(report.quarantined) == (not held)
    assert months(settings) == {FEBRUARY: 3} | ({JANUARY: 2} if held else {})
    assert [row[2] for row in files(settings)] == ["loaded" if held else "quarantined", "loaded"]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.published.mkdir()
    return made


@pytest.mark.parametrize("kind", ["in_place", "postgres"])
def test_a_month_that_cannot_be_read_is_in_the_ledger_and_the_audit_fails_until_it_is_mended(
    kind: str, place: Place, request: pytest.FixtureRequest, at_length: bool, tally: Tally
) -> None:
    """Loaded into DuckDB it is the same: what differs is how versions are loaded."""
    if kind == "postgres" and not at_length:
        pytest.skip("three runs of dbt over the same months: only with --faults")
    begun = time.monotonic()
    silent = 0
    publish(place.published, "green", JANUARY, trips("green", JANUARY, rows=20))
    publish(place.published, "taxi_zone_lookup", None, ZONES)
    with variables_of(kind, lambda: request.getfixturevalue("server")) as variables:
        place.env |= variables
        place.medallion("run", "--quiet")
        place.medallion("audit")
        publish_damaged(place.published, JANUARY, 30)
        publish_damaged(place.published, FEBRUARY, 30)
        publish(place.published, "green", MARCH, trips("green", MARCH, rows=40))

        place.medallion("land", "--quiet")
        audited = place.medallion_json("audit", expect=1)
        assert [(m["month"], m["stage"]) for m in audited["missing"]] == [
            ("2024-01-01", "load"),
            ("2024-02-01", "load"),
            ("2024-03-01", "load"),
        ]
        place.medallion("load", "--quiet", expect=1)
        audited = place.medallion_json("audit", expect=1)
        assert [m["stage"] for m in audited["missing"]] == ["load", "load", "transform"]
        assert "medallion transform builds it" in place.last_stderr
        assert "--full-refresh" not in place.last_stderr

        report = place.medallion_json("run", "--quiet", expect=1)
        assert len(report["faults"]) == len(set(report["faults"])) == 2
        assert report["ledger_balances"] is True
        assert report["rows"] == 60
        ledger = place.medallion(
            *("query", "--format", "csv"),
            "select month, fact_rows, is_balanced, missing_file_id = file_id as none_in_use,"
            " missing_reason is not null as has_reason from marts.ledger order by month",
        )
        assert [line.lower() for line in ledger.split()[1:]] == [
            "2024-01-01,20,true,false,true",
            "2024-02-01,0,false,true,true",
            "2024-03-01,40,true,,false",
        ]
        for _ in range(2):
            audited = place.medallion_json("audit", expect=1)
            assert [(m["month"], m["older_in_use"]) for m in audited["missing"]] == [
                ("2024-01-01", True),
                ("2024-02-01", False),
            ]
            silent += audited["unbalanced"] != []
        found = place.medallion_json("status")
        standing = {f["month"]: f for f in found["files"] if f["month"]}
        assert standing["2024-02-01"]["quarantined"]
        assert not standing["2024-02-01"]["loaded"]
        assert standing["2024-03-01"]["built"]
        assert found["last_run"]["succeeded"] is False
        assert "2024_02" in found["last_run"]["error"] or "2024_01" in found["last_run"]["error"]

        for month in (JANUARY, FEBRUARY):
            publish(place.published, "green", month, trips("green", month, rows=50))
        report = place.medallion_json("run", "--quiet")
        assert (report["rows"], report["missing"]) == (140, [])
        assert place.medallion_json("audit")["missing"] == []
        assert place.medallion_json("status")["last_run"]["succeeded"] is True
    tally(f"a month cannot be read ({kind})", silent=silent, seconds=time.monotonic() - begun)


def test_months_of_equal_bytes_do_not_stand_for_each_other(
    plain_night: Path, tmp_path: Path
) -> None:
    night = copy_of(plain_night, tmp_path)
    night.job.put_back()
    published = tmp_path / "published"
    shutil.copytree(plain_night / "published", published)
    months = published / "trip-data"
    shutil.copy(
        months / "green_tripdata_2023-01.parquet", months / "green_tripdata_2023-04.parquet"
    )
    place = Place(tmp_path / "job")
    place.env["MEDALLION_TLC_URL"] = published.as_uri()
    place.medallion("land", "--quiet", "--dataset", "green", "--from", "2023-04", "--to", "2023-04")
    before = place.medallion_json("audit", expect=1)
    place.medallion("load", "--quiet")
    audited = place.medallion_json("audit", expect=1)
    assert [(m["month"], m["stage"]) for m in before["missing"]] == [("2023-04-01", "load")]
    assert [(m["month"], m["stage"]) for m in audited["missing"]] == [("2023-04-01", "transform")]
    assert audited["files"] == before["files"] == 4
