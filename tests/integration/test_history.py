"""Versions: what changed from one to the next, by value, and what a warehouse knew on a day."""

from collections import Counter
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

from ingestion.lake.history import Version, compare
from ingestion.lake.row_diff import RowChanges
from ingestion.land import land
from ingestion.settings import Settings
from orchestration.cli.show_history import print_versions
from tests.support.lakes import lake_file
from tests.support.trips import ZONES, publish, trips, with_column

MakeSettings = Callable[..., Settings]

JANUARY = date(2024, 1, 1)
ROWS = 40


@pytest.fixture
def versions(published: Path, settings: Settings) -> Callable[..., list[Version]]:
    """Publish and land one content after another of a file; compare all of them."""

    def landed(
        *contents: pa.Table | bytes, dataset: str = "green", month: date | None = JANUARY
    ) -> list[Version]:
        for content in contents:
            publish(published, dataset, month, content)
            land(settings)
        return compare(settings, dataset, month)

    return landed


@pytest.fixture
def month() -> pa.Table:
    return trips("green", JANUARY, rows=ROWS)


def replaced(table: pa.Table, column: str, values: dict[int, Any]) -> pa.Table:
    """The table with other values in some rows of one column."""
    new = [values.get(i, v) for i, v in enumerate(table[column].to_pylist())]
    return with_column(table, column, new, table[column].type)


def real_versions(settings: Settings, published: Path, *files: Path) -> list[Version]:
    """Land real files of one month, one after another; compare them."""
    for file in files:
        path = published / "trip-data" / file.name
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(file.read_bytes())
        land(settings)
    _, _, month = files[0].name.partition(".")[0].partition("_tripdata_")
    return compare(settings, "green", date.fromisoformat(f"{month}-01"))


# --- TLC's own months, published again -----------------------------------------------------------


@pytest.mark.parametrize("name", ["2023-02", "2023-12", "2024-01"])
def test_a_real_month_written_anew_with_other_types_changes_no_row(
    name: str, real_data: Path, settings: Settings, published: Path
) -> None:
    file = f"green_tripdata_{name}.parquet"
    paths = [real_data / "trip-data" / file, real_data / "republished" / file]
    before, after = real_versions(settings, published, *paths)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=pq.read_metadata(paths[0]).num_rows)
    assert after.changes.types == {
        "store_and_fwd_flag": ("large_string", "string"),
        "RatecodeID": ("int64", "double"),
        "passenger_count": ("int64", "double"),
        "payment_type": ("int64", "double"),
        "trip_type": ("int64", "double"),
    }
    assert after.changes.sums == {}
    assert before.figures == after.figures
    assert (before.changes, before.is_current, after.is_current) == (None, False, True)


def test_a_real_restatement_says_which_column_changed_in_how_many_rows(
    real_data: Path, settings: Settings, published: Path
) -> None:
    """The CSV of 2020-04 as a Parquet file, and what TLC published of the month in 2022."""
    file = "green_tripdata_2020-04.parquet"
    paths = [real_data / "republished" / file, real_data / "trip-data" / file]
    before, after = real_versions(settings, published, *paths)
    # as pyarrow counts them
    old, new = (pq.read_table(path) for path in paths)
    filled = old["VendorID"].null_count
    assert (filled, new.num_rows - old.num_rows) == (11_110, 32)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(
        equal=old.num_rows - filled, added=32, changed=filled, by_column={"vendorid": filled}
    )
    for table, version in ((old, before), (new, after)):
        assert version.figures is not None
        for name in ("trip_distance", "total_amount", "tip_amount"):
            assert version.figures.sums[name] == round(pc.sum(table[name]).as_py(), 2)
        assert version.figures.first_pickup == datetime(2009, 1, 1, 0, 3, 41)
        assert version.figures.last_pickup == datetime(2020, 4, 30, 23, 59)


def test_a_real_month_as_csv_is_restated_by_its_parquet_edition(
    real_data: Path, settings: Settings, published: Path
) -> None:
    paths = [
        real_data / "trip-data-csv" / "green_tripdata_2020-08.csv.gz",
        real_data / "trip-data" / "green_tripdata_2020-08.parquet",
    ]
    _, after = real_versions(settings, published, *paths)
    # as pyarrow counts them
    old, new = csv.read_csv(paths[0]), pq.read_table(paths[1])
    filled = old["VendorID"].null_count
    assert (filled, new.num_rows) == (34_328, old.num_rows)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(
        equal=old.num_rows - filled, changed=filled, by_column={"vendorid": filled}
    )


# --- rows ----------------------------------------------------------------------------------------


def test_rows_are_added_removed_and_changed(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    restated = replaced(month, "tip_amount", {0: 1000.0, 1: 1001.0})
    restated = replaced(restated, "passenger_count", {1: None})
    restated = pa.concat_tables([restated.slice(0, ROWS - 3), trips("green", JANUARY, 5, seed=9)])
    _, after = versions(month, restated)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(
        equal=ROWS - 5,
        added=5,
        removed=3,
        changed=2,
        by_column={"passenger_count": 1, "tip_amount": 2},
    )
    # the same, counted by hand
    rows = [Counter(map(str, table.to_pylist())) for table in (month, restated)]
    assert (rows[1] - rows[0]).total() == 5 + 2
    assert (rows[0] - rows[1]).total() == 3 + 2
    difference = sum(restated["tip_amount"].to_pylist()) - sum(month["tip_amount"].to_pylist())
    assert after.changes.sums["tip_amount"] == round(difference, 2)


def test_another_order_of_rows_and_columns_is_no_change(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    shuffled = month.take(list(reversed(range(ROWS)))).select(sorted(month.column_names))
    _, after = versions(month, shuffled)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=ROWS)
    assert (after.changes.types, after.changes.sums) == ({}, {})


def test_a_row_that_is_there_twice_is_counted_twice(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    thrice = pa.concat_tables([month, month.slice(0, 1), month.slice(0, 1)])
    once, after, back = versions(month, thrice, month.slice(0, ROWS - 1))
    assert once.figures is not None
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=ROWS, added=2)
    assert back.changes is not None
    assert back.changes.rows == RowChanges(equal=ROWS - 1, removed=3)


def test_a_refund_is_paired_with_the_refund_and_not_with_its_charge(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    refunds = month
    for name in ("fare_amount", "total_amount"):
        refunds = with_column(refunds, name, pc.negate(month[name]).combine_chunks())
    both = pa.concat_tables([month, refunds])
    restated = replaced(both, "VendorID", {i: 200 + i % 7 for i in range(2 * ROWS)})
    _, after = versions(both, restated)
    assert after.changes is not None
    assert after.changes.rows is not None
    assert after.changes.rows.by_column.keys() == {"vendorid"}
    assert after.changes.rows.equal + after.changes.rows.changed == 2 * ROWS


def test_nulls_and_odd_numbers_are_values_like_others(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    odd = replaced(month, "trip_distance", {0: None, 1: float("nan"), 2: -0.0})
    _, same = versions(odd, replaced(odd.slice(0), "VendorID", {}).select(month.column_names[::-1]))
    assert same.changes is not None
    assert same.changes.rows == RowChanges(equal=ROWS)
    *_, after = versions(replaced(odd, "trip_distance", {0: 0.0}))
    assert after.changes is not None
    assert after.changes.rows == RowChanges(
        equal=ROWS - 1, changed=1, by_column={"trip_distance": 1}
    )


# --- columns -------------------------------------------------------------------------------------


def test_columns_come_and_go_and_are_spelled_otherwise(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    renamed = [{"VendorID": "vendorid"}.get(n, n) for n in month.column_names]
    other = month.rename_columns(renamed).drop_columns(["ehail_fee"])
    other = with_column(other, "cbd_congestion_fee", [0.75] * ROWS)
    _, after = versions(month, other)
    assert after.changes is not None
    assert after.changes.columns_new == ["cbd_congestion_fee"]
    assert after.changes.columns_gone == ["ehail_fee"]
    assert after.changes.columns_renamed == {"VendorID": "vendorid"}
    assert after.changes.rows == RowChanges(equal=ROWS)
    assert after.figures is not None
    assert after.figures.sums["cbd_congestion_fee"] == 0.75 * ROWS


def test_a_column_that_nobody_knows_is_compared_too(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    before = with_column(month, "rowid", list(range(ROWS)), pa.int32())
    before = with_column(before, 'a "new" one', [{"x": i} for i in range(ROWS)])
    after = with_column(before, "rowid", [float(i) for i in range(1, ROWS)] + [0.5])
    _, found = versions(before, after)
    assert found.changes is not None
    assert found.changes.types == {"rowid": ("int32", "double")}
    assert found.changes.rows == RowChanges(changed=ROWS, by_column={"rowid": ROWS})


@pytest.mark.parametrize("dataset", ["yellow", "fhv", "fhvhv"])
def test_every_service_is_compared(
    dataset: str, versions: Callable[..., list[Version]], published: Path
) -> None:
    month = trips(dataset, JANUARY, rows=ROWS)
    flag = {"yellow": "payment_type", "fhv": "SR_Flag", "fhvhv": "wav_match_flag"}[dataset]
    other = "9" if isinstance(month[flag][0].as_py(), str) else 9999
    _, after = versions(month, replaced(month, flag, {3: other}), dataset=dataset)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=ROWS - 1, changed=1, by_column={flag.lower(): 1})
    assert after.figures is not None
    assert after.figures.first_pickup is not None
    assert bool(after.figures.sums) == (dataset != "fhv")


def test_the_years_whose_times_are_text_have_pickups(
    versions: Callable[..., list[Version]],
) -> None:
    month = date(2009, 3, 1)
    (version,) = versions(trips("yellow", month), dataset="yellow", month=month)
    assert version.figures is not None
    assert version.figures.first_pickup is not None
    assert version.figures.first_pickup.month == 3


# --- reference files -----------------------------------------------------------------------------


def test_zones_are_compared_by_their_number(versions: Callable[..., list[Version]]) -> None:
    restated = ZONES.replace(b'264,"Unknown","N/A"', b'264,"Unknown","NV"') + b'265,"","","N/A"\r\n'
    _, after = versions(ZONES, restated, dataset="taxi_zone_lookup", month=None)
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=3, added=1, changed=1, by_column={"zone": 1})
    assert after.figures is not None
    assert after.figures.sums == {}


def test_the_real_reports_of_two_years_are_compared(
    real_data: Path, versions: Callable[..., list[Version]]
) -> None:
    older = (real_data / "misc" / "older" / "data_reports_monthly_to_2024-01.csv").read_bytes()
    newer = (real_data / "misc" / "data_reports_monthly.csv").read_bytes()
    _, after = versions(older, newer, dataset="tlc_monthly_report", month=None)
    assert after.changes is not None
    assert after.changes.rows is not None
    rows = after.changes.rows
    assert (rows.equal + rows.changed + rows.removed, rows.removed) == (731, 0)
    assert rows.equal + rows.changed + rows.added == 812


# --- what cannot be compared ---------------------------------------------------------------------


def test_what_is_in_quarantine_has_its_reason_and_is_passed_over(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    first, broken, last = versions(month, b"<html>no</html>", replaced(month, "extra", {0: 77.0}))
    assert broken.version.error is not None
    assert "HTML error page" in broken.version.error
    assert (broken.figures, broken.changes, broken.is_current) == (None, None, False)
    assert last.changes is not None
    assert last.changes.since == first.version.file_id
    assert last.changes.rows == RowChanges(equal=ROWS - 1, changed=1, by_column={"extra": 1})


@pytest.mark.parametrize("damage", ["gone", "cut short"])
def test_a_damaged_object_is_named_with_what_to_do_and_the_others_are_shown(
    damage: str, versions: Callable[..., list[Version]], settings: Settings, month: pa.Table
) -> None:
    contents = [replaced(month, "extra", {0: 77.0 + i}) for i in range(3)]
    _, second, _ = versions(*contents)
    path = lake_file(settings, second.version)
    path.write_bytes(path.read_bytes()[:-100]) if damage == "cut short" else path.unlink()
    first, second, third = compare(settings, "green", JANUARY)
    assert (first.fault, third.fault) == (None, None)
    assert second.fault is not None
    assert second.version.lake_path in second.fault
    assert "Restore it" in second.fault
    assert "\n" not in second.fault
    assert first.figures is not None
    assert third.figures is not None
    assert third.changes is not None
    assert third.changes.rows is None
    assert list(settings.work_dir.glob("compare-*")) == []


def test_a_content_that_came_back_is_in_use_again(
    versions: Callable[..., list[Version]], month: pa.Table
) -> None:
    first, second = versions(month, month.slice(1), month)
    assert (first.is_current, second.is_current) == (True, False)


def test_a_lake_in_a_folder_with_an_odd_name_is_read(
    published: Path, tmp_path: Path, make_settings: MakeSettings, month: pa.Table
) -> None:
    settings = make_settings(lake_url=str(tmp_path / "it's #1 [lake] *"))
    for content in (month, month.slice(1)):
        publish(published, "green", JANUARY, content)
        land(settings)
    _, after = compare(settings, "green", JANUARY)
    assert after.fault is None
    assert after.changes is not None
    assert after.changes.rows == RowChanges(equal=ROWS - 1, removed=1)


def test_little_memory_is_enough(published: Path, make_settings: MakeSettings) -> None:
    settings = make_settings(duckdb_memory_limit="150MB")
    month = trips("green", JANUARY, rows=300_000)
    for content in (month, with_column(month, "extra", [0.5] * 300_000)):
        publish(published, "green", JANUARY, content)
        land(settings)
    _, after = compare(settings, "green", JANUARY)
    assert after.changes is not None
    assert after.changes.rows is not None
    assert after.changes.rows.changed + after.changes.rows.equal == 300_000
    assert after.changes.rows.by_column.keys() == {"extra"}


# --- as people see it ----------------------------------------------------------------------------


def test_the_table_says_what_changed_in_a_hundred_columns(
    versions: Callable[..., list[Version]],
    month: pa.Table,
    capsys: pytest.CaptureFixture[str],
) -> None:
    restated = replaced(month, "tip_amount", {0: 1000.0}).drop_columns(["ehail_fee"])
    for name in ("VendorID", "PULocationID", "DOLocationID", "passenger_count", "trip_type"):
        restated = with_column(restated, name, restated[name].cast(pa.float64()).combine_chunks())
    found = versions(month, b"<html>no</html>", restated, restated.slice(1))
    capsys.readouterr()
    print_versions("green 2024-01", found)
    text = capsys.readouterr().out
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 100
    short = [v.version.file_id[:8] for v in found]
    assert lines[0] == "green 2024-01: 4 versions"
    assert f"{short[1]} is in quarantine: not a readable Parquet file:" in text
    assert f"{short[2]} changed, of {short[0]}:" in lines
    assert "  rows     0 added, 0 removed, 1 changed, 39 equal" in lines
    assert "           changed: tip_amount in 1" in lines
    assert "  columns  ehail_fee is gone" in lines
    assert "  types    3 changed: VendorID int32 -> double," in text
    assert "  rows     0 added, 1 removed, 0 changed, 39 equal" in lines
    assert "  types    the same" in lines
