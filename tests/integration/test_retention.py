"""Pruning: superseded versions leave the warehouse, and nothing leaves the lake."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from ingestion.lake.catalog import Catalog, FileVersion
from ingestion.lake.verify import verify
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect
from ingestion.warehouse.base import tables
from ingestion.warehouse.retention import prune
from orchestration.job import environments
from orchestration.job.forget import forget, kept
from orchestration.job.retention import superseded
from tests.conftest import MakeSettings
from tests.support import postgres
from tests.support.trips import publish, trips

JANUARY = date(2024, 1, 1)


@pytest.fixture(params=["duckdb", "postgres"])
def settings(
    request: pytest.FixtureRequest,
    published: Path,
    tmp_path: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A month that was published twice, loaded both times."""
    if request.param == "duckdb":
        yield _published_twice(published, make_settings())
        return
    with (
        postgres.server(tmp_path / "postgres") as server,
        postgres.database(server) as variables,
    ):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield _published_twice(published, make_settings(target="postgres"))


def _published_twice(published: Path, settings: Settings) -> Settings:
    for seed in (0, 1):
        publish(published, "green", JANUARY, trips("green", JANUARY, rows=5 + seed, seed=seed))
        land(settings)
        load(settings)
    return settings


def raw_tables(settings: Settings) -> set[str]:
    with connect(settings, read_only=True) as session:
        return {name for schema, name in tables(session) if name.startswith("green_tripdata_2024")}


def test_what_was_superseded_long_ago_is_dropped_and_can_be_loaded_again(
    settings: Settings, published: Path
) -> None:
    old, current = (v.table_name for v in Catalog(settings.lake_url).versions())
    assert superseded(settings, timedelta(days=1)) == []
    found = superseded(settings, timedelta(0))
    assert [(v.table_name, v.rows) for v in found] == [(old, 5)]
    assert raw_tables(settings) == {old, current}  # nothing is dropped by looking

    prune(settings, found)
    assert raw_tables(settings) == {current}
    assert superseded(settings, timedelta(0)) == []
    assert not [v for v in verify(settings) if v.error]
    assert load(settings).loaded == []

    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5, seed=0))
    land(settings)
    assert [v.table_name for v in load(settings).loaded] == [old]


def test_the_time_counts_from_when_a_version_was_replaced(
    published: Path, make_settings: MakeSettings
) -> None:
    """The first landing of its bytes says nothing of how long it has not been shown."""
    settings = make_settings()
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5))
    land(settings)
    (record,) = (published.parent / "lake" / "catalog").rglob("*.json")
    (landed,) = Catalog(settings.lake_url).landings
    record.unlink()
    long_ago = landed.landed_at - timedelta(days=100)
    Catalog(settings.lake_url).append(replace(landed, landed_at=long_ago))
    load(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=6, seed=1))
    land(settings)
    load(settings)
    assert superseded(settings, timedelta(days=1)) == []
    (found,) = superseded(settings, timedelta(0))
    assert (found.landed_at, found.rows) == (long_ago, 5)
    assert found.superseded_at == Catalog(settings.lake_url).landings[-1].landed_at


def test_a_version_that_became_current_meanwhile_is_left_alone(
    settings: Settings, published: Path
) -> None:
    found = superseded(settings, timedelta(0))
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=5, seed=0))
    land(settings)
    load(settings)
    prune(settings, found)
    with connect(settings, read_only=True) as session:
        assert session.query("select count(*) from tlc.green_tripdata").rows == [(5,)]


def test_what_is_forgotten_in_an_environment_leaves_the_lake_and_only_its_warehouse(
    settings: Settings,
) -> None:
    environments.create(settings, "try")
    trial = settings.in_environment("try")
    key = ("green", JANUARY, None)
    raw = kept(trial, key).raw_tables
    assert len(raw) == 2
    left = forget(trial, key, None, "an order")
    assert (left.raw_tables, left.objects) == ([], {})
    # the main warehouse is named by its own commands, and forgets by the same
    assert kept(settings, key).raw_tables == raw
    assert any("env drop try" in command for command in kept(settings, key).as_of)
    assert forget(settings, key, None, "").raw_tables == []


def test_a_version_that_the_facts_still_show_stays(settings: Settings) -> None:
    old, current = Catalog(settings.lake_url).versions()

    def build_facts_from(version: FileVersion) -> None:
        with connect(settings) as session:
            session.execute("drop schema if exists intermediate cascade")
            session.execute("create schema intermediate")
            session.execute(
                "create table intermediate.month_builds (table_name varchar(200),"
                " service varchar(20), source_month date, file_key bigint)"
            )
            session.execute(
                "insert into intermediate.month_builds values ('marts.fct_trips', ?, ?, ?)",
                [version.dataset, version.month, version.file_key],
            )

    build_facts_from(old)
    assert superseded(settings, timedelta(0)) == []
    build_facts_from(current)
    assert [v.table_name for v in superseded(settings, timedelta(0))] == [old.table_name]
