"""A warehouse of views over the lake's files: what they show, and when they are replaced."""

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.retention import prune
from orchestration.job.retention import superseded
from tests.support.readings import follow_through_an_upgrade, readings
from tests.support.trips import publish, trips, with_column

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


@pytest.fixture
def settings(published: Path, make_settings: MakeSettings) -> Settings:
    """Two months of green in a lake whose name wants quotes and is no pattern."""
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY, rows=30))
    lake = published.parent / "it's a lake [1] *"
    made = make_settings(lake_url=str(lake), raw="in_place")
    land(made)
    return made


def rows(settings: Settings, sql: str) -> list[tuple[Any, ...]]:
    with connect(settings, read_only=True) as session:
        return session.query(sql).rows


def months(settings: Settings) -> dict[date, int]:
    return dict(rows(settings, "select source_month, count(*) from tlc.green_tripdata group by 1"))


def kinds(settings: Settings) -> dict[str, str]:
    found = rows(
        settings,
        "select table_name, table_type from information_schema.tables"
        " where table_schema = 'raw' and table_name like 'green%'",
    )
    return {name.partition("__")[0].removeprefix("green_tripdata_"): kind for name, kind in found}


def test_a_raw_view_has_exactly_the_columns_and_rows_of_its_file(settings: Settings) -> None:
    assert load(settings).rows == 50
    ((view,),) = rows(settings, "select table_name from raw.files where month = date '2024-02-01'")
    published = trips("green", FEBRUARY, rows=30)
    with connect(settings, read_only=True) as session:
        found = session.arrow(f"from raw.{view}").read_all()
    assert found.column_names == published.column_names
    assert found.to_pylist() == published.to_pylist()


def test_how_a_file_is_read_in_place_is_recorded_and_followed(settings: Settings) -> None:
    load(settings)
    assert len(readings(settings)) == 2
    follow_through_an_upgrade(settings)


def test_a_file_that_is_gone_is_a_fault_and_the_others_go_on(
    settings: Settings, published: Path
) -> None:
    (gone,) = published.parent.glob("*/raw/green/*2024_01*")
    gone.unlink()
    report = load(settings)
    ((name, fault),) = report.failed.items()
    assert "2024_01" in name
    assert gone.name in fault
    assert months(settings) == {FEBRUARY: 30}


def test_a_file_that_lost_rows_is_a_fault(settings: Settings, published: Path) -> None:
    (changed,) = published.parent.glob("*/raw/green/*2024_01*")
    changed.unlink()
    short = publish(published.parent / "other", "green", JANUARY, trips("green", JANUARY, rows=19))
    short.rename(changed)
    assert list(load(settings).failed.values()) == ["19 rows, not 20"]


def test_a_change_of_mode_keeps_the_months_that_were_not_asked_for(settings: Settings) -> None:
    load(settings)
    loaded = settings.model_copy(update={"raw": "loaded"})
    load(loaded, ["green"], FEBRUARY, FEBRUARY)
    assert months(loaded) == {JANUARY: 20, FEBRUARY: 30}
    assert set(kinds(loaded).values()) == {"BASE TABLE"}
    load(settings, ["green"], JANUARY, JANUARY)
    assert months(settings) == {JANUARY: 20, FEBRUARY: 30}
    assert set(kinds(settings).values()) == {"VIEW"}


def test_a_superseded_version_is_pruned(settings: Settings, published: Path) -> None:
    load(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=10, seed=1))
    land(settings)
    load(settings)
    assert months(settings) == {JANUARY: 10, FEBRUARY: 30}
    old = superseded(settings, timedelta(0))
    assert len(old) == 1
    prune(settings, old)
    held = rows(settings, "select table_name from raw.files")
    assert (old[0].table_name,) not in held
    assert months(settings) == {JANUARY: 10, FEBRUARY: 30}
    assert load(settings).loaded == []


def test_a_file_with_columns_of_the_readers_own_names_is_read(
    settings: Settings, published: Path
) -> None:
    march = date(2024, 3, 1)
    odd = with_column(trips("green", march), "file_row_number", list(range(20, 0, -1)))
    publish(published, "green", march, with_column(odd, "filename", ["x"] * 20))
    land(settings)
    assert load(settings).failed == {}
    found = rows(
        settings,
        "select row_ordinal from tlc.green_tripdata where source_month = date '2024-03-01'"
        " order by row_ordinal",
    )
    assert [n for (n,) in found] == list(range(20))
