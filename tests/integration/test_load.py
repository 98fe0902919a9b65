"""Loading: raw tables that equal their files, load records of it, views that change nothing."""

import csv
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.lake.catalog import Catalog
from ingestion.land import LandReport
from ingestion.load import LoadReport, load
from ingestion.schema_on_read import ORIGIN
from ingestion.settings import Settings
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from tests.support.lakes import lake_file
from tests.support.trips import ZONES, publish, trips, with_column
from tests.support.warehouses import first_difference, landed_and_loaded, opened, rows, shown_months

MakeSettings = Callable[..., Settings]
RealLake = tuple[Settings, LandReport]
RealWarehouse = tuple[Settings, LoadReport]

JANUARY = date(2024, 1, 1)
# the others are documents: their rows are datasets of their own
TABLES = [dataset for dataset in DATASETS.values() if dataset.has_rows]
TYPES = {"bigint": "BIGINT", "double": "DOUBLE", "text": "VARCHAR", "timestamp": "TIMESTAMP"}


# --- raw: TLC's own files ------------------------------------------------------------------------


def test_every_real_file_is_loaded(real_lake: RealLake, real_warehouse: RealWarehouse) -> None:
    settings, report = real_warehouse
    assert report.failed == {}
    tables = [f for f in real_lake[1].files if DATASETS[f.published.dataset].has_rows]
    derived = [dataset for dataset in TABLES if dataset.derived]
    assert len(report.loaded) == len(tables) + len(derived) >= 52
    ((count,),) = rows(settings, "select sum(row_count) from raw.files")
    assert report.rows == count


def test_every_real_raw_table_has_its_files_columns_types_and_rows_in_order(
    real_warehouse: RealWarehouse,
) -> None:
    settings, report = real_warehouse
    versions = [v for v in report.loaded if v.lake_path.endswith(".parquet")]
    assert len(versions) >= 50
    with opened(settings) as connection:
        for version in versions:
            path = lake_file(settings, version)
            file = f"read_parquet('{path}', file_row_number = true)"
            in_file = f"select * exclude (file_row_number) from {file}"
            described = connection.sql(f"describe {in_file}").fetchall()
            assert connection.sql(f"describe raw.{version.table_name}").fetchall() == described
            assert [name for name, *_ in described] == pq.read_schema(path).names
            # row by row: every raw row equals the file's row of that number, and none is over
            different = connection.sql(
                f"select count(*) from (select rowid as n, t from raw.{version.table_name} t)"
                f" full join (select file_row_number as n, f from ({in_file}) f positional join"
                f" (select file_row_number from {file})) using (n)"
                " where t is distinct from f"
            ).fetchone()
            assert different == (0,), version.name


def test_real_csv_is_text_as_published(real_data: Path, real_warehouse: RealWarehouse) -> None:
    settings, report = real_warehouse
    for version in (v for v in report.loaded if v.lake_path.endswith(".csv")):
        with lake_file(settings, version).open(newline="") as file:
            header, *lines = csv.reader(file)
        with opened(settings) as connection:
            raw = connection.sql(f"from raw.{version.table_name} order by rowid")
            assert raw.columns == header
            assert set(raw.types) == {"VARCHAR"}
            assert first_difference(raw.fetchall(), [tuple(line) for line in lines]) is None


def test_every_real_version_has_its_load_record(
    real_lake: RealLake, real_warehouse: RealWarehouse
) -> None:
    settings, _ = real_warehouse
    with opened(settings) as connection:
        files = connection.sql("from raw.files").arrow().read_all().to_pylist()
        for file in files:
            table = f"raw.{file['table_name']}"
            assert connection.sql(f"select count(*) from {table}").fetchone() == (
                file["row_count"],
            )
    current = Catalog(settings.lake_url).current()
    landed = {x.table_name: x for x in current if DATASETS[x.dataset].has_rows}
    assert {f["table_name"] for f in files} == landed.keys()
    for file in files:
        landing = landed[file["table_name"]]
        assert file["file_id"] == landing.file_id
        assert file["file_key"] == int(landing.file_id[:15], 16)
        assert (file["dataset"], file["month"]) == (landing.dataset, landing.month)
        assert (file["source_url"], file["etag"]) == (landing.source_url, landing.etag)
        assert file["last_modified"] == landing.last_modified
        assert (file["bytes"], file["row_count"]) == (landing.bytes, landing.row_count)
        assert json.loads(file["columns"]) == [list(c) for c in landing.columns]
        assert file["lake_path"] == landing.lake_path
        assert file["landed_at"] == landing.landed_at
        assert abs(datetime.now(UTC) - file["loaded_at"]) < timedelta(hours=1)
        assert (file["status"], file["error"], file["is_current"]) == ("loaded", None, True)


# --- read views: TLC's own files -----------------------------------------------------------------


@pytest.mark.parametrize("dataset", TABLES, ids=lambda d: d.name)
def test_a_real_view_has_the_read_schema(dataset, real_warehouse: RealWarehouse) -> None:
    described = rows(real_warehouse[0], f"describe tlc.{dataset.view}")
    expected = {name: type_.upper() for name, type_ in ORIGIN.items()}
    expected |= {name: TYPES[read_type] for name, read_type in dataset.read_schema.items()}
    assert {name: type_ for name, type_, *_ in described} == expected


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda d: d.name)
def test_a_real_view_changes_no_value(dataset, real_warehouse: RealWarehouse) -> None:
    settings, report = real_warehouse
    versions = [v for v in report.loaded if v.dataset == dataset.name]
    assert versions
    with opened(settings) as connection:
        for version in versions:
            path = lake_file(settings, version)
            spelled = {name.lower(): name for name in pq.read_schema(path).names}
            file = f"read_parquet('{path}', file_row_number = true)"
            view = f"(from tlc.{dataset.view} where source_month = date '{version.month}')"

            # as they are in the file: how many, the least and the greatest of every column
            asked_of_file, asked_of_view = ["count(*)"], ["count(*)"]
            for name, read_type in dataset.read_schema.items():
                as_text = "::varchar" if read_type == "text" else ""
                for function in ("count", "min", "max"):
                    asked_of_view.append(f'{function}("{name}")')
                    in_file = f'"{spelled[name]}"{as_text}' if name in spelled else "null"
                    asked_of_file.append(f"{function}({in_file})")
            assert (
                connection.sql(f"select {', '.join(asked_of_view)} from {view}").fetchone()
                == connection.sql(f"select {', '.join(asked_of_file)} from {file}").fetchone()
            ), version.name

            # as wide as they are read: every row at its place
            wide = ", ".join(
                f'"{spelled[name]}"::{TYPES[read_type]}' if name in spelled else "null"
                for name, read_type in dataset.read_schema.items()
            )
            names = ", ".join(f'"{name}"' for name in dataset.read_schema)
            in_view = f"select bit_xor(hash(row_ordinal, file_key, {names})) from {view}"
            in_file = (
                f"select bit_xor(hash(file_row_number, {version.file_key}, {wide})) from {file}"
            )
            assert connection.sql(in_view).fetchall() == connection.sql(in_file).fetchall()


def test_a_filter_on_the_month_reads_one_table(real_warehouse: RealWarehouse) -> None:
    settings, report = real_warehouse
    (expected,) = (v.table_name for v in report.loaded if v.name == "green 2024-01")
    ((_, plan),) = rows(
        settings,
        "explain (format json) select sum(fare_amount) from tlc.green_tripdata"
        " where source_month = date '2024-01-01'",
    )
    scanned = [v.table_name for v in report.loaded if v.table_name in plan]
    assert scanned == [expected]


# --- raw: made files -----------------------------------------------------------------------------


def test_rows_of_many_row_groups_keep_their_order(published: Path, settings: Settings) -> None:
    count = 400_000  # more than three of DuckDB's own row groups, in groups of another size
    table = with_column(
        trips("green", JANUARY, rows=count), "trip_distance", range(count), pa.float64()
    )
    path = publish(published, "green", JANUARY, b"")
    pq.write_table(table, path, row_group_size=30_011)
    (version,) = landed_and_loaded(settings).loaded
    assert rows(
        settings,
        f"select count(*), count(*) filter (rowid = trip_distance) from raw.{version.table_name}",
    ) == [(count, count)]
    assert rows(
        settings,
        "select count(*) filter (row_ordinal = trip_distance), min(row_ordinal), max(row_ordinal)"
        " from tlc.green_tripdata",
    ) == [(count, 0, count - 1)]


def test_unknown_columns_of_any_name_and_type_are_kept_as_they_are(
    published: Path, settings: Settings
) -> None:
    table = trips("green", JANUARY, rows=2)
    extra: dict[str, Any] = {
        "surge rate, %": [1.5, None],
        'so-called "zone"': ["a", "b"],
        "select": [True, False],
        "Größe": [1, 2],
        "stops": [[1, 2], []],
        "route": [{"lat": 1.0, "via": ["x"]}, None],
        "_dlt_id": ["x", "y"],
    }
    for name, values in extra.items():
        table = with_column(table, name, values)
    table = with_column(table, "nothing", [None, None], pa.null())
    # dlt has no name for this type, and Parquet holds it as a number
    table = with_column(table, "wait", [5, 7], pa.duration("s"))
    publish(published, "green", JANUARY, table)
    report = landed_and_loaded(settings)
    assert report.failed == {}
    with opened(settings) as connection:
        raw = connection.sql(f"from raw.{report.loaded[0].table_name} order by rowid")
        assert raw.columns == table.column_names
        found = dict(zip(raw.columns, zip(*raw.fetchall(), strict=True), strict=True))
    for name, values in extra.items():
        assert list(found[name]) == values
    assert found["wait"] == (5, 7)
    assert shown_months(settings) == {report.loaded[0].file_id[:8]: 2}


@pytest.mark.parametrize("names", [["rowid"], ["source_month", "file_key", "row_ordinal"]])
def test_columns_that_bear_our_own_names_disturb_nothing(
    names: list[str], published: Path, settings: Settings
) -> None:
    table = trips("green", JANUARY, rows=3)
    for name in names:
        table = with_column(table, name, [7, 7, 7])
    publish(published, "green", JANUARY, table)
    (version,) = landed_and_loaded(settings).loaded
    assert rows(
        settings, "select source_month, file_key, row_ordinal from tlc.green_tripdata order by all"
    ) == [(JANUARY, version.file_key, n) for n in range(3)]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(
            b"\xef\xbb\xbf" + ZONES.replace(b"\r\n", b"\n") + b"\n",
            id="byte-order-mark-unix-lines-blank-last-line",
        ),
        pytest.param(
            ZONES.replace(b'"LocationID"', b'" locationid "').replace(b"k A", b"k\nA"),
            id="padded-header-line-break-in-a-value",
        ),
    ],
)
def test_csv_in_other_usual_shapes_is_read_alike(
    content: bytes, published: Path, settings: Settings
) -> None:
    publish(published, "taxi_zone_lookup", None, content)
    assert landed_and_loaded(settings).failed == {}
    newark = "Newark\nAirport" if b"Newark\nAirport" in content else "Newark Airport"
    assert rows(
        settings, "select * exclude (file_key) from tlc.taxi_zone_lookup order by row_ordinal"
    ) == [
        (None, 0, "1", "EWR", newark, "EWR"),
        (None, 1, "2", "Queens", "Jamaica Bay", "Boro Zone"),
        (None, 2, "128", "Manhattan", 'Inwood Hill Park, "North"', "Boro Zone"),
        (None, 3, "264", "Unknown", "N/A", "N/A"),
    ]


def test_a_column_that_a_month_lacks_is_null_there(published: Path, settings: Settings) -> None:
    publish(published, "green", date(2024, 12, 1), trips("green", date(2024, 12, 1), rows=3))
    publish(published, "green", date(2025, 1, 1), trips("green", date(2025, 1, 1), rows=4))
    landed_and_loaded(settings)
    assert rows(
        settings,
        "select source_month, count(*), count(cbd_congestion_fee), count(request_source)"
        " from tlc.green_tripdata group by all order by all",
    ) == [(date(2024, 12, 1), 3, 0, 0), (date(2025, 1, 1), 4, 4, 0)]


def test_all_eras_are_read_together(published: Path, settings: Settings) -> None:
    for dataset in TRIP_DATASETS:
        for era in dataset.eras:
            publish(published, dataset.name, era.since, trips(dataset.name, era.since, rows=3))
    landed_and_loaded(settings)
    for dataset in TRIP_DATASETS:
        found = rows(
            settings, f"select source_month, count(*) from tlc.{dataset.view} group by all"
        )
        assert sorted(found) == [(era.since, 3) for era in dataset.eras]


def test_a_view_over_no_version_has_columns_and_no_rows(settings: Settings) -> None:
    assert load(settings) == LoadReport()
    for dataset in TABLES:
        names = [name for name, *_ in rows(settings, f"describe tlc.{dataset.view}")]
        assert names == [*ORIGIN, *dataset.read_schema]
        assert rows(settings, f"from tlc.{dataset.view}") == []
