"""Which versions are loaded and shown: each once, the newest, those of a day."""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from ingestion.addresses import local_path
from ingestion.errors import MedallionError
from ingestion.lake import file_version
from ingestion.lake.catalog import Catalog
from ingestion.land import land
from ingestion.load import LoadReport, load
from ingestion.settings import Settings
from orchestration.job.missing import find_missing
from orchestration.job.status import status
from tests.support.damage import damage_page
from tests.support.trips import ZONES, publish, trips
from tests.support.warehouses import (
    contents,
    differences,
    held_by_another,
    landed_and_loaded,
    rows,
    shown_months,
)

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


# --- once ----------------------------------------------------------------------------------------


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


def test_a_version_that_is_not_trusted_any_more_leaves_and_is_told_of(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    """As an earlier release landed and loaded it, with decimals that DuckDB reads wrongly."""
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=30, seed=1))
    (newer,) = landed_and_loaded(settings).loaded
    older = next(v for v in loaded.loaded if v.month == JANUARY)
    assert newer.file_id[:8] in shown_months(settings)
    wide = tuple((n, "decimal256(40, 2)" if n == "tip_amount" else t) for n, t in newer.columns)
    lake = local_path(settings.lake_url)
    assert lake
    record = lake / file_version.record_name(newer)
    record.write_bytes(file_version.to_record(replace(newer, columns=wide)))
    error = "column tip_amount holds decimals of 40 digits, where 38 are the most"

    def told() -> list[str]:
        return [f.quarantined or "" for f in status(settings).files if f.month == JANUARY]

    assert error in told()[0]
    load(settings)
    assert newer.file_id[:8] not in shown_months(settings)
    assert older.file_id[:8] in shown_months(settings)
    assert error in told()[0]
    lacking = find_missing(Catalog(settings.lake_url), [], [], None, None)
    (missing,) = (m for m in lacking if m.month == JANUARY)
    assert missing.stage == "land"
    assert error in missing.reason
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


def test_a_version_that_comes_back_unloaded_takes_no_month_away(
    published: Path, settings: Settings
) -> None:
    """As when another warehouse over the same lake has landed it."""
    first = publish(published, "green", JANUARY, trips("green", JANUARY, rows=5)).read_bytes()
    land(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    publish(published, "yellow", JANUARY, trips("yellow", JANUARY))
    landed_and_loaded(settings)
    publish(published, "green", JANUARY, first)
    publish(published, "yellow", FEBRUARY, trips("yellow", FEBRUARY))
    land(settings)
    assert [v.name for v in load(settings, ["yellow"]).loaded] == ["yellow 2024-02"]
    assert list(shown_months(settings).values()) == [7]
    assert load(settings, ["yellow"]) == LoadReport()
    assert [v.name for v in load(settings).loaded] == ["green 2024-01"]
    assert list(shown_months(settings).values()) == [5]


def test_before_a_version_that_cannot_be_read_comes_the_one_that_was_current_last(
    published: Path, settings: Settings
) -> None:
    first = publish(published, "green", JANUARY, trips("green", JANUARY, rows=5)).read_bytes()
    landed_and_loaded(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    landed_and_loaded(settings)
    publish(published, "green", JANUARY, first)
    landed_and_loaded(settings)
    damage_page(publish(published, "green", JANUARY, trips("green", JANUARY, rows=30, seed=2)))
    assert len(landed_and_loaded(settings).quarantined) == 1
    assert list(shown_months(settings).values()) == [5]
    # and a warehouse that has none of them loads that one, and no other
    settings.duckdb_path.unlink()
    assert [v.row_count for v in load(settings).loaded] == [5]
    assert list(shown_months(settings).values()) == [5]


def test_what_a_lake_from_a_backup_knows_nothing_of_is_shown_until_it_is_dropped(
    loaded: LoadReport, published: Path, settings: Settings
) -> None:
    before = shown_months(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    (version,) = landed_and_loaded(settings).loaded
    lake = local_path(settings.lake_url)
    assert lake is not None
    max((lake / "catalog" / "green" / "2024-01").iterdir()).unlink()
    with pytest.raises(MedallionError, match="shows green 2024-01, which the lake"):
        load(settings)
    assert 7 in shown_months(settings).values()
    assert load(settings, drop_unknown=True) == LoadReport()
    assert shown_months(settings) == before
    assert rows(settings, "select table_name from raw.files where not is_current") == [
        (version.table_name,)
    ]
    assert load(settings) == LoadReport()


def test_a_view_of_an_earlier_release_is_made_anew(loaded: LoadReport, settings: Settings) -> None:
    """Be it by its casts alone: its columns and their types are the same."""
    before = contents(settings)
    mark = "select comment from duckdb_views() where view_name = 'green_tripdata'"
    comment = rows(settings, mark)
    with duckdb.connect(settings.duckdb_path) as connection:
        (sql,) = connection.execute(
            "select sql from duckdb_views() where view_name = 'green_tripdata'"
        ).fetchone()
        assert "CAST(fare_amount AS DOUBLE)" in sql
        other = sql.replace("CAST(fare_amount AS DOUBLE)", "CAST(-fare_amount AS DOUBLE)")
        connection.execute(other.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
    assert differences(before, contents(settings)) != {}
    assert load(settings) == LoadReport()
    assert differences(before, contents(settings)) == {}
    assert rows(settings, mark) == comment


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


def test_rows_that_went_missing_are_counted(published: Path, settings: Settings) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    (record,) = (Path(settings.lake_url.removeprefix("file://")) / "catalog").rglob("*.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"row_count": 6}))
    (fault,) = load(settings).failed.values()
    assert fault == "5 rows were loaded of 6 in the file"


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
