"""Rows of the lake for Python, from each store: typed, lazily, as of any day."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import polars
import pyarrow as pa
import pytest

import ingestion
from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.land import land
from ingestion.schema_on_read import ORIGIN
from ingestion.settings import PROJECT_ROOT, Settings
from ingestion.sources.tlc.datasets import DATASETS
from tests.e2e.test_shipped_sources import noaa, records
from tests.support.api import serving_api
from tests.support.stores import Store
from tests.support.trips import ZONES, publish, trips, with_column

MakeSettings = Callable[..., Settings]

MONTHS = [date(2024, month, 1) for month in (1, 2, 3)]
ARROW = {
    "bigint": pa.int64(),
    "double": pa.float64(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us"),
    "date": pa.date32(),
}


@pytest.fixture
def local(published: Path, make_settings: MakeSettings) -> Settings:
    """A lake in a folder, with three months of yellow whose types and names drift."""
    return drifted(published, make_settings())


def drifted(published: Path, settings: Settings) -> Settings:
    for month in MONTHS:
        publish(published, "yellow", month, trips("yellow", month))
    february = trips("yellow", MONTHS[1])
    vendors = february["VendorID"].cast(pa.int32())
    february = with_column(february, "VendorID", vendors.combine_chunks())
    fees = pa.nulls(len(february))
    february = with_column(february.drop_columns("Airport_fee"), "airport_fee", fees)
    publish(published, "yellow", MONTHS[1], february)
    publish(published, "taxi_zone_lookup", None, ZONES)
    land(settings)
    return settings


def landings(settings: Settings) -> list[FileVersion]:
    return Catalog(settings.lake_url).versions()


def test_drifted_months_are_one_table_of_the_read_schema_in_each_store(
    store: Store, published: Path, make_settings: MakeSettings
) -> None:
    settings = drifted(published, make_settings(lake_url=store.new_lake("it's a lake")))
    table = ingestion.dataset("yellow", settings=settings).read_all()
    expected = ORIGIN | DATASETS["yellow"].read_schema
    assert {f.name: f.type for f in table.schema} == {n: ARROW[t] for n, t in expected.items()}
    found = table.select(["source_month", "row_ordinal", "fare_amount"]).to_pylist()
    assert sorted(found, key=lambda r: (r["source_month"], r["row_ordinal"])) == [
        {"source_month": month, "row_ordinal": n, "fare_amount": fare}
        for month in MONTHS
        for n, fare in enumerate(trips("yellow", month)["fare_amount"].to_pylist())
    ]
    keys = {(v.month, v.file_key) for v in landings(settings) if v.dataset == "yellow"}
    origins = table.select(["source_month", "file_key"]).to_pylist()
    assert {(r["source_month"], r["file_key"]) for r in origins} == keys
    zones = ingestion.dataset("taxi_zone_lookup", settings=settings).read_all()
    assert zones["zone"].to_pylist()[2] == 'Inwood Hill Park, "North"'
    assert zones["row_ordinal"].to_pylist() == [0, 1, 2, 3]


def test_months_and_columns_are_chosen(local: Settings) -> None:
    reader = ingestion.dataset(
        "yellow",
        "2024-02",
        date(2024, 3, 31),
        columns=["fare_amount", "source_month"],
        settings=local,
    )
    table = reader.read_all()
    assert table.column_names == ["fare_amount", "source_month"]
    assert set(table["source_month"].to_pylist()) == set(MONTHS[1:])


class Timestamp(datetime):
    """A time of another library: pandas' is a datetime too."""


@pytest.mark.parametrize("time", [datetime, Timestamp])
def test_times_are_taken_as_their_dates(time: type[datetime], local: Settings) -> None:
    today = datetime.now(UTC)
    table = ingestion.dataset(
        "yellow",
        time(2024, 2, 15, 3),
        time(2024, 2, 10),
        time(today.year, today.month, today.day, 12),
        columns="source_month",
        settings=local,
    ).read_all()
    assert table.column_names == ["source_month"]
    assert set(table["source_month"].to_pylist()) == {MONTHS[1]}


def test_a_past_day_is_what_the_lake_held_then(published: Path, local: Settings) -> None:
    def month_sum(day: date | None) -> float | None:
        table = ingestion.dataset("yellow", "2024-01", "2024-01", day, settings=local).read_all()
        return sum(table["fare_amount"].to_pylist()) if len(table) else None

    first = month_sum(None)
    catalog = Catalog(local.lake_url)
    landing = catalog.newest("yellow", MONTHS[0])
    assert landing is not None
    publish(published, "yellow", MONTHS[0], trips("yellow", MONTHS[0], seed=1))
    land(local)
    today = datetime.now(UTC).date()
    assert month_sum(None) == month_sum(today) != first
    assert month_sum(today - timedelta(days=1)) is None


def test_it_goes_on_to_pandas_polars_and_duckdb(local: Settings) -> None:
    def reader() -> pa.RecordBatchReader:
        return ingestion.dataset("yellow", settings=local)

    with duckdb.connect() as connection:
        connection.register("streamed", reader())
        assert connection.sql("select count(*) from streamed").fetchall() == [(60,)]
    assert len(polars.from_arrow(reader())) == 60
    frame = reader().read_pandas()
    assert (len(frame), str(frame["fare_amount"].dtype)) == (60, "float64")


def test_a_reader_that_is_left_half_way_leaves_nothing_open(local: Settings) -> None:
    reader = ingestion.dataset("yellow", settings=local)
    reader.read_next_batch()
    del reader
    assert ingestion.dataset("yellow", settings=local).read_all().num_rows == 60


def test_a_dataset_that_was_never_landed_has_columns_and_no_rows(local: Settings) -> None:
    table = ingestion.dataset("fhv", settings=local).read_all()
    assert table.num_rows == 0
    assert table.column_names == [*ORIGIN, *DATASETS["fhv"].read_schema]


def test_what_was_not_landed_yet_goes_on_to_polars_as_no_rows(local: Settings) -> None:
    reader = ingestion.dataset("yellow", "2024-01", as_of="2024-01-01", settings=local)
    frame = polars.DataFrame(polars.from_arrow(reader))
    assert frame.is_empty()
    assert frame.columns == [*ORIGIN, *DATASETS["yellow"].read_schema]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": "purple"}, "no dataset purple"),
        ({"name": "green", "start": "January"}, "no month"),
        *(
            ({"name": "green", "start": month}, f"{month} is no month; give one as 2024-01")
            for month in ("2024-1", "24-01", "2024-13", "2024-01-01", " 2024-01", "2024W01")
        ),
        ({"name": "yellow", "start": "2030-01", "end": "2030-02"}, "has no month of yellow from"),
        ({"name": "yellow", "end": "2023-12"}, "it has 2024-01 to 2024-03"),
        ({"name": "fhv", "start": "2024-01"}, "it has none at all"),
        ({"name": "green", "start": "2024-02", "end": "2024-01"}, "after the end"),
        ({"name": "green", "as_of": "yesterday"}, "no day"),
        ({"name": "green", "start": 202401}, '202401 is no month; give one as "2024-01"'),
        ({"name": "green", "as_of": 20240501}, '20240501 is no day; give one as "2024-05-01"'),
        ({"name": "green", "columns": ["fare"]}, "no column fare"),
        ({"name": "green", "columns": "fare"}, "no column fare"),
        ({"name": "green", "columns": []}, "no columns to read"),
        ({"name": "green", "columns": 1}, "1 are no columns"),
    ],
    ids=[
        "dataset",
        "month",
        *("one digit", "short year", "month 13", "day of it", "blank", "week"),
        *("not there", "before all", "of nothing"),
        "order",
        "day",
        "number as month",
        "number as day",
        "column",
        "one column",
        "no columns",
        "number as columns",
    ],
)
def test_what_cannot_be_asked_for_is_said(
    arguments: dict[str, object], said: str, local: Settings
) -> None:
    with pytest.raises(UsageError, match=said):
        ingestion.dataset(**arguments, settings=local)  # type: ignore[arg-type]


def test_a_month_that_is_in_quarantine_is_said_to_be(published: Path, local: Settings) -> None:
    publish(published, "yellow", date(2024, 4, 1), b"no parquet")
    land(local)
    with pytest.raises(MedallionError, match="yellow 2024-04 is in quarantine: "):
        ingestion.dataset("yellow", "2024-04", "2024-04", settings=local)


def test_a_file_that_is_gone_is_named(local: Settings) -> None:
    (gone,) = (v for v in landings(local) if v.month == MONTHS[2])
    path = Path(local.lake_url.removeprefix("file://")) / gone.lake_path
    path.unlink()
    with pytest.raises(MedallionError, match=path.name):
        ingestion.dataset("yellow", settings=local).read_all()


def test_importing_it_opens_and_imports_nothing_slow() -> None:
    script = "import ingestion, sys; print({'duckdb', 'pyarrow', 'dlt'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert said.stdout.strip() == b"set()"


def test_the_demand_model_on_the_page_is_better_than_an_average(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    from examples.demand_model import forecast
    from ingestion.sources.tlc.sample import publish_sample

    publish_sample(tmp_path / "published")
    settings = make_settings()
    land(settings, ["yellow"])
    monkeypatch.setenv("MEDALLION_LAKE_URL", settings.lake_url)
    off = forecast("yellow", "2023-01", "2023-02")
    assert 0 < off.model < off.usual < off.average


@pytest.mark.slow
def test_the_demand_model_is_better_than_the_usual_and_the_same_again_on_real_months(
    real_data: Path, monkeypatch: pytest.MonkeyPatch, make_settings: MakeSettings
) -> None:
    from examples.demand_model import forecast

    settings = make_settings(tlc_url=real_data.as_uri())
    land(settings, ["green"], date(2023, 1, 1), date(2023, 3, 1))
    monkeypatch.setenv("MEDALLION_LAKE_URL", settings.lake_url)
    off = forecast("green", "2023-01", "2023-03")
    assert off.month == date(2023, 3, 1)
    assert 0 < off.model < 0.95 * off.usual < off.average
    assert off.with_weather is None
    assert forecast("green", "2023-01", "2023-03") == off
    monkeypatch.setenv("MEDALLION_WEATHER_CSV_URL", (real_data / "weather").as_uri())
    land(make_settings(), ["central_park_weather"])
    by_file = forecast("green", "2023-01", "2023-03")
    # the weather of the same months, from the station's own figures
    with serving_api() as api:
        days = records(real_data / "weather" / "central_park_weather.csv")
        api.routes["/data/v1"] = noaa(days)
        monkeypatch.setenv("MEDALLION_WEATHER_URL", api.url)
        land(make_settings(), ["central_park_daily"], date(2023, 1, 1), date(2023, 3, 1))
    knows_weather = forecast("green", "2023-01", "2023-03")
    assert knows_weather.with_weather is not None
    assert knows_weather == by_file
    assert knows_weather._replace(with_weather=None) == off
    # it is another model, and as good
    assert knows_weather.with_weather != off.model
    assert knows_weather.with_weather == pytest.approx(off.model, rel=0.03)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["yellow", "2024-01"], "two months"),
        (["yellow", "2024-01", "2024-01"], "no two months of yellow"),
        (["yellow", "2030-01", "2030-02"], "no month of yellow from 2030-01 to 2030-02"),
        (["yellow", "2030", "2030-02"], "2030 is no month"),
        (["fhv", "2024-01", "2024-02"], "fhv cannot be forecast"),
    ],
    ids=["too few", "one month", "no month", "not a month", "dataset"],
)
def test_the_demand_model_says_in_one_line_why_there_is_none(
    arguments: list[str], said: str, local: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from examples.demand_model import main

    monkeypatch.setenv("MEDALLION_LAKE_URL", local.lake_url)
    with pytest.raises(SystemExit, match=said) as stopped:
        main(arguments)
    assert "\n" not in str(stopped.value)


def test_the_page_shows_the_code_that_is_tested() -> None:
    page = (PROJECT_ROOT / "docs" / "demand-model.md").read_text()
    assert (PROJECT_ROOT / "examples" / "demand_model.py").read_text() in page
