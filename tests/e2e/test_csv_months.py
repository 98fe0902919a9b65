"""The whole job on months that TLC published as CSV, beside months as Parquet."""

import shutil
from pathlib import Path

import duckdb
import pytest

from tests.e2e.conftest import FACTS, Place
from tests.support.trips import csv_heads, month_of, publish

pytestmark = pytest.mark.slow

# in 2020 TLC published these as CSV, and in 2022 again as Parquet
TWICE = {"2020-04": "where VendorID is distinct from 6", "2020-08": ""}
FIRST = "2013-08"  # of green: with coordinates, and more fields in a line than names in the header


@pytest.fixture(scope="module")
def real(real_data: Path, at_length: bool, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A place with whole CSV months, a head of each era, and two months as Parquet, built.

    With --faults, it has every CSV month at hand.
    """
    place = Place(tmp_path_factory.mktemp("csv"))
    eras: dict[tuple[str, bytes, int], str] = {}
    heads = csv_heads(real_data)
    for name, content in heads.items():
        header, *lines = content.split()
        eras.setdefault((month_of(name)[0], header, lines[-1].count(b",")), name)
    for name in eras.values():
        publish(place.published, *month_of(name), heads[name], "csv")
    whole = [
        path
        for path in (real_data / "trip-data-csv").iterdir()
        if at_length or any(month in path.name for month in (FIRST, *TWICE))
    ]
    whole += [real_data / f"trip-data/green_tripdata_{m}.parquet" for m in ("2021-01", "2024-01")]
    for path in whole:
        shutil.copyfile(path, place.published / "trip-data" / path.name)
    shutil.copytree(real_data / "misc", place.published / "misc")
    place.report = place.medallion_json("run", "--quiet")  # type: ignore[attr-defined]
    return place


def test_csv_and_parquet_months_balance_in_one_ledger(real: Place) -> None:
    files = len(list((real.published / "trip-data").iterdir()))
    assert files >= 3 + 2 + 18
    assert real.report["faults"] == []  # type: ignore[attr-defined]
    assert real.report["ledger_balances"] is True  # type: ignore[attr-defined]
    assert real.query("select count(*), bool_and(is_balanced) from marts.ledger") == [(files, True)]


def test_whole_months_agree_with_the_report_of_tlc(real: Place) -> None:
    packed = real.published.glob("trip-data/green_tripdata_2020-*.csv.gz")
    months = sorted(f"{path.name[15:22]}-01" for path in packed)
    assert len(months) >= len(TWICE)
    whole = "service = 'green' and (month = date '2013-08-01' or year(month) = 2020)"
    verdicts = real.query(
        f"select month::varchar, status from marts.tlc_reconciliation where {whole} order by month"
    )
    # green began in its first month, of which TLC leaves out the days before
    assert verdicts == [
        ("2013-08-01", "known_divergence"),
        *((month, "reconciled") for month in months),
    ]
    measures = real.query(
        f"select status, count(*) from marts.report_measures where {whole} and year(month) = 2020"
        " group by 1"
    )
    assert measures == [("reconciled", 2 * len(months))]


def test_every_era_has_its_trips_under_our_names(real: Place) -> None:
    """What a file has is there in every row of its facts, and coordinates stand for zones."""
    missing = real.query(
        "select service, source_month, count(*) from " + FACTS + " where pickup_at is null"
        " or (service <> 'fhv' and (dropoff_at is null or trip_seconds is null))"
        " or (service in ('yellow', 'green') and (total_usd is null or trip_miles is null))"
        " or (service = 'yellow' and (vendor_id is null or payment_type_id is null))"
        " or (service in ('fhv', 'fhvhv') and dispatching_base_num is null)"
        " or (service in ('yellow', 'green')"
        " and zone_source is distinct from 'published' and pickup_longitude is null)"
        " group by 1, 2"
    )
    assert missing == []
    assert real.query(f"select count(*) from {FACTS} where invalid_reason = 'unknown_zone'") == [
        (0,)
    ]


def test_a_trip_leads_back_to_its_line(real: Place) -> None:
    explained = real.medallion_json("explain", "220130800000000003")
    line = (real.published / "trip-data/green_tripdata_2013-08.csv").read_text().splitlines()[2 + 3]
    assert [value or "" for value in explained["raw_row"].values()] == line.split(",")


def test_months_that_were_published_twice_agree_but_for_what_tlc_added(
    real: Place, real_data: Path
) -> None:
    """Of 2020-04 the Parquet edition has 32 more rows; all other money and miles are the same."""
    for month, same_rows in TWICE.items():
        parquet = duckdb.sql(
            "select count(*), sum(total_amount), sum(trip_distance), min(lpep_pickup_datetime),"
            " sum(PULocationID), count(passenger_count)"
            f" from '{real_data}/trip-data/green_tripdata_{month}.parquet'"
            f" {same_rows}"
        ).fetchall()
        as_csv = real.query(
            "select count(*), sum(total_usd), sum(trip_miles), min(pickup_at), sum(pickup_zone_id),"
            f" count(passenger_count) from {FACTS}"
            f" where service = 'green' and source_month = date '{month}-01'"
        )
        for value, published in zip(as_csv[0], parquet[0], strict=True):
            close = isinstance(value, float)
            assert value == (pytest.approx(published, rel=1e-9) if close else published), month


def test_the_parquet_edition_is_a_restatement_of_the_month(real: Place, real_data: Path) -> None:
    for month in TWICE:
        name = f"green_tripdata_{month}.parquet"
        shutil.copyfile(real_data / "trip-data" / name, real.published / "trip-data" / name)
    report = real.medallion_json("run", "--quiet")
    assert report["republished"] == [f"green {month}" for month in TWICE]
    assert real.query(
        f"select source_month::varchar, count(*), count(vendor_id) from {FACTS}"
        " where service = 'green' and source_month in ('2020-04-01', '2020-08-01')"
        " group by 1 order by 1"
    ) == [("2020-04-01", 35644, 35644), ("2020-08-01", 81063, 81063)]
    assert real.query("select bool_and(is_balanced) from marts.ledger") == [(True,)]
