"""Months that are published as CSV: landed as bytes, loaded as text, read as typed, everywhere."""

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.land import Outcome, land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.sources.tlc.datasets import TRIP_DATASETS
from ingestion.warehouse import connect, engine_for
from tests.conftest import MakeSettings
from tests.support import postgres
from tests.support.trips import csv_heads, month_of, publish, trips

MONTH = date(2013, 8, 1)
# a header that ends in a blank, a blank second line, two fields more than names, mixed line ends
GREEN_2013 = (
    b"VendorID,lpep_pickup_datetime,Lpep_dropoff_datetime,Store_and_fwd_flag,RateCodeID,"
    b"Pickup_longitude,Pickup_latitude,Dropoff_longitude,Dropoff_latitude,Passenger_count,"
    b"Trip_distance,Fare_amount,Extra,MTA_tax,Tip_amount,Tolls_amount,Ehail_fee,Total_amount,"
    b"Payment_type,Trip_type \n\r\n"
    b"2,2013-08-01 08:14:37,2013-08-01 09:09:06,N,1,-73.9,40.7,0,0,1,.00,21.25,0,0,0,0,,21.25,2,,,"
    b"\r\n"
    b'2, 2013-08-01 09:13:00,2013-08-01 11:38:00, ,"1",,,0,0,2,1.5,74.5,0,0.5,0,0,,75,2,1,"x,y",'
    b"\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture
def both(
    server: dict[str, str], make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Settings, Settings]]:
    """Settings for both engines over one lake."""
    with postgres.database(server) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield make_settings(), make_settings(target="postgres")


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def raw_rows(settings: Settings, version: FileVersion) -> list[tuple[Any, ...]]:
    """The rows of a version's table in the order of the file."""
    engine = engine_for(settings)
    columns = ", ".join(engine.dialect.quote(name) for name, _ in version.columns)
    (branch,) = engine.branches([version])
    return rows(settings, f"select {columns} from {branch.relation} order by {branch.row_ordinal}")


def written(content: bytes) -> list[tuple[str, ...]]:
    """The fields of a file as written, but for its header and blank lines."""
    lines = csv.reader(io.StringIO(content.decode(), newline=""))
    return [tuple(line) for line in lines if line][1:]


@pytest.mark.parametrize("file_format", ["csv", "csv.gz"])
def test_a_month_is_kept_as_bytes_loaded_as_text_and_read_as_typed(
    file_format: Any, both: tuple[Settings, Settings], published: Path
) -> None:
    path = publish(published, "green", MONTH, GREEN_2013, file_format)
    (landed,) = land(both[0]).files
    version = landed.landing
    assert version is not None
    assert version.row_count == 2
    assert version.lake_path.endswith(f".{file_format}")
    assert (both[0].work_dir.parent / "lake" / version.lake_path).read_bytes() == path.read_bytes()
    names = GREEN_2013.partition(b"\n")[0].decode().split(",")
    assert version.columns == tuple((name, "text") for name in [*names, "_21", "_22"])
    for settings in both:
        assert load(settings).failed == {}
        assert raw_rows(settings, version) == written(GREEN_2013)
        assert rows(
            settings,
            "select row_ordinal, vendorid, lpep_pickup_datetime, store_and_fwd_flag, ratecodeid,"
            " pickup_longitude, trip_distance, ehail_fee, trip_type, pulocationid"
            " from tlc.green_tripdata order by row_ordinal",
        ) == [
            (0, 2, datetime(2013, 8, 1, 8, 14, 37), "N", 1.0, -73.9, 0.0, None, None, None),
            (1, 2, datetime(2013, 8, 1, 9, 13), " ", 1.0, None, 1.5, None, 1.0, None),
        ]


@pytest.mark.slow
def test_every_real_head_is_loaded_whole_and_read_whole(
    real_data: Path, published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    heads = csv_heads(real_data)
    for name, content in heads.items():
        dataset, month = month_of(name)
        publish(published, dataset, month, content, "csv")
    report = land(settings)
    assert {file.outcome for file in report.files} == {Outcome.NEW}
    assert load(settings).failed == {}
    versions = Catalog(settings.lake_url).current()
    assert len(versions) == len(heads)
    with connect(settings, read_only=True) as session:
        for version in versions:
            raw = session.query(f"select * from raw.{version.table_name} order by rowid").rows
            name = f"{version.dataset}_tripdata_{version.month:%Y-%m}.csv"
            assert raw == written(heads[name]), name
            assert version.row_count == len(raw)
        for dataset in TRIP_DATASETS:
            # every value of every column is cast
            every = ", ".join(f"max({name})" for name in dataset.read_schema)
            read = session.query(
                f"select file_key, count(*), {every} from tlc.{dataset.view} group by file_key"
            )
            assert {file_key: count for file_key, count, *_ in read.rows} == {
                v.file_key: v.row_count for v in versions if v.dataset == dataset.name
            }


def test_both_engines_load_and_read_one_of_each_header_alike(
    both: tuple[Settings, Settings], real_data: Path, published: Path
) -> None:
    by_header: dict[tuple[str, bytes, int], tuple[str, bytes]] = {}
    for name, content in csv_heads(real_data).items():
        header, *lines = [line for line in content.splitlines() if line.strip()]
        by_header.setdefault((month_of(name)[0], header, lines[0].count(b",")), (name, content))
    assert len(by_header) >= 18
    for name, content in by_header.values():
        publish(published, *month_of(name), content, "csv.gz")
    land(both[0])
    for settings in both:
        assert load(settings).failed == {}
    for version in Catalog(both[0].lake_url).current():
        assert raw_rows(both[0], version) == raw_rows(both[1], version)
    for dataset in TRIP_DATASETS:
        names = ", ".join(["source_month", "file_key", "row_ordinal", *dataset.read_schema])
        sql = f"select {names} from tlc.{dataset.view} order by 1, 3"
        found = rows(both[0], sql)
        assert found == rows(both[1], sql)
        assert len(found) > 10


def test_a_parquet_edition_is_a_new_version_of_the_month_that_was_csv(
    published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    month = date(2019, 1, 1)
    old = trips("green", month, rows=3)
    buffer = io.BytesIO()
    with io.TextIOWrapper(buffer, newline="") as text:
        writer = csv.writer(text)
        writer.writerow(old.column_names)
        writer.writerows(zip(*(column.to_pylist() for column in old.columns), strict=True))
        text.flush()
        publish(published, "green", month, buffer.getvalue(), "csv.gz")
    assert [file.outcome for file in land(settings).files] == [Outcome.NEW]
    load(settings)
    as_csv = rows(settings, "select * exclude (file_key) from tlc.green_tripdata")
    publish(published, "green", month, old)
    assert [file.outcome for file in land(settings).files] == [Outcome.REPUBLISHED]
    load(settings)
    assert rows(settings, "select * exclude (file_key) from tlc.green_tripdata") == as_csv
    assert [v.lake_path.partition(".")[2] for v in Catalog(settings.lake_url).versions()] == [
        "csv.gz",
        "parquet",
    ]
    assert [file.outcome for file in land(settings).files] == [Outcome.UNCHANGED]


def test_a_month_that_changes_half_way_is_quarantined_and_nothing_of_it_is_loaded(
    published: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings()
    half = GREEN_2013.splitlines(keepends=True)
    content = b"".join([*half, *(line.replace(b",", b"\t") for line in half[2:])])
    publish(published, "green", MONTH, content, "csv.gz")
    publish(published, "green", date(2013, 9, 1), GREEN_2013, "csv")
    quarantined, good = land(settings).files
    assert quarantined.outcome is Outcome.QUARANTINED
    assert "line 5 has 1 field where those before it have 22" in str(quarantined.error)
    assert quarantined.landing is not None
    kept = settings.work_dir.parent / "lake" / quarantined.landing.lake_path
    assert gzip.decompress(kept.read_bytes()) == content
    assert good.outcome is Outcome.NEW
    load(settings)
    assert rows(settings, "select distinct source_month from tlc.green_tripdata") == [
        (date(2013, 9, 1),)
    ]


def test_a_view_of_an_older_release_gets_the_columns_that_it_lacks(
    published: Path, both: tuple[Settings, Settings]
) -> None:
    publish(published, "green", date(2024, 1, 1), trips("green", date(2024, 1, 1), rows=3))
    land(both[0])
    for settings in both:
        load(settings)
        with connect(settings) as session:
            session.execute("drop view tlc.green_tripdata")
            session.execute(
                "create view tlc.green_tripdata as select cast(null as date) as source_month,"
                " cast(1 as bigint) as file_key, cast(1 as bigint) as row_ordinal,"
                " cast(1 as bigint) as vendorid"
            )
        assert load(settings).loaded == []
        assert rows(
            settings, "select count(*), count(pickup_longitude) from tlc.green_tripdata"
        ) == [(3, 0)]
