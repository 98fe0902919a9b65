"""The sample is what it says: TLC's files in miniature, with every fault, the same every time."""

import csv
import time
from calendar import monthrange
from collections import Counter
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ingestion.formats.validate import check
from ingestion.settings import PROJECT_ROOT
from ingestion.sources.samples import publish_samples
from ingestion.sources.tlc.datasets import DATASETS, TRIP_DATASETS
from ingestion.sources.tlc.sample import MONTHS, RESTATED, publish_sample
from ingestion.sources.tlc.validate import REPORT_COLUMNS
from tests.support import processes

SEEDS = PROJECT_ROOT / "dbt_project" / "seeds"

FILES = [(d.name, month) for d in TRIP_DATASETS for month in MONTHS]
EACH_FILE = pytest.mark.parametrize(
    ("name", "month"), FILES, ids=[f"{name}-{month:%Y-%m}" for name, month in FILES]
)
TAXI = {
    "dropoff": "{prefix}_dropoff_datetime",
    "miles": "trip_distance",
    "total": "total_amount",
    "vendor": "VendorID",
    "fare": "fare_amount",
    "tolls": "tolls_amount",
}
AMOUNTS = {"fare": "null::double", "tolls": "null::double"}
NAMES = {
    "yellow": {k: v.format(prefix="tpep") for k, v in TAXI.items()}
    | {"pickup": "tpep_pickup_datetime"},
    "green": {k: v.format(prefix="lpep") for k, v in TAXI.items()}
    | {"pickup": "lpep_pickup_datetime"},
    "fhv": {"pickup": "pickup_datetime", "dropoff": "dropOff_datetime", "miles": "null::double"},
    "fhvhv": {
        "pickup": "pickup_datetime",
        "dropoff": "dropoff_datetime",
        "miles": "trip_miles",
        "seconds": "trip_time",
        "fare": "base_passenger_fare",
        "tolls": "tolls",
    },
}
# the rules that an FHV file has no columns for
NOT_IN_FHV = {"negative_distance", "impossible_speed"}
# the sample's high-volume trips are all as short as the city
NOT_IN_FHVHV = {"impossible_distance"}


def trips_path(folder: Path, name: str, month: date) -> Path:
    return folder / DATASETS[name].file_path(month)


def contents(folder: Path) -> dict[str, bytes]:
    """The published files; names that begin with a dot are none."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def of_declared_sources() -> dict[str, bytes]:
    """The samples that lie beside the declarations of sources."""
    folders = (PROJECT_ROOT / "ingestion" / "sources").glob("*/sample")
    return {
        name: content
        for folder in folders
        if (folder.parent / "source.toml").exists()
        for name, content in contents(folder).items()
    }


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    publish_sample(folder)
    return folder


@pytest.fixture(scope="module")
def republished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("republished")
    publish_sample(folder, republished=True)
    return folder


def reasons(path: Path, name: str, month: date) -> Counter[str | None]:
    """Count rows by the first rule that they fail, as seeds/invalid_reasons.csv has the rules."""
    names = {"total": "null::double", "vendor": "null", **AMOUNTS, **NAMES[name]}
    seconds = names.get("seconds", "date_diff('second', pickup, dropoff)")
    metered, taxi = name != "fhv", name in ("yellow", "green")
    most = "greatest(abs(fare), abs(tolls), abs(total))"
    columns = ", ".join(f'"{field.name}"' for field in pq.read_schema(path))
    query = f"""
        with trips as (
            select
                *, {names["pickup"]} as pickup, {names["dropoff"]} as dropoff,
                {names["miles"]} as miles, {names["total"]} as total, {seconds} as seconds,
                {names["fare"]} as fare, {names["tolls"]} as tolls,
                pulocationid as pu, dolocationid as "do"
            from read_parquet('{path}', file_row_number = true)
        ),
        compared as (
            select
                *,
                row_number() over (partition by {columns} order by file_row_number) as copy_number,
                count(*) filter (total < 0) over same as refunds,
                count(*) filter (total > 0) over same as charges,
                lag(total) over (order by file_row_number) as total_before
            from trips
            window same as (
                partition by {names["vendor"]}, pickup, dropoff, pu, "do", miles, abs(total)
            )
        )
        select
            case
                when pickup is null then 'missing_pickup_time'
                when date_trunc('month', pickup) <> date '{month}' then 'pickup_outside_month'
                when {metered} and dropoff is null then 'missing_dropoff_time'
                when dropoff < pickup then 'dropoff_before_pickup'
                when seconds > 86400 then 'duration_over_24h'
                when seconds = 0 and miles = 0 then 'no_time_no_distance'
                when
                    {metered}
                    and not (
                        coalesce(pu, 0) between 1 and 265 and coalesce("do", 0) between 1 and 265
                    )
                    then 'unknown_zone'
                when isinf({most}) or isnan({most}) then 'not_a_number'
                when miles < 0 then 'negative_distance'
                when {taxi} and miles > 300 then 'impossible_distance'
                when seconds >= 60 and miles * 3600 > 100 * seconds then 'impossible_speed'
                when total < 0 and charges > 0 then 'refund'
                when total > 0 and refunds > 0 and total_before = -total then 'refunded_charge'
                when total < 0 then 'negative_total'
                when total > 1000 then 'implausible_total'
                when {most} > 100000 then 'implausible_amount'
                when {metered} and copy_number > 1 then 'duplicate_row'
            end as reason,
            count(*)
        from compared
        group by reason
    """
    return Counter(dict(duckdb.sql(query).fetchall()))


def rules_of(name: str) -> set[str]:
    with (SEEDS / "invalid_reasons.csv").open(newline="") as file:
        rules = list(csv.DictReader(file))
    applied = {
        r["invalid_reason"]
        for r in rules
        if r["services"] == "all" or name in r["services"].replace(" from 2011", "").split(", ")
    }
    return applied - {"fhv": NOT_IN_FHV, "fhvhv": NOT_IN_FHVHV}.get(name, set())


def test_it_takes_a_few_seconds_at_most(tmp_path: Path) -> None:
    started = time.perf_counter()
    publish_sample(tmp_path)
    assert time.perf_counter() - started < 5


def test_two_calls_give_the_same_bytes(published: Path, tmp_path: Path) -> None:
    publish_sample(tmp_path)
    assert contents(tmp_path) == contents(published)


def test_every_file_of_four_datasets_and_three_references_is_there(published: Path) -> None:
    assert set(contents(published)) == {
        *(DATASETS[name].file_path(month) for name, month in FILES),
        "misc/taxi_zone_lookup.csv",
        "misc/taxi_zones.zip",
        "misc/data_reports_monthly.csv",
    }


def test_unchanged_files_are_left_alone(tmp_path: Path) -> None:
    def stamps() -> dict[Path, tuple[int, int]]:
        stats = {path: path.stat() for path in tmp_path.rglob("*.*")}
        return {path: (stat.st_mtime_ns, stat.st_ino) for path, stat in stats.items()}

    publish_sample(tmp_path)
    before = stamps()
    publish_sample(tmp_path)
    assert stamps() == before
    publish_sample(tmp_path, republished=True)
    after = stamps()
    assert {path for path in before if after[path] != before[path]} == {
        trips_path(tmp_path, *RESTATED)
    }


def test_a_hard_link_to_the_old_version_keeps_the_old_bytes(
    published: Path, tmp_path: Path
) -> None:
    publish_sample(tmp_path)
    kept = tmp_path / "kept.parquet"
    kept.hardlink_to(trips_path(tmp_path, *RESTATED))
    publish_sample(tmp_path, republished=True)
    assert kept.read_bytes() == trips_path(published, *RESTATED).read_bytes()


def test_republished_differs_in_one_month_of_green(published: Path, republished: Path) -> None:
    before, after = contents(published), contents(republished)
    changed = {name for name in before if before[name] != after[name]}
    assert set(before) == set(after)
    assert changed == {"trip-data/green_tripdata_2023-02.parquet"}


def test_republished_adds_removes_and_changes_a_few_rows(
    published: Path, republished: Path
) -> None:
    before, after = (
        Counter(tuple(row.values()) for row in pq.read_table(path).to_pylist())
        for path in (trips_path(published, *RESTATED), trips_path(republished, *RESTATED))
    )
    fare = pq.read_schema(trips_path(published, *RESTATED)).get_field_index("fare_amount")
    total = pq.read_schema(trips_path(published, *RESTATED)).get_field_index("total_amount")

    def unpriced(rows: Counter[tuple[object, ...]]) -> Counter[tuple[object, ...]]:
        return Counter(
            tuple(value for n, value in enumerate(row) if n not in (fare, total)) for row in rows
        )

    gone, come = before - after, after - before
    refared = unpriced(gone) & unpriced(come)
    assert (gone.total(), come.total(), refared.total()) == (8, 10, 5)
    assert after.total() == before.total() + 2


def test_republished_has_the_same_faults(published: Path, republished: Path) -> None:
    before, after = (
        reasons(trips_path(folder, *RESTATED), *RESTATED) for folder in (published, republished)
    )
    assert after == before + Counter({None: 2})


def test_there_are_about_200_000_rows(published: Path) -> None:
    rows = sum(pq.read_metadata(trips_path(published, *file)).num_rows for file in FILES)
    assert 150_000 <= rows <= 250_000


@EACH_FILE
def test_columns_are_those_of_the_era(published: Path, name: str, month: date) -> None:
    schema = pq.read_schema(trips_path(published, name, month))
    columns = DATASETS[name].era(month).columns
    assert schema.names == [column.name for column in columns]
    assert all(str(schema.field(c.name).type) in c.file_types for c in columns)


@pytest.mark.parametrize(
    ("name", "column", "types"),
    [
        ("yellow", "VendorID", ("int64", "int32", "int32")),
        ("yellow", "passenger_count", ("double", "int64", "int64")),
        ("yellow", "payment_type", ("int64", "int64", "int64")),
        ("yellow", "store_and_fwd_flag", ("string", "large_string", "large_string")),
        ("green", "payment_type", ("double", "int64", "int64")),
        ("green", "ehail_fee", ("null", "double", "double")),
        ("fhv", "PUlocationID", ("double", "int64", "int64")),
        ("fhv", "SR_Flag", ("null", "int64", "int64")),
        ("fhv", "Affiliated_base_number", ("string", "large_string", "large_string")),
        ("fhvhv", "PULocationID", ("int64", "int32", "int32")),
        ("fhvhv", "trip_time", ("int64", "int64", "int64")),
        ("fhvhv", "wav_match_flag", ("string", "large_string", "large_string")),
    ],
)
def test_types_change_as_tlc_changed_them(
    published: Path, name: str, column: str, types: tuple[str, ...]
) -> None:
    schemas = (pq.read_schema(trips_path(published, name, month)) for month in MONTHS)
    assert tuple(str(schema.field(column).type) for schema in schemas) == types


@pytest.mark.parametrize("month", MONTHS)
def test_the_schema_of_green_equals_that_of_tlc(
    published: Path, real_data: Path, month: date
) -> None:
    real = trips_path(real_data, "green", month)
    if not real.is_file():
        pytest.skip(f"no {real.name} in {real.parent}, which MEDALLION_TEST_DATA names")
    assert pq.read_schema(trips_path(published, "green", month)).equals(pq.read_schema(real))


@EACH_FILE
def test_the_check_accepts_the_file_without_a_remark(
    published: Path, name: str, month: date
) -> None:
    path = trips_path(published, name, month)
    checked = check(path, DATASETS[name], month)
    assert checked.remarks == ()
    assert checked.row_count == pq.read_metadata(path).num_rows


@pytest.mark.parametrize(
    ("name", "path", "rows"),
    [
        ("taxi_zone_lookup", "misc/taxi_zone_lookup.csv", 265),
        ("tlc_monthly_report", "misc/data_reports_monthly.csv", 18),
    ],
)
def test_the_check_accepts_the_references_without_a_remark(
    published: Path, name: str, path: str, rows: int
) -> None:
    checked = check(published / path, DATASETS[name], None)
    assert (checked.remarks, checked.row_count) == ((), rows)


@EACH_FILE
def test_every_rule_is_broken_a_few_times_and_the_rest_is_valid(
    published: Path, name: str, month: date
) -> None:
    path = trips_path(published, name, month)
    found = reasons(path, name, month)
    valid = found.pop(None)
    assert set(found) == rules_of(name)
    assert min(found.values()) >= 3
    assert valid > 0.96 * pq.read_metadata(path).num_rows


@EACH_FILE
def test_some_pickups_are_in_2008_and_2041(published: Path, name: str, month: date) -> None:
    pickups = pq.read_table(trips_path(published, name, month))[NAMES[name]["pickup"]]
    years = Counter(pc.year(pickups).to_pylist())
    assert years[2008]
    assert years[2041]


@pytest.mark.parametrize("name", ["yellow", "green"])
@pytest.mark.parametrize("month", MONTHS)
def test_fares_add_up_and_tips_are_on_cards(published: Path, name: str, month: date) -> None:
    path = trips_path(published, name, month)
    parts = ["fare_amount", "extra", "mta_tax", "tip_amount", "tolls_amount"]
    parts += ["improvement_surcharge", "congestion_surcharge"]
    parts += ["airport_fee"] if name == "yellow" else []
    parts += ["cbd_congestion_fee"] if month.year >= 2025 else []
    total = " + ".join(f"coalesce({part}, 0)" for part in parts)
    off, cash_tips, card_tips = duckdb.sql(f"""
        select
            -- infinite amounts have a total that is so too
            count(*) filter ({total} <> total_amount and abs({total} - total_amount) > 0.001),
            count(*) filter (payment_type = 2 and tip_amount <> 0),
            avg(tip_amount / fare_amount) filter (payment_type = 1 and fare_amount > 0)
        from '{path}'
    """).fetchone()
    assert (off, cash_tips) == (0, 0)
    assert 0.1 < card_tips < 0.4


def test_trips_follow_the_hours_and_the_week(published: Path) -> None:
    path = trips_path(published, "fhvhv", date(2023, 2, 1))  # four of every day of the week
    pickups = pq.read_table(path)["pickup_datetime"].drop_null()
    hours = Counter(pc.hour(pickups).to_pylist())
    days = Counter(pc.day_of_week(pickups).to_pylist())
    monday, friday = 0, 4
    assert hours[18] > 4 * hours[4]
    assert days[friday] > 1.1 * days[monday]


def test_the_zone_lookup_is_written_as_tlc_writes_it(published: Path) -> None:
    lines = (published / "misc/taxi_zone_lookup.csv").read_bytes().decode().split("\r\n")
    assert lines[0] == '"LocationID","Borough","Zone","service_zone"'
    assert lines[1] == '1,"EWR","Newark Airport","EWR"'
    assert lines[264:] == ['264,"Unknown","N/A","N/A"', '265,"N/A","Outside of NYC","N/A"', ""]
    zones = list(csv.DictReader(lines[:-1]))
    assert [zone["LocationID"] for zone in zones] == [str(n) for n in range(1, 266)]
    assert len({zone["Borough"] for zone in zones}) == 8
    assert any("'" in zone["Zone"] for zone in zones)
    # nobody takes an invented zone for one of TLC's
    named = {zone["LocationID"] for zone in zones if "Sample zone" not in zone["Zone"]}
    assert named == {"1", "132", "138", "264", "265"}


def test_the_report_agrees_with_the_files(published: Path, republished: Path) -> None:
    with (published / "misc/data_reports_monthly.csv").open(newline="") as file:
        report = list(csv.reader(file))
    assert report[0] == list(REPORT_COLUMNS)
    assert {len(row) for row in report} == {len(REPORT_COLUMNS)}
    assert any(row[2] == "1,024" for row in report)
    said: Counter[tuple[str, str]] = Counter()
    for month, licence, trips, *_ in report[1:]:
        service = {"Yellow": "yellow", "Green": "green", "FHV - High Volume": "fhvhv"}
        said[service.get(licence, "fhv"), month] += int(trips.replace(",", ""))
    for folder in (published, republished):
        for name, month in FILES:
            counted = trips_per_day(trips_path(folder, name, month), name, month)
            difference = 100 * (counted / said[name, f"{month:%Y-%m}"] - 1)
            assert abs(difference) <= tolerance_pct(name, month), (folder, name, month)


def trips_per_day(path: Path, name: str, month: date) -> float:
    pickups = pc.strftime(pq.read_table(path)[NAMES[name]["pickup"]], "%Y-%m")
    in_month = pc.sum(pc.equal(pickups, pa.scalar(f"{month:%Y-%m}"))).as_py()
    return float(in_month / monthrange(month.year, month.month)[1])


def tolerance_pct(name: str, month: date) -> float:
    """The tolerance of the seeds; 0.2 for FHV, for which no tolerance is supported by the data."""
    with (SEEDS / "reconciliation_tolerances.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            start = date.fromisoformat(row["month_from"])
            end = date.fromisoformat(row["month_to"] or "9999-12-01")
            compared = (row["service"], row["measure"]) == (name, "trips_per_day")
            if compared and start <= month <= end:
                return float(row["tolerance_pct"])
    assert name == "fhv"
    return 0.2


def test_a_call_that_is_killed_leaves_no_sample_that_is_short(
    published: Path, tmp_path: Path
) -> None:
    work, lock = (tmp_path / "work" / "sample", tmp_path / "work" / "sample.lock")
    assert processes.killed_when("open", "fhv_tripdata_2023-02", publish_samples, work, lock)
    assert not work.exists()
    publish_samples(work, lock)
    assert contents(work) == contents(published) | of_declared_sources()
    assert {path.name for path in work.parent.iterdir()} == {"sample", "sample.lock"}


def test_two_calls_at_once_publish_one_sample(published: Path, tmp_path: Path) -> None:
    folder, lock = tmp_path / "sample", tmp_path / "sample.lock"
    calls = [processes.start(publish_samples, folder, lock) for _ in range(2)]
    for call in calls:
        call.join(processes.PATIENCE_SECONDS)
        assert call.exitcode == 0
    assert contents(folder) == contents(published) | of_declared_sources()


def test_a_sample_that_is_there_is_restated_when_that_is_asked_for(
    republished: Path, tmp_path: Path
) -> None:
    folder, lock = tmp_path / "sample", tmp_path / "sample.lock"
    publish_samples(folder, lock)
    publish_samples(folder, lock, republished=True)
    publish_samples(folder, lock)
    assert contents(folder) == contents(republished) | of_declared_sources()


def test_a_sample_of_an_earlier_release_gets_what_it_lacks(tmp_path: Path) -> None:
    folder, lock = tmp_path / "sample", tmp_path / "lock"
    publish_samples(folder, lock)
    shapes = folder / DATASETS["taxi_zones"].path
    shapes.unlink()
    publish_samples(folder, lock)
    assert not shapes.exists()  # a whole sample is left alone
    (folder / ".edition").write_text("1")
    publish_samples(folder, lock)
    assert shapes.exists()
