"""Loading: raw tables that equal their files, evidence of it, views that change nothing."""

import csv
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.catalog import Catalog
from ingestion.datasets import DATASETS, TRIP_DATASETS
from ingestion.errors import MedallionError, WarehouseBusyError
from ingestion.lake import LandReport, land
from ingestion.read_views import ORIGIN
from ingestion.settings import Settings, local_path
from ingestion.warehouse import LoadReport, load
from tests.conftest import settings_in
from tests.support import processes
from tests.support.lakes import lake_file
from tests.support.trips import ZONES, publish, trips, with_column

MakeSettings = Callable[..., Settings]
RealLake = tuple[Settings, LandReport]
RealWarehouse = tuple[Settings, LoadReport]

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
TYPES = {"bigint": "BIGINT", "double": "DOUBLE", "text": "VARCHAR", "timestamp": "TIMESTAMP"}


@pytest.fixture
def settings(published: Path, make_settings: MakeSettings) -> Settings:
    return make_settings()


@contextmanager
def opened(settings: Settings) -> Iterator[duckdb.DuckDBPyConnection]:
    """The warehouse, to be looked at."""
    with duckdb.connect(settings.duckdb_path, read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with opened(settings) as connection:
        return connection.sql(sql).fetchall()


def contents(settings: Settings) -> dict[str, list[tuple[Any, ...]]]:
    """All that a warehouse holds of files, but for when it was loaded and dlt's own tables."""
    with opened(settings) as connection:

        def all_of(sql: str) -> list[tuple[Any, ...]]:
            return connection.sql(sql).fetchall()

        tables = all_of(
            "select table_schema || '.' || table_name from information_schema.tables"
            " where table_schema in ('raw', 'tlc') and table_name not like '\\_dlt%' escape '\\'"
        )
        found = {}
        for (table,) in tables:
            if table == "raw.files":
                found[table] = all_of(
                    "select * exclude (loaded_at), loaded_at is null from raw.files"
                    " order by table_name"
                )
            elif table.startswith("raw."):
                found[table] = all_of(f"select rowid, * from {table} order by rowid")
            else:
                found[table] = all_of(f"from {table} order by source_month, row_ordinal")
        return found


def first_difference(left: list[Any], right: list[Any]) -> Any:
    """The first pair that differs, if any: pytest would compare all the lines of both."""
    return next((pair for pair in zip_longest(left, right) if pair[0] != pair[1]), None)


def differences(
    left: dict[str, list[tuple[Any, ...]]], right: dict[str, list[tuple[Any, ...]]]
) -> dict[str, Any]:
    """The tables that differ between two warehouses, with the first pair of rows that does."""
    found = {t: first_difference(left.get(t, []), right.get(t, [])) for t in left | right}
    return {table: pair for table, pair in found.items() if pair}


def shown_months(settings: Settings, view: str = "green_tripdata") -> dict[str, int]:
    """How many rows each version has in a read view, by the first 8 digits of its sha256."""
    counted = rows(settings, f"select file_key, count(*) from tlc.{view} group by all")
    return {f"{key:015x}"[:8]: count for key, count in counted}


def landed_and_loaded(settings: Settings) -> LoadReport:
    land(settings)
    return load(settings)


# --- raw: TLC's own files ------------------------------------------------------------------------


def test_every_real_file_is_loaded(real_lake: RealLake, real_warehouse: RealWarehouse) -> None:
    settings, report = real_warehouse
    assert report.failed == {}
    assert len(report.loaded) == len(real_lake[1].files) >= 52
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


def test_every_real_version_has_its_evidence(
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
    landed = {x.table_name: x for x in Catalog(settings.lake_url).current()}
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


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=lambda d: d.name)
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
    assert landed_and_loaded(settings) == LoadReport()
    for dataset in DATASETS.values():
        names = [name for name, *_ in rows(settings, f"describe tlc.{dataset.view}")]
        assert names == [*ORIGIN, *dataset.read_schema]
        assert rows(settings, f"from tlc.{dataset.view}") == []


# --- once ----------------------------------------------------------------------------------------


@pytest.fixture
def loaded(published: Path, settings: Settings) -> LoadReport:
    """Two green months, landed and loaded."""
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    return landed_and_loaded(settings)


def _look_on(settings: Settings, read_only: bool, holding: Any, enough: Any) -> None:
    with duckdb.connect(settings.duckdb_path, read_only=read_only):
        holding.set()
        enough.wait(processes.PATIENCE_SECONDS)


@contextmanager
def held_by_another(settings: Settings, read_only: bool = False) -> Iterator[int]:
    """While another process has the warehouse open; gives its id."""
    holding, enough = processes.event(), processes.event()
    process = processes.start(_look_on, settings, read_only, holding, enough)
    assert holding.wait(processes.PATIENCE_SECONDS)
    try:
        yield process.pid
    finally:
        enough.set()
        process.join(processes.PATIENCE_SECONDS)


def test_a_second_load_does_nothing_and_disturbs_nobody(
    loaded: LoadReport, settings: Settings
) -> None:
    assert len(loaded.loaded) == 2
    before = hashlib.sha256(settings.duckdb_path.read_bytes()).hexdigest()
    with held_by_another(settings, read_only=True):
        assert load(settings) == LoadReport()
    assert hashlib.sha256(settings.duckdb_path.read_bytes()).hexdigest() == before


def test_only_what_is_missing_is_loaded(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    when = dict(rows(settings, "select table_name, loaded_at from raw.files"))
    publish(published, "green", MARCH, trips("green", MARCH))
    report = landed_and_loaded(settings)
    assert [v.name for v in report.loaded] == ["green 2024-03"]
    after = dict(rows(settings, "select table_name, loaded_at from raw.files"))
    assert {name: after[name] for name in when} == when
    assert len(after) == len(when) + 1


def test_a_raw_table_that_somebody_dropped_is_loaded_again(
    loaded: LoadReport, settings: Settings
) -> None:
    before = contents(settings)
    with duckdb.connect(settings.duckdb_path) as connection:
        connection.execute(f"drop table raw.{loaded.loaded[0].table_name}")
    assert [v.name for v in load(settings).loaded] == ["green 2024-01"]
    assert differences(before, contents(settings)) == {}
    assert load(settings) == LoadReport()


def test_datasets_and_months_narrow_what_is_loaded(published: Path, settings: Settings) -> None:
    for dataset in ("green", "yellow"):
        for month in (JANUARY, FEBRUARY, MARCH):
            publish(published, dataset, month, trips(dataset, month))
    publish(published, "taxi_zone_lookup", None, ZONES)
    land(settings)

    def names(*args: Any) -> list[str]:
        return [v.name for v in load(settings, *args).loaded]

    assert names(["green"], FEBRUARY, FEBRUARY) == ["green 2024-02", "taxi_zone_lookup"]
    assert names(["green"], None, FEBRUARY) == ["green 2024-01"]
    assert names([], MARCH) == ["green 2024-03", "yellow 2024-03"]
    assert names() == ["yellow 2024-01", "yellow 2024-02"]
    assert len(shown_months(settings)) == len(shown_months(settings, "yellow_tripdata")) == 3


# --- versions ------------------------------------------------------------------------------------


def test_a_republication_takes_its_place_and_the_old_stays_in_raw(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = shown_months(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    (version,) = landed_and_loaded(settings).loaded
    old, kept = (x.file_id[:8] for x in loaded.loaded)
    assert shown_months(settings) == {version.file_id[:8]: 7, kept: before[kept]}
    assert rows(
        settings,
        "select left(file_id, 8), is_current from raw.files where month = '2024-01-01'"
        " order by landed_at",
    ) == [(old, False), (version.file_id[:8], True)]
    assert rows(settings, f"select count(*) from raw.green_tripdata_2024_01__{old}") == [(20,)]


def test_a_version_that_comes_back_is_shown_again_without_a_load(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = contents(settings)
    original = (published / "trip-data/green_tripdata_2024-01.parquet").read_bytes()
    publish(published, "green", JANUARY, trips("green", JANUARY, seed=1))
    landed_and_loaded(settings)
    publish(published, "green", JANUARY, original)
    assert landed_and_loaded(settings) == LoadReport()
    after = contents(settings)
    assert "tlc.green_tripdata" not in differences(before, after)
    assert rows(
        settings, "select is_current from raw.files where month = '2024-01-01' order by landed_at"
    ) == [(True,), (False,)]


def test_what_a_lake_from_a_backup_knows_nothing_of_is_shown_no_more(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = shown_months(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    (version,) = landed_and_loaded(settings).loaded
    lake = local_path(settings.lake_url)
    assert lake is not None
    max((lake / "catalog" / "green" / "2024-01").iterdir()).unlink()
    assert load(settings) == LoadReport()
    assert shown_months(settings) == before
    assert rows(settings, "select table_name from raw.files where not is_current") == [
        (version.table_name,)
    ]


def test_a_new_address_of_the_same_content_is_noted_without_a_load(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    path = published / "trip-data/green_tripdata_2024-01.parquet"
    os.utime(path, ns=(0, 1_700_000_000_000_000_000))
    assert landed_and_loaded(settings) == LoadReport()
    assert rows(
        settings, "select epoch(last_modified) from raw.files where month = '2024-01-01'"
    ) == [(1_700_000_000,)]
    assert landed_and_loaded(settings) == LoadReport()


def test_what_is_quarantined_is_said_and_not_loaded(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = shown_months(settings)
    publish(published, "green", JANUARY, b"broken")
    publish(published, "green", MARCH, b"broken too")
    assert landed_and_loaded(settings).loaded == []
    assert shown_months(settings) == before
    assert rows(
        settings,
        "select month, row_count, loaded_at, is_current, error like 'not a readable Parquet%'"
        " from raw.files where status = 'quarantined' order by month",
    ) == [(JANUARY, None, None, False, True), (MARCH, None, None, False, True)]
    before = contents(settings)
    assert landed_and_loaded(settings) == LoadReport()
    assert differences(before, contents(settings)) == {}


def test_as_of_a_day_is_what_had_been_landed_then(published: Path, settings: Settings) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    (landing,) = (f.landing for f in land(settings).files)
    yesterday = landing.landed_at - timedelta(days=1)
    (record,) = (Path(settings.lake_url.removeprefix("file://")) / "catalog").rglob("*.json")
    said = json.loads(record.read_text()) | {"landed_at": yesterday.isoformat()}
    record.write_text(json.dumps(said))
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=9, seed=1))
    publish(published, "green", FEBRUARY, b"broken")
    land(settings)

    then = settings.as_of(yesterday.date())
    (version,) = load(then, as_of=yesterday.date()).loaded
    assert version.file_id == landing.file_id
    assert list(shown_months(then).values()) == [5]
    # nor does it know of the file that was quarantined since
    assert rows(then, "select status, is_current from raw.files") == [("loaded", True)]
    assert load(then, as_of=yesterday.date()) == LoadReport()
    before = settings.as_of(yesterday.date() - timedelta(days=1))
    assert load(before, as_of=yesterday.date() - timedelta(days=1)).loaded == []
    assert shown_months(before) == {}
    load(settings)
    assert list(shown_months(settings).values()) == [9]


def test_from_the_lake_alone_all_is_as_it_was(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    publish(published, "green", MARCH, b"broken")
    publish(published, "yellow", JANUARY, trips("yellow", JANUARY))
    landed_and_loaded(settings)
    before = contents(settings)
    settings.duckdb_path.unlink()
    for path in published.rglob("*.*"):
        path.unlink()
    assert len(load(settings).loaded) == 3
    assert differences(before, contents(settings)) == {}


def test_from_the_lake_alone_a_version_came_when_it_first_came(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    os.utime(published / "trip-data/green_tripdata_2024-01.parquet", ns=(0, 10**18))
    landed_and_loaded(settings)
    before = contents(settings)
    settings.duckdb_path.unlink()
    load(settings)
    assert differences(before, contents(settings)) == {}


# --- faults --------------------------------------------------------------------------------------


def _zeroed(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _of_other_rows(path: Path) -> None:
    path.unlink()
    pq.write_table(trips("green", JANUARY, rows=19), path)


HARMS: list[Callable[[Path], None]] = [_zeroed, _cut_short, _of_other_rows, Path.unlink]


def test_versions_that_cannot_be_loaded_are_reported_and_the_rest_is_loaded(
    published: Path, settings: Settings
) -> None:
    months = [date(2024, n, 1) for n in range(1, len(HARMS) + 2)]
    for month in months:
        publish(published, "green", month, trips("green", month))
    *harmed, sound = (f.landing for f in land(settings).files)
    whole = {x: lake_file(settings, x).read_bytes() for x in harmed}
    for harm, landing in zip(HARMS, harmed, strict=True):
        harm(lake_file(settings, landing))
    report = load(settings)
    assert report.failed.keys() == {x.table_name for x in harmed}
    assert all(error and "\n" not in error for error in report.failed.values())
    assert [v.table_name for v in report.loaded] == [sound.table_name]
    assert shown_months(settings) == {sound.file_id[:8]: 20}
    assert rows(settings, "select table_name from raw.files") == [(sound.table_name,)]
    # they are tried again, and mended with the lake
    for landing, content in whole.items():
        lake_file(settings, landing).write_bytes(content)
    assert {v.table_name for v in load(settings).loaded} == {x.table_name for x in harmed}
    assert len(shown_months(settings)) == len(months)


def test_while_a_republication_cannot_be_loaded_the_old_version_is_shown(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = shown_months(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    (landing, *_) = (f.landing for f in land(settings).files)
    _zeroed(lake_file(settings, landing))
    assert load(settings).failed.keys() == {landing.table_name}
    assert shown_months(settings) == before
    assert rows(settings, "select count(*) from raw.files where is_current") == [(2,)]


def test_a_warehouse_that_another_process_holds_is_busy(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    publish(published, "green", MARCH, trips("green", MARCH))
    land(settings)
    for read_only in (False, True):
        with (
            held_by_another(settings, read_only) as pid,
            pytest.raises(WarehouseBusyError) as fault,
        ):
            load(settings)
        assert str(settings.duckdb_path) in str(fault.value)
        assert f"PID {pid}" in str(fault.value)
        assert "\n" not in str(fault.value)
    assert len(load(settings).loaded) == 1


def test_a_warehouse_that_is_none_is_a_fault(
    settings: Settings, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings.duckdb_path.write_bytes(b"not a database" * 1000)
    with pytest.raises(MedallionError, match=r"Cannot open the warehouse .*warehouse.duckdb"):
        load(settings)
    (tmp_path / "a file").touch()
    below = make_settings(duckdb_path=tmp_path / "a file" / "w.duckdb")
    with pytest.raises(MedallionError, match=r"Cannot write the warehouse .*w.duckdb"):
        load(below)


# --- side by side --------------------------------------------------------------------------------


def _load_in_a_container(settings: Settings, under_way: Any, go_on: Any) -> None:
    """Load as a process whose id says nothing to others, and wait in the middle of it."""
    os.getpid = lambda: 1 << 30

    def hook(name: str, values: tuple[object, ...]) -> None:
        if name == "os.rename" and not under_way.is_set() and "completed_jobs" in str(values):
            under_way.set()
            go_on.wait(processes.PATIENCE_SECONDS)

    sys.addaudithook(hook)
    assert load(settings).failed == {}


def test_containers_share_a_work_folder_and_what_a_killed_one_left_goes(
    published: Path, settings: Settings, make_settings: MakeSettings
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    beside = [make_settings(duckdb_path=settings.duckdb_path.with_name(f"{n}.db")) for n in "abc"]
    under_way, go_on = processes.event(), processes.event()
    live = processes.start(_load_in_a_container, beside[0], under_way, go_on)
    assert under_way.wait(processes.PATIENCE_SECONDS)
    in_use = set(settings.dlt_dir.iterdir())
    assert processes.killed_when("os.rename", "completed_jobs", load, beside[1])
    assert len(set(settings.dlt_dir.iterdir()) - in_use) == 1

    assert len(load(beside[2]).loaded) == 1
    assert set(settings.dlt_dir.iterdir()) == in_use
    go_on.set()
    live.join(processes.PATIENCE_SECONDS)
    assert live.exitcode == 0
    assert list(settings.dlt_dir.iterdir()) == []


def test_a_work_folder_that_cannot_be_made_is_a_fault(
    published: Path, settings: Settings, make_settings: MakeSettings, tmp_path: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    (tmp_path / "a file").touch()
    elsewhere = make_settings(work_dir=tmp_path / "a file" / "work")
    with pytest.raises(MedallionError, match=r"Cannot write to .*a file/work/dlt: Not a dir"):
        load(elsewhere)


# --- kill -9 -------------------------------------------------------------------------------------

JOB, LOAD = "ingestion/destinations/duckdb.py", "ingestion/warehouse.py"


def publish_for_a_kill(folder: Path) -> None:
    for month in (JANUARY, FEBRUARY):
        publish(folder, "green", month, trips("green", month))
    publish(folder, "green", MARCH, b"broken")


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many lines of each file a load of it executes that nobody kills."""
    folder = tmp_path_factory.mktemp("lines")
    publish_for_a_kill(folder / "published")
    settings = settings_in(folder)
    land(settings)
    return processes.lines_executed((JOB, LOAD), load, settings)


def assert_evidence_holds(settings: Settings) -> None:
    """Every version that ``raw.files`` speaks of is there, with as many rows as it says."""
    with duckdb.connect(settings.duckdb_path) as connection:  # to write: it replays what was cut
        begun = connection.sql("select 1 from duckdb_tables() where table_name = 'files'")
        if not begun.fetchall():
            return
        files = connection.sql(
            "select table_name, row_count from raw.files where status = 'loaded'"
        )
        for table, row_count in files.fetchall():
            assert connection.sql(f"select count(*) from raw.{table}").fetchone() == (row_count,)


@pytest.mark.parametrize(("file", "share"), [(JOB, 0.3), (JOB, 0.5), (JOB, 0.7), (LOAD, 0.6)])
def test_a_load_that_is_killed_is_done_by_the_next(
    file: str,
    share: float,
    lines: dict[str, int],
    published: Path,
    settings: Settings,
    make_settings: MakeSettings,
) -> None:
    publish_for_a_kill(published)
    land(settings)
    assert processes.killed_at_line(file, int(lines[file] * share), load, settings)
    assert_done_by_the_next_load(settings, make_settings)


def test_a_load_that_is_killed_before_dlt_notes_a_job_is_done_by_the_next(
    published: Path, settings: Settings, make_settings: MakeSettings
) -> None:
    publish_for_a_kill(published)
    land(settings)
    assert processes.killed_when("os.rename", "completed_jobs", load, settings)
    assert_done_by_the_next_load(settings, make_settings)


def assert_done_by_the_next_load(settings: Settings, make_settings: MakeSettings) -> None:
    assert_evidence_holds(settings)
    load(settings)
    unharmed = make_settings(duckdb_path=settings.duckdb_path.with_name("unharmed.duckdb"))
    load(unharmed)
    assert differences(contents(settings), contents(unharmed)) == {}
    assert load(settings) == LoadReport()
