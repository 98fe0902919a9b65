"""Whether a file is trusted, and the reason or the remarks that it gets."""

import datetime as dt
import re
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.errors import UntrustedFileError
from ingestion.formats.validate import Checked, check
from ingestion.schema_on_read import DUCKDB, Branch, month_sql, read_view_sql
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from tests.support.trips import ZONES, trip_files, trips, with_column

MONTH = date(2024, 1, 1)
GREEN = DATASETS["green"]
ZONE_LOOKUP = DATASETS["taxi_zone_lookup"]


def checked(tmp_path: Path, table: pa.Table, dataset: str = "green", **options: Any) -> Checked:
    """What the check says of a Parquet file with the rows of ``table``."""
    path = tmp_path / "file.parquet"
    pq.write_table(table, path, **options)
    return check(path, DATASETS[dataset], MONTH)


def checked_csv(tmp_path: Path, content: bytes) -> Checked:
    """What the check says of a zone lookup with these bytes."""
    path = tmp_path / "zones.csv"
    path.write_bytes(content)
    return check(path, ZONE_LOOKUP, None)


def view_rows(path: Path, columns: tuple[tuple[str, str], ...]) -> list[dict[str, Any]]:
    """The rows of a green file as the read view gives them."""
    with duckdb.connect() as connection:
        connection.execute("create schema tlc")
        relation = f"read_parquet('{path}', file_row_number = true)"
        branch = Branch(relation, month_sql(MONTH), "1", "file_row_number", columns)
        connection.execute(read_view_sql(GREEN, [branch], DUCKDB))
        return connection.sql("from tlc.green_tripdata").arrow().read_all().to_pylist()


# --- TLC's own files -----------------------------------------------------------------------------


def test_every_real_file_is_trusted_without_a_remark(real_data: Path) -> None:
    for name, month, path in trip_files(real_data):
        file = check(path, DATASETS[name], month)
        assert file.remarks == (), path.name
        assert file.row_count == pq.read_metadata(path).num_rows
        assert file.columns == tuple((f.name, str(f.type)) for f in pq.read_schema(path))


@pytest.mark.parametrize(
    ("dataset", "path", "rows"),
    [
        ("taxi_zone_lookup", "misc/taxi_zone_lookup.csv", 265),
        ("taxi_zone_lookup", "misc/older/taxi+_zone_lookup.csv", 265),
        ("taxi_zone_lookup", "republished/taxi_zone_lookup.csv", 265),
        ("tlc_monthly_report", "misc/data_reports_monthly.csv", 812),
        ("tlc_monthly_report", "misc/older/data_reports_monthly_to_2024-01.csv", 731),
        ("tlc_monthly_report", "misc/older/data_reports_monthly_to_2022-07.csv", 620),
    ],
)
def test_real_reference_files_are_trusted(
    dataset: str, path: str, rows: int, real_data: Path
) -> None:
    file = check(real_data / path, DATASETS[dataset], None)
    assert (file.row_count, file.remarks) == (rows, ())


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("yellow_tripdata_2024-01", "cut short, its footer is missing"),
        ("yellow_tripdata_2021-01", "cut short, its footer is missing"),
        ("green_tripdata_2025-02", "cut short, its footer is missing"),
        ("yellow_tripdata_2024-02", "an XML error page"),
        ("yellow_tripdata_2022-01", "an HTML error page"),
        ("yellow_tripdata_2019-01", "a Git LFS pointer"),
        ("green_tripdata_2022-01", "it has no column fare_amount, total_amount"),
    ],
)
def test_every_real_broken_file_is_distrusted_for_what_it_is(
    name: str, reason: str, real_data: Path
) -> None:
    dataset, _, month = name.partition("_tripdata_")
    with pytest.raises(UntrustedFileError, match=re.escape(reason)):
        check(
            real_data / f"bad/{name}.parquet",
            DATASETS[dataset],
            date.fromisoformat(f"{month}-01"),
        )


@pytest.mark.parametrize(
    "name", ["yellow_tripdata_2009-01.csv", "fhvhv_head.csv", "data_dictionary_trip_records_*.pdf"]
)
@pytest.mark.parametrize("dataset", ["yellow", "fhvhv", "taxi_zone_lookup", "tlc_monthly_report"])
def test_what_is_no_table_at_all_is_distrusted(name: str, dataset: str, real_data: Path) -> None:
    (path,) = (real_data / "bad").glob(name)
    with pytest.raises(UntrustedFileError):
        check(path, DATASETS[dataset], MONTH)


def test_an_altered_real_file_is_kept_with_remarks(real_data: Path) -> None:
    path = real_data / "bad" / "green_tripdata_2021-01.parquet"
    file = check(path, GREEN, date(2021, 1, 1))
    assert file.row_count == 73908
    assert file.remarks == (
        "column PULocationID is string, where int32 or int64 is known",
        "column DOLocationID is string, where int32 or int64 is known",
        "unknown column duration (double) is kept in raw and not read",
        "unknown column __index_level_0__ (int64) is kept in raw and not read",
    )


@pytest.mark.parametrize(
    ("month", "rows", "drifted"),
    [
        ("2020-04", 35612, {"VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime"}),
        ("2023-01", 68211, set()),
        ("2023-02", 64809, set()),
        ("2023-12", 64215, set()),
        ("2024-01", 56551, set()),
    ],
)
def test_real_republished_months_are_trusted_with_their_drift_remarked(
    month: str, rows: int, drifted: set[str], real_data: Path
) -> None:
    path = real_data / "republished" / f"green_tripdata_{month}.parquet"
    file = check(path, GREEN, date.fromisoformat(f"{month}-01"))
    assert file.row_count == rows
    assert {remark.split()[1] for remark in file.remarks} == drifted


# --- structure -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", TRIP_DATASETS, ids=lambda d: d.name)
def test_a_generated_month_of_every_era_is_trusted(dataset, tmp_path: Path) -> None:
    for era in dataset.eras:
        path = tmp_path / "file.parquet"
        pq.write_table(trips(dataset.name, era.since), path)
        file = check(path, dataset, era.since)
        assert (file.row_count, file.remarks) == (20, ())


def test_an_empty_file_is_distrusted(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    for dataset in DATASETS.values():
        with pytest.raises(UntrustedFileError, match=r"the file is empty \(0 bytes\)"):
            check(tmp_path / "empty", dataset, MONTH)


def test_a_file_without_rows_is_distrusted(tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError, match="the file has columns and no rows"):
        checked(tmp_path, trips("green", MONTH, rows=0))


@pytest.mark.parametrize("published", TRIP_DATASETS, ids=lambda d: f"of-{d.name}")
@pytest.mark.parametrize("named", TRIP_DATASETS, ids=lambda d: f"as-{d.name}")
def test_a_file_of_another_dataset_is_distrusted(named, published, tmp_path: Path) -> None:
    table = trips(published.name, MONTH)
    if named is published:
        assert checked(tmp_path, table, named.name)
    else:
        with pytest.raises(UntrustedFileError, match="it has no column "):
            checked(tmp_path, table, named.name)


def test_a_file_of_another_era_is_distrusted(tmp_path: Path) -> None:
    path = tmp_path / "file.parquet"
    pq.write_table(trips("yellow", date(2009, 1, 1)), path)
    with pytest.raises(UntrustedFileError, match="it has no column tpep_pickup_datetime"):
        check(path, DATASETS["yellow"], MONTH)


def test_columns_may_come_in_another_case_and_order(tmp_path: Path) -> None:
    table = trips("green", MONTH)
    names = table.column_names[::-1]
    shuffled = table.select(names).rename_columns([n.swapcase() for n in names])
    file = checked(tmp_path, shuffled)
    assert file.remarks == ()
    assert [name for name, _ in file.columns] == [n.swapcase() for n in names]


@pytest.mark.parametrize(
    ("twins", "reason"),
    [
        (["TRIP_DISTANCE"], "columns that differ only by case: trip_distance, TRIP_DISTANCE"),
        (["trip_distance"], "2 columns have the same name: trip_distance"),
        (["trip_distance "], "only by case or blanks: 'trip_distance', 'trip_distance '"),
        (["", " "], "2 columns have a blank name"),
    ],
)
def test_columns_that_engines_take_for_one_are_distrusted(
    twins: list[str], reason: str, tmp_path: Path
) -> None:
    table = trips("green", MONTH)
    for twin in twins:
        table = table.append_column(twin, table["trip_distance"])
    with pytest.raises(UntrustedFileError, match=reason):
        checked(tmp_path, table)


def test_unknown_columns_of_any_type_are_kept_and_remarked(tmp_path: Path) -> None:
    table = trips("green", MONTH, rows=2)
    table = with_column(table, "surge", [1.5, None])
    table = with_column(table, "stops", [[1, 2], []])
    table = with_column(table, "route", [{"lat": 1.0, "via": ["x"]}, None])
    table = with_column(table, "tags", [[("a", 1)], None], pa.map_(pa.string(), pa.int64()))
    file = checked(tmp_path, table)
    assert [remark.split(" (")[0] for remark in file.remarks[:4]] == [
        "unknown column surge",
        "unknown column stops",
        "unknown column route",
        "unknown column tags",
    ]
    assert [remark.partition(" is ")[0] for remark in file.remarks[4:]] == [
        "cannot be loaded into PostgreSQL: column route",
        "cannot be loaded into PostgreSQL: column tags",
    ]
    assert [name for name, _ in file.columns[-4:]] == ["surge", "stops", "route", "tags"]


def test_a_column_that_is_gone_is_remarked_unless_a_month_is_worthless_without(
    tmp_path: Path,
) -> None:
    table = trips("green", MONTH)
    assert checked(tmp_path, table.drop_columns(["ehail_fee", "VendorID"])).remarks == (
        "column VendorID is not there any more",
        "column ehail_fee is not there any more",
    )
    for column in GREEN.era(MONTH).columns:
        if column.required:
            with pytest.raises(UntrustedFileError, match=f"it has no column {column.name}$"):
                checked(tmp_path, table.drop_columns([column.name]))


def test_rows_are_the_transforms_to_judge(tmp_path: Path) -> None:
    table = trips("green", MONTH, rows=3)
    pickups = [dt.datetime(2008, 12, 31, 23), dt.datetime(2041, 1, 1), None]
    table = with_column(table, "lpep_pickup_datetime", pickups, pa.timestamp("us"))
    table = with_column(table, "VendorID", [None] * 3, pa.int32())
    table = with_column(table, "PULocationID", [-1, None, 9999], pa.int32())
    table = with_column(table, "fare_amount", [float("nan"), float("-inf"), 1e300])
    file = checked(tmp_path, table)
    assert (file.row_count, file.remarks) == (3, ())


def test_several_row_groups_are_counted_together(tmp_path: Path) -> None:
    file = checked(tmp_path, trips("green", MONTH, rows=1000), row_group_size=7)
    assert file.row_count == 1000


# --- types: (column, values, type in the file, what the read view must give) ---------------------

NOON = dt.datetime(2024, 1, 1, 12)
READABLE: list[Any] = [
    ("VendorID", [1, 2], pa.int8(), [1, 2]),
    ("VendorID", [1, 2], pa.uint64(), [1, 2]),
    ("VendorID", [1.0, None], pa.float64(), [1, None]),
    ("VendorID", [1.0, -2.0], pa.float32(), [1, -2]),
    ("VendorID", ["1", "-2"], pa.string(), [1, -2]),
    ("VendorID", [Decimal("1.00"), None], pa.decimal128(9, 2), [1, None]),
    ("VendorID", [None, None], pa.null(), [None, None]),
    ("VendorID", ["1", "2"], pa.dictionary(pa.int8(), pa.string()), [1, 2]),
    ("passenger_count", [1, 2**53], pa.int64(), [1.0, 2.0**53]),
    ("passenger_count", [1, 2], pa.uint64(), [1.0, 2.0]),
    ("fare_amount", [Decimal("12.10"), Decimal("-0.05")], pa.decimal128(10, 2), [12.1, -0.05]),
    ("fare_amount", ["12.10", "1e3"], pa.string(), [12.1, 1000.0]),
    ("fare_amount", [1.5, None], pa.float32(), [1.5, None]),
    ("store_and_fwd_flag", [1, 0], pa.int8(), ["1", "0"]),
    ("store_and_fwd_flag", [None, None], pa.null(), [None, None]),
    ("lpep_pickup_datetime", [NOON, None], pa.timestamp("ms"), [NOON, None]),
    ("lpep_pickup_datetime", [NOON, None], pa.timestamp("ns"), [NOON, None]),
    (
        "lpep_pickup_datetime",
        [NOON.date(), None],
        pa.date32(),
        [dt.datetime(2024, 1, 1), None],
    ),
    (
        "lpep_pickup_datetime",
        ["2024-01-01 12:00:00", "2024-01-01T12:00:00.000000"],
        pa.large_string(),
        [NOON, NOON],
    ),
    (
        "lpep_pickup_datetime",
        ["2024-01-01", "2024-01-01 00:00"],
        pa.string(),
        [dt.datetime(2024, 1, 1)] * 2,
    ),
]

CHANGED: list[Any] = [
    ("VendorID", [1.5], pa.float64(), "bigint"),
    ("VendorID", [float("nan")], pa.float64(), "bigint"),
    ("VendorID", [1e19], pa.float64(), "bigint"),
    ("VendorID", [2**63], pa.uint64(), "bigint"),
    ("VendorID", [Decimal("1.50")], pa.decimal128(9, 2), "bigint"),
    ("VendorID", ["B02764"], pa.string(), "bigint"),
    ("VendorID", [""], pa.string(), "bigint"),
    ("VendorID", [True], pa.bool_(), "bigint"),
    ("VendorID", [NOON], pa.timestamp("us"), "bigint"),
    ("VendorID", [[1]], pa.list_(pa.int64()), "bigint"),
    ("passenger_count", [2**53 + 1], pa.int64(), "double"),
    ("passenger_count", [2**63], pa.uint64(), "double"),
    ("fare_amount", ["$12.10"], pa.string(), "double"),
    ("fare_amount", ["1e400"], pa.string(), "double"),
    ("fare_amount", ["nan"], pa.dictionary(pa.int8(), pa.string()), "double"),
    ("VendorID", ["0x10"], pa.string(), "bigint"),
    ("lpep_pickup_datetime", ["9999-01-01 00:00:00"], pa.large_string(), "timestamp"),
    ("fare_amount", [b"12.10"], pa.binary(), "double"),
    ("store_and_fwd_flag", [["N"]], pa.list_(pa.string()), "text"),
    ("store_and_fwd_flag", [b"N"], pa.binary(), "text"),
    ("lpep_pickup_datetime", ["01/31/2024 12:00:00 AM"], pa.string(), "timestamp"),
    ("lpep_pickup_datetime", ["2024-02-30 00:00:00"], pa.string(), "timestamp"),
    ("lpep_pickup_datetime", ["2024-01-01 12:00:00+01:00"], pa.string(), "timestamp"),
    ("lpep_pickup_datetime", ["2024-01-01 12"], pa.string(), "timestamp"),
    ("lpep_pickup_datetime", [""], pa.string(), "timestamp"),
    ("lpep_pickup_datetime", [1704110400], pa.int64(), "timestamp"),
    ("lpep_pickup_datetime", [NOON], pa.timestamp("us", "UTC"), "timestamp"),
    ("lpep_pickup_datetime", [NOON], pa.timestamp("us", "America/New_York"), "timestamp"),
    ("lpep_pickup_datetime", [1704110400000000001], pa.timestamp("ns"), "timestamp"),
    ("lpep_pickup_datetime", [NOON.time()], pa.time64("us"), "timestamp"),
]


def _id(value: Any) -> str | None:
    return re.sub(r"\W+", "-", str(value)).strip("-") if isinstance(value, pa.DataType) else None


@pytest.mark.parametrize(("column", "values", "type_", "read"), READABLE, ids=_id)
def test_what_is_trusted_reads_with_no_value_changed(
    column: str, values: list[Any], type_: pa.DataType, read: list[Any], tmp_path: Path
) -> None:
    table = with_column(trips("green", MONTH, rows=len(values)), column, values, type_)
    file = checked(tmp_path, table)
    rows = view_rows(tmp_path / "file.parquet", file.columns)
    assert [row[column.lower()] for row in rows] == read


@pytest.mark.parametrize(("column", "values", "type_", "read_type"), CHANGED, ids=_id)
def test_a_value_that_could_not_be_read_unchanged_is_distrusted(
    column: str, values: list[Any], type_: pa.DataType, read_type: str, tmp_path: Path
) -> None:
    table = with_column(trips("green", MONTH, rows=len(values)), column, values, type_)
    with pytest.raises(UntrustedFileError, match=f"column {column} cannot be read as {read_type}:"):
        checked(tmp_path, table)


def test_a_bad_value_is_found_in_the_last_row_group(tmp_path: Path) -> None:
    values = [1.0] * 299 + [1.5]
    table = with_column(trips("green", MONTH, rows=300), "VendorID", values)
    with pytest.raises(UntrustedFileError, match="column VendorID cannot be read as bigint"):
        checked(tmp_path, table, row_group_size=50)


def test_timestamps_as_spark_and_impala_write_them_are_read(tmp_path: Path) -> None:
    table = with_column(
        trips("green", MONTH, rows=1), "lpep_pickup_datetime", [NOON], pa.timestamp("us")
    )
    file = checked(tmp_path, table, use_deprecated_int96_timestamps=True)
    assert dict(file.columns)["lpep_pickup_datetime"] == "timestamp[ns]"
    assert view_rows(tmp_path / "file.parquet", file.columns)[0]["lpep_pickup_datetime"] == NOON


# --- CSV -----------------------------------------------------------------------------------------


def test_csv_columns_are_text(tmp_path: Path) -> None:
    file = checked_csv(tmp_path, ZONES)
    assert file.row_count == 4
    assert file.columns == tuple(
        (name, "text") for name in ("LocationID", "Borough", "Zone", "service_zone")
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"\xef\xbb\xbf" + ZONES, id="byte-order-mark"),
        pytest.param(ZONES.replace(b"\r\n", b"\n"), id="unix-lines"),
        pytest.param(ZONES.removesuffix(b"\r\n"), id="no-last-newline"),
        pytest.param(ZONES + b"\r\n", id="blank-last-line"),
    ],
)
def test_csv_in_every_usual_shape_is_the_same(content: bytes, tmp_path: Path) -> None:
    assert checked_csv(tmp_path, content) == checked_csv(tmp_path, ZONES)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (ZONES + b'5,"Bronx"\r\n', "line 6 has 2 fields where those before it have 4"),
        (ZONES + b"5,a,b,c,d\r\n", "line 6 has 5 fields where those before it have 4"),
        (ZONES + b'5,"Bronx,x,y\r\n', "not a readable CSV file"),
        (ZONES + b'5,"Bro"nx,x,y\r\n', "not a readable CSV file"),
        (ZONES + "5,Zoë,x,y\r\n".encode("latin-1"), "not a readable CSV file"),
        (ZONES.decode().encode("utf-16"), "not a readable CSV file"),
        (ZONES.partition(b"\n")[2], "it has no column LocationID, Borough, Zone"),
        (ZONES.partition(b"\n")[0] + b"\n", "the file has a header and no rows"),
        (b"\r\n" + ZONES, "it has no header on line 1"),
        (ZONES.replace(b",", b";"), "not a readable CSV file"),
        (b"<!DOCTYPE html><html></html>", "it has no column LocationID, Borough, Zone"),
        (b"PAR1" + bytes(range(256)), "not a readable CSV file"),
    ],
    ids=lambda v: v.replace(" ", "-") if isinstance(v, str) else "",
)
def test_broken_csv_is_distrusted(content: bytes, reason: str, tmp_path: Path) -> None:
    with pytest.raises(UntrustedFileError, match=re.escape(reason)):
        checked_csv(tmp_path, content)


def test_an_unknown_csv_column_is_remarked(tmp_path: Path) -> None:
    lines = [line + b',"x"' for line in ZONES.splitlines()]
    lines[0] = lines[0].replace(b'"x"', b'"geometry"')
    assert checked_csv(tmp_path, b"\n".join(lines)).remarks == (
        "unknown column geometry (text) is kept in raw and not read",
    )
