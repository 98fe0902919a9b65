"""The whole job on TLC's own files: months of each form, re-published copies, broken files."""

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.e2e.conftest import FACTS, WITHOUT_UNIT_TESTS, Place, differing
from tests.support import browser, real_months

pytestmark = pytest.mark.slow

DIVERGENT = {"2024-07", "2024-12", "2025-01", "2025-02"}  # in seeds/known_divergences.csv
AFTER_THE_REPORT = {"2025-11"}

BROKEN = {
    "yellow 2019-01": "Git LFS pointer",
    "yellow 2021-01": "cut short",
    "yellow 2022-01": "HTML error page",
    "yellow 2024-01": "cut short",
    "yellow 2024-02": "XML error page",
    "green 2022-01": "it has no column",
    "green 2025-02": "cut short",
}


@pytest.fixture(scope="module")
def files(real_data: Path, at_length: bool) -> list[Path]:
    """The months that are tried: with --faults, every month at hand."""
    return real_months.at_hand(real_data) if at_length else real_months.twelve(real_data)


@pytest.fixture(scope="module")
def real(files: list[Path], real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place where these months were landed, loaded and transformed."""
    place = Place(tmp_path_factory.mktemp("real"))
    real_months.publish(place.published, real_data, files)
    place.report = place.medallion_json("run", "--quiet")  # type: ignore[attr-defined]
    return place


def _green(files: list[Path]) -> dict[str, Path]:
    """The months of green by their name."""
    return {path.stem[-7:]: path for path in files if path.stem.startswith("green")}


def test_every_month_balances(real: Place, files: list[Path]) -> None:
    report: dict[str, Any] = real.report  # type: ignore[attr-defined]
    assert report["files"] == len(files)
    rows = sum(
        duckdb.sql(f"select count(*) from read_parquet('{f}')").fetchall()[0][0] for f in files
    )
    assert report["rows"] == rows
    assert report["ledger_balances"] is True
    assert report["faults"] == []


def test_every_mart_is_the_same_when_the_lake_is_read_in_place(real: Place, tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.env |= {
        "MEDALLION_TLC_URL": real.published.as_uri(),
        "MEDALLION_LAKE_URL": str(real.lake),
        "MEDALLION_RAW": "in_place",
    }
    place.medallion("load", "--quiet")
    place.medallion("transform", "--quiet")
    assert differing(real.warehouse, place.warehouse) == {}


def test_green_reconciles_with_the_report_of_tlc(real: Place, files: list[Path]) -> None:
    months = _green(files)
    found = real.query(
        "select strftime(month, '%Y-%m'), status from marts.tlc_reconciliation"
        " where service = 'green'"
    )
    assert dict(found) == {
        month: "known_divergence"
        if month in DIVERGENT
        else "not_reported"
        if month in AFTER_THE_REPORT
        else "reconciled"
        for month in months
    }
    measures = real.query(
        "select measure, status, count(*) from marts.report_measures where service = 'green'"
        " group by 1, 2 order by 1, 2"
    )
    after = len(AFTER_THE_REPORT)
    assert measures == [
        ("avg_minutes_per_trip", "not_reported", after),
        ("avg_minutes_per_trip", "reconciled", len(months) - after),
        ("pct_paid_by_card", "not_reported", after),
        ("pct_paid_by_card", "reconciled", len(months) - after),
    ]
    real.medallion("audit")
    # the samples of yellow and FHV are not whole months, and strictness says so
    real.medallion("audit", "--strict", expect=1)
    assert "green" not in real.last_stderr


def test_facts_hold_what_the_files_hold(real: Place, files: list[Path]) -> None:
    """Sums of every green month, straight from the file and through all the stages."""
    for month, file in _green(files).items():
        expected = duckdb.sql(
            "select count(*), sum(total_amount), sum(tip_amount), sum(trip_distance),"
            " count(passenger_count), min(lpep_pickup_datetime), max(lpep_dropoff_datetime),"
            f" sum(PULocationID), count(distinct VendorID) from read_parquet('{file}')"
        ).fetchall()[0]
        found = real.query(
            "select count(*), sum(total_usd), sum(tip_usd), sum(trip_miles),"
            " count(passenger_count), min(pickup_at), max(dropoff_at), sum(pickup_zone_id),"
            f" count(distinct vendor_id) from {FACTS}"
            f" where service = 'green' and source_month = date '{month}-01'"
        )[0]
        for value, published in zip(found, expected, strict=True):
            close = isinstance(value, float)
            assert value == (pytest.approx(published, rel=1e-12) if close else published), month


def test_daily_trips_add_up_to_the_valid_trips(real: Place) -> None:
    valid = real.query("select sum(valid_rows) from marts.ledger")
    assert real.query("select sum(trips) from marts.daily_trips") == valid
    cents = real.query(
        "select sum(cast(round(t.total_usd, 2) as decimal(18, 2)))"
        f" from {FACTS} as t where is_valid and service = 'green'"
    )
    assert (
        real.query("select sum(total_usd) from marts.daily_trips where service = 'green'") == cents
    )


def test_trips_add_up_without_what_stands_twice(real: Place) -> None:
    """It is all that vendor 1's yellow trips lack since 2019-02, and nearly all for green.

    The shares are of the months that are tried in any case.
    """
    parts = " - ".join(
        f"coalesce({part}_usd, 0)"
        for part in (
            *("fare", "tip", "tolls", "improvement_surcharge", "congestion_surcharge"),
            *("airport_fee", "cbd_congestion_fee"),
        )
    )
    months = ", ".join(
        f"('{service}', date '{month}-01')"
        for service in ("green", "yellow")
        for month in real_months.MONTHS[service]
        if month >= "2019-02"
    )
    left = f"round(total_usd - {parts} - {{extra}}_usd - {{tax}}_usd, 2) <> 0"
    shares = {
        service: (published, corrected)
        for service, published, corrected in real.query(
            f"select service, avg(({left.format(extra='extra', tax='mta_tax')})::int),"
            f" avg(({left.format(extra='extra_corrected', tax='mta_tax_corrected')})::int)"
            f" from {FACTS} where is_valid and vendor_id = 1"
            f" and (service, source_month) in ({months}) group by service"
        )
    }
    assert shares["yellow"] == (pytest.approx(0.845, abs=0.001), 0.0)
    assert shares["green"] == (pytest.approx(0.905, abs=0.001), pytest.approx(0.009, abs=0.001))


def test_a_second_run_costs_nothing_and_finds_nothing(real: Place) -> None:
    again = real.medallion_json("run", "--quiet")
    assert (again["new"], again["republished"], again["loaded"]) == ([], [], [])
    assert again["built"] is False


def test_dbt_build_by_itself_passes_all_its_tests_of_data(real: Place) -> None:
    assert "ERROR=0" in real.dbt("build", *WITHOUT_UNIT_TESTS)


def test_the_site_shows_them_in_their_zones(real: Place, tmp_path: Path) -> None:
    if browser.program() is None:
        pytest.skip("a page needs Debian's chromium: apt-get install chromium")
    real.medallion("site", "--quiet", "--out", str(tmp_path / "site"))
    with browser.browser() as page:
        for path in sorted((tmp_path / "site").glob("*.html")):
            page.open(path.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert path.stem == "zones"
        assert page.evaluate("document.querySelectorAll('#map svg .mark-shape path').length") == 263
        named = page.evaluate("document.querySelector('#most').textContent")
        assert page.errors == []
    ((busiest,),) = real.query(
        "select zone from marts.hourly_zone_demand join marts.dim_zones on pickup_zone_id = zone_id"
        " where service = 'yellow' and year(source_month) = 2020"
        " group by zone, zone_id order by sum(trips) desc, zone_id limit 1"
    )
    assert busiest in named


def test_each_republished_copy_makes_one_version_and_the_facts_follow(
    real: Place, files: list[Path], real_data: Path, tmp_path: Path
) -> None:
    place = Place(tmp_path)
    shutil.copytree(real.folder, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    green = _green(files)
    found = sorted((real_data / "republished").glob("green_*.parquet"))
    copies = [copy for copy in found if copy.stem[-7:] in green]
    months = [copy.stem[-7:] for copy in copies]
    for copy in copies:
        real_months.copy(str(copy), str(place.published / "trip-data" / copy.name))
    before = _unlike(place, months)
    report = place.medallion_json("run", "--quiet")
    assert report["republished"] == [f"green {month}" for month in months]
    assert len(report["loaded"]) == len(copies) >= 3
    assert report["faults"] == []
    assert _unlike(place, months) == before
    for copy in copies:
        rows, total = duckdb.sql(
            f"select count(*), sum(total_amount) from read_parquet('{copy}')"
        ).fetchall()[0]
        assert place.query(
            f"select count(*), sum(total_usd) from {FACTS}"
            f" where service = 'green' and source_month = date '{copy.stem[-7:]}-01'"
        ) == [(rows, pytest.approx(total))]
    versions = "select count(*) from raw.files where dataset = 'green'"
    assert place.query(versions) == [(len(green) + len(copies),)]
    assert place.query("select bool_and(is_balanced), count(*) from marts.ledger") == [
        (True, len(files))
    ]
    place.medallion("site", "--quiet", "--out", str(tmp_path / "site"))
    told = (tmp_path / "site" / "trust.html").read_text().partition("Published again")[2]
    assert told.count("superseded") == len(copies)


def _unlike(place: Place, months: list[str]) -> list[tuple[Any, ...]]:
    """A hash of the facts of every other month."""
    others = " and ".join(
        f"not (service = 'green' and source_month = date '{month}-01')" for month in months
    )
    return place.query(f"select count(*), bit_xor(hash(t)) from {FACTS} as t where {others}")


def test_broken_files_are_quarantined_with_their_reasons(place: Place, real_data: Path) -> None:
    (place.published / "trip-data").mkdir()
    shutil.copytree(real_data / "misc", place.published / "misc")
    for file in (real_data / "bad").glob("*.parquet"):
        real_months.copy(str(file), str(place.published / "trip-data" / file.name))
    good = real_data / "trip-data" / "green_tripdata_2024-01.parquet"
    real_months.copy(str(good), str(place.published / "trip-data" / good.name))
    report = place.medallion_json("run", expect=1)
    faults = {fault.partition(" quarantined: ")[0]: fault for fault in report["faults"]}
    assert faults.keys() == BROKEN.keys()
    for name, reason in BROKEN.items():
        assert reason in faults[name]
    # one is readable though somebody altered it: what is odd about it is said, and TLC's report
    # shows that rows are missing
    assert "green 2021-01: unknown column duration (double)" in place.last_stderr
    assert place.query(
        "select dataset, month::varchar, is_balanced from marts.ledger"
        " where missing_file_id is null order by 2"
    ) == [
        ("green", "2021-01-01", True),
        ("green", "2024-01-01", True),
    ]
    assert place.query(
        "select status from marts.tlc_reconciliation where month = '2021-01-01'"
    ) == [("out_of_tolerance",)]
    missing = place.query(
        "select dataset || ' ' || strftime(month, '%Y-%m'), missing_reason from marts.ledger"
        " where missing_file_id = file_id and not is_balanced"
    )
    assert dict(missing).keys() == BROKEN.keys()
    for name, reason in missing:
        assert BROKEN[name] in reason
    kept = {file.name.split("__")[0] for file in (place.lake / "quarantine").iterdir()}
    assert len(kept) == len(BROKEN)


def test_a_broken_reference_file_stops_no_trips(place: Place, real_data: Path) -> None:
    (place.published / "trip-data").mkdir()
    (place.published / "misc").mkdir()
    month = real_data / "trip-data" / "green_tripdata_2024-01.parquet"
    real_months.copy(str(month), str(place.published / "trip-data" / month.name))
    (place.published / "misc" / "taxi_zone_lookup.csv").write_text("<html>no</html>")
    report = place.medallion_json("run", "--quiet", expect=1)
    assert report["files"] == 1
    assert report["ledger_balances"] is True
    assert len(report["faults"]) == 1
    assert "taxi_zone_lookup quarantined" in report["faults"][0]
