"""What is said of TLC's files, against the files themselves."""

from collections import defaultdict
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.sources import registry
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from tests.support.trips import trip_files


def test_every_real_file_has_the_columns_of_its_era_in_their_order(real_data: Path) -> None:
    files = trip_files(real_data)
    assert len(files) >= 50
    for dataset, month, path in files:
        expected = [c.name for c in DATASETS[dataset].era(month).columns]
        assert pq.read_schema(path).names == expected, path.name


def test_every_real_column_has_a_known_type(real_data: Path) -> None:
    unknown = defaultdict(set)
    for dataset, month, path in trip_files(real_data):
        known = {c.name: c.file_types for c in DATASETS[dataset].era(month).columns}
        for field in pq.read_schema(path):
            if str(field.type) not in known[field.name]:
                unknown[dataset, field.name].add((month, str(field.type)))
    assert not unknown


@pytest.mark.parametrize("dataset", ["taxi_zone_lookup", "tlc_monthly_report"])
def test_the_reference_files_have_the_columns_that_are_named(dataset: str, real_data: Path) -> None:
    path = DATASETS[dataset].path or "misc/data_reports_monthly.csv"
    header = (real_data / path).read_text().splitlines()[0]
    expected = [c.name for c in DATASETS[dataset].era(None).columns]
    assert [name.strip('"') for name in header.split(",")] == expected


@pytest.mark.parametrize(
    ("dataset", "month", "known", "unknown"),
    [
        ("yellow", "2009-12", "Trip_Pickup_DateTime", "pickup_datetime"),
        ("yellow", "2010-01", "pickup_datetime", "Trip_Pickup_DateTime"),
        ("yellow", "2010-12", "pickup_datetime", "tpep_pickup_datetime"),
        ("yellow", "2011-01", "tpep_pickup_datetime", "pickup_datetime"),
        ("yellow", "2023-01", "airport_fee", "Airport_fee"),
        ("yellow", "2023-02", "Airport_fee", "airport_fee"),
        ("yellow", "2024-12", "Airport_fee", "cbd_congestion_fee"),
        ("yellow", "2025-01", "cbd_congestion_fee", "request_source"),
        ("yellow", "2026-06", "request_source", "airport_fee"),
        ("green", "2014-01", "lpep_pickup_datetime", "cbd_congestion_fee"),
        ("green", "2024-12", "ehail_fee", "cbd_congestion_fee"),
        ("green", "2025-01", "cbd_congestion_fee", "request_source"),
        ("green", "2026-06", "request_source", "airport_fee"),
        ("fhv", "2015-01", "dropOff_datetime", "hvfhs_license_num"),
        ("fhvhv", "2019-02", "hvfhs_license_num", "cbd_congestion_fee"),
        ("fhvhv", "2025-01", "cbd_congestion_fee", "request_source"),
    ],
)
def test_an_era_begins_with_its_first_month(
    dataset: str, month: str, known: str, unknown: str
) -> None:
    names = {c.name for c in DATASETS[dataset].era(date.fromisoformat(f"{month}-01")).columns}
    assert known in names
    assert unknown not in names


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda d: d.name)
def test_eras_follow_each_other_from_the_first_month(dataset) -> None:
    assert dataset.eras[0].since == dataset.first_month
    assert [e.since for e in dataset.eras] == sorted({e.since for e in dataset.eras})
    assert dataset.era(date(1999, 1, 1)) == dataset.eras[0]
    assert dataset.era(date(2099, 1, 1)) == dataset.eras[-1]
    assert dataset.era(None) == dataset.eras[-1]


def test_a_read_type_is_the_widest_of_any_era() -> None:
    yellow = DATASETS["yellow"].read_schema
    assert yellow["passenger_count"] == "double"  # bigint until 2010, double from 2011
    assert yellow["payment_type"] == "text"  # text until 2010, a number from 2011
    assert yellow["vendorid"] == "bigint"
    assert yellow["tpep_pickup_datetime"] == "timestamp"
    assert yellow["trip_pickup_datetime"] == "text"
    assert yellow["rate_code"] == "text"  # double in 2009, text in 2010
    assert DATASETS["fhv"].read_schema["pulocationid"] == "double"


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.name)
def test_a_read_schema_holds_every_column_of_every_era_once(dataset) -> None:
    eras = (*dataset.eras, *dataset.csv_eras)
    names = [dataset.read_name(c.name) for era in eras for c in era.columns]
    assert list(dataset.read_schema) == list(dict.fromkeys(names))
    assert all(name == name.lower() for name in dataset.read_schema)
    for era in eras:
        assert len({dataset.read_name(c.name) for c in era.columns}) == len(era.columns)
        assert any(c.required for c in era.columns) or not dataset.has_rows


def test_numbers_never_become_times_nor_times_numbers() -> None:
    for dataset in DATASETS.values():
        for era in dataset.eras:
            for column in era.columns:
                read_type = dataset.read_schema[dataset.read_name(column.name)]
                is_time = column.read_type == "timestamp"
                assert read_type in (column.read_type, "text") or not is_time
                assert is_time or read_type != "timestamp"


def test_files_and_views_are_named_as_tlc_names_them() -> None:
    assert (
        DATASETS["green"].file_path(date(2024, 1, 1)) == "trip-data/green_tripdata_2024-01.parquet"
    )
    assert DATASETS["taxi_zone_lookup"].file_path(None) == "misc/taxi_zone_lookup.csv"
    assert {d.name: d.view for d in DATASETS.values()} == {
        "yellow": "yellow_tripdata",
        "green": "green_tripdata",
        "fhv": "fhv_tripdata",
        "fhvhv": "fhvhv_tripdata",
        "taxi_zone_lookup": "taxi_zone_lookup",
        "taxi_zones": "taxi_zones",
        "taxi_zone_shapes": "taxi_zone_shapes",
        "taxi_zone_cells": "taxi_zone_cells",
        "tlc_monthly_report": "monthly_report",
    }


def test_a_view_of_single_files_has_the_name_by_which_dbt_finds_it() -> None:
    """``read_views`` in ``dbt_project/macros`` knows the datasets, and not their views."""
    single = [d for d in registry.datasets().values() if not d.monthly and d.has_rows]
    assert {"taxi_zone_lookup", "tlc_monthly_report"} <= {d.name for d in single}
    assert [d.name for d in single if d.name not in (d.view, f"{d.source}_{d.view}")] == []
