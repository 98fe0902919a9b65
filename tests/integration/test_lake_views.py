"""The catalog: a database of views over the lake that any DuckDB opens, and its script."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from ingestion import dataset
from ingestion.errors import MedallionError, UsageError
from ingestion.lake import catalog as log
from ingestion.lake.reading.attach import attach_lake
from ingestion.lake.reading.views import LakeViews, write_lake_views
from ingestion.lake.storage.store import open_lake
from ingestion.land import land
from ingestion.schema_on_read import ORIGIN
from ingestion.settings import Settings
from ingestion.sources.tlc.datasets import DATASETS
from tests.support.stores import Store
from tests.support.trips import ZONES, publish, trips, with_column

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)
TODAY = datetime.now(UTC).date()


@pytest.fixture
def filled(published: Path, make_settings: MakeSettings) -> Callable[[str], Settings]:
    """Fill a lake: two months of green, the first published twice, one file in quarantine."""

    def fill(lake_url: str) -> Settings:
        settings = make_settings(lake_url=lake_url)
        publish(published, "green", JANUARY, trips("green", JANUARY, rows=10))
        publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=30))
        publish(published, "taxi_zone_lookup", None, ZONES)
        publish(published, "yellow", JANUARY, b"not a Parquet file")
        land(settings)
        publish(published, "green", JANUARY, trips("green", JANUARY, rows=20, seed=1))
        land(settings)
        return settings

    return fill


def rows(views: LakeViews, lake_url: str, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(views.database, read_only=True) as connection:
        attach_lake(connection, lake_url)
        return connection.sql(sql).fetchall()


def test_a_lake_in_a_folder_with_an_odd_name_is_pruned_and_read_alone(
    filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    filled(str(tmp_path / "lakes" / "it's a 1 x"))
    settings = filled(str(tmp_path / "lakes" / "it's a [1] *"))
    views = write_lake_views(settings, tmp_path / "out" / "lake.duckdb")
    sql = "select source_month, count(*) from green_all group by all order by all"
    assert rows(views, settings.lake_url, sql) == [(JANUARY, 30), (FEBRUARY, 30)]
    plan = str(
        rows(
            views,
            settings.lake_url,
            f"explain analyze from green where source_month = date '{FEBRUARY}'",
        )
    )
    assert "Total Files Read: 1" in plan


def test_each_dataset_has_its_current_and_all_versions_and_those_of_a_day_in_each_store(
    store: Store, filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = filled(store.new_lake("lake's #1"))
    views = write_lake_views(settings, tmp_path / "out" / "lake.duckdb")

    def counted(what: str) -> dict[date, int]:
        sql = f"select source_month, count(*) from {what} group by all"
        return dict(rows(views, settings.lake_url, sql))

    assert counted("green") == {JANUARY: 20, FEBRUARY: 30}
    assert counted("green_all") == {JANUARY: 30, FEBRUARY: 30}
    assert counted(f"green_as_of('{TODAY}')") == {JANUARY: 20, FEBRUARY: 30}
    assert counted(f"green_as_of(date '{TODAY - timedelta(days=1)}')") == {}
    assert counted("fhv_as_of(current_date)") == counted("fhv") == {}
    assert rows(views, settings.lake_url, "select count(*) from taxi_zone_lookup_as_of(today())")
    versions = rows(
        views,
        settings.lake_url,
        "select dataset, status, is_current from versions order by dataset, is_current",
    )
    assert versions == [
        ("green", "landed", False),
        ("green", "landed", True),
        ("green", "landed", True),
        ("taxi_zone_lookup", "landed", True),
        ("yellow", "quarantined", False),
    ]
    for written in (views.database, views.script):
        content = written.read_bytes()
        for name in ("AWS_SECRET_ACCESS_KEY", "AZURE_STORAGE_CONNECTION_STRING"):
            if secret := store.environment.get(name):
                assert secret.encode() not in content


def test_views_are_named_and_typed_by_the_read_schema(
    filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = filled(str(tmp_path / "lake"))
    views = write_lake_views(settings, tmp_path / "lake.duckdb")
    expected = [*ORIGIN, *DATASETS["green"].read_schema]
    for what in ("green", "green_all", "green_as_of('2024-01-01')"):
        described = rows(
            views, settings.lake_url, f"select column_name from (describe from {what})"
        )
        assert [name for (name,) in described] == expected


def test_the_script_makes_the_same_in_an_empty_database(
    filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    views = write_lake_views(filled(str(tmp_path / "lake")), tmp_path / "lake.duckdb")
    with duckdb.connect() as connection:
        connection.execute(views.script.read_text())
        made = connection.sql("select count(*) from green_all").fetchone()
    assert made == (60,)


def test_a_month_opens_its_own_file_only(
    filled: Callable[[str], Settings], published: Path, tmp_path: Path
) -> None:
    settings = filled(str(tmp_path / "lake"))
    # one with columns that no other file has
    march = date(2024, 3, 1)
    other = with_column(trips("green", march), "VendorID", [1] * 20, pa.int32())
    publish(published, "green", march, other)
    land(settings)
    views = write_lake_views(settings, tmp_path / "lake.duckdb")
    for month in (FEBRUARY, march):
        for what in ("green_all", f"green_as_of('{TODAY}')"):
            ((_, plan),) = rows(
                views,
                settings.lake_url,
                f"explain analyze select sum(fare_amount) from {what}"
                f" where source_month = date '{month}'",
            )
            assert re.findall(r"Total Files Read: (\d+)", plan) == ["1"], plan


def test_a_version_that_came_back_and_is_distrusted_is_known_on_the_days_it_was_current(
    filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = filled(str(tmp_path / "lake"))
    catalog = log.Catalog(settings.lake_url)
    # the log as it would be, had each landing come a day after the other, and the first come back
    of_january = [x for x in catalog.landings if x.key == ("green", JANUARY, None)]
    for path in (tmp_path / "lake" / "catalog" / "green" / "2024-01").iterdir():
        path.unlink()
    begun = datetime(2024, 5, 1, 12, tzinfo=UTC)
    past = log.Catalog(settings.lake_url)
    past.landings.clear()
    distrusted = replace(
        of_january[0], status="quarantined", error="cut short", columns=(), row_count=None
    )
    for day, landing in enumerate([*of_january, of_january[0], distrusted]):
        past.append(replace(landing, landed_at=begun + timedelta(days=day)))
    views = write_lake_views(settings, tmp_path / "lake.duckdb")

    def rows_on(day: str) -> int:
        sql = f"select count(*) from green_as_of('{day}') where source_month = '{JANUARY}'"
        return int(rows(views, settings.lake_url, sql)[0][0])

    days = ("2024-04-30", "2024-05-01", "2024-05-02", "2024-05-03", "2024-05-04", "2030-01-01")
    assert [rows_on(day) for day in days] == [0, 10, 20, 10, 20, 20]
    # by the API it is the same
    in_january = {"start": JANUARY, "end": JANUARY, "settings": settings}
    assert [dataset("green", as_of=day, **in_january).read_all().num_rows for day in days] == [
        rows_on(day) for day in days
    ]


def test_it_is_replaced_whole_or_not_at_all(
    filled: Callable[[str], Settings], tmp_path: Path, make_settings: MakeSettings
) -> None:
    settings = filled(str(tmp_path / "lake"))
    views = write_lake_views(settings, tmp_path / "lake.duckdb")
    before = views.database.read_bytes()
    with pytest.raises(MedallionError, match="is empty"):
        write_lake_views(make_settings(lake_url=str(tmp_path / "none")), views.database)
    assert views.database.read_bytes() == before
    write_lake_views(settings, views.database)
    assert not list(tmp_path.glob("*.partial*"))


def test_nothing_but_a_catalog_is_overwritten(
    filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = filled(str(tmp_path / "lake"))
    taken = {name: tmp_path / name for name in ("warehouse.duckdb", "own.duckdb", "notes.txt")}
    with duckdb.connect(taken["warehouse.duckdb"]) as connection:
        connection.execute("create schema marts; create table marts.fct_trips as select 1 as x")
    # somebody has added to a catalog
    write_lake_views(settings, taken["own.duckdb"])
    with duckdb.connect(taken["own.duckdb"]) as connection:
        connection.execute("create table kept as select 1 as x")
    taken["notes.txt"].write_text("mine")
    (tmp_path / "query.sql").write_text("select 1")
    (tmp_path / "folder").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for out, named in [
        *((path, path) for path in taken.values()),
        (tmp_path / "query.duckdb", tmp_path / "query.sql"),
        (tmp_path / "folder", tmp_path / "folder"),
    ]:
        with pytest.raises(UsageError, match=f"^{named} exists .* Give another --out"):
            write_lake_views(settings, out)
    with pytest.raises(UsageError, match=r"names the database"):
        write_lake_views(settings, tmp_path / "new.sql")
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("damage", ["gone", "damaged"])
def test_a_version_that_cannot_be_read_is_named_and_none_of_our_sql(
    damage: str, store: Store, filled: Callable[[str], Settings], tmp_path: Path
) -> None:
    settings = filled(store.new_lake("lake's #1"))
    versions = log.Catalog(settings.lake_url).versions()
    superseded = next(v for v in versions if v.key == ("green", JANUARY, None))
    lake = open_lake(settings)
    if damage == "gone":
        lake.fs.rm(lake.path(superseded.lake_path))
    else:
        lake.write(superseded.lake_path, b"something else")
    out = tmp_path / "lake.duckdb"
    with pytest.raises(MedallionError) as fault:
        write_lake_views(settings, out)
    assert str(fault.value) == (
        f"{superseded.name}, {superseded.lake_path} cannot be read from the lake:"
        " medallion verify says what is wrong with it and how to restore it."
    )
    assert not out.exists()
