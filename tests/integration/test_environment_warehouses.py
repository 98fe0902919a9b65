"""Environments of a warehouse without anything built: names, locks, rights, and what is refused."""

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import duckdb
import pytest

from ingestion.errors import MedallionError, UsageError
from ingestion.lake.catalog import Catalog
from ingestion.lake.storage.store import open_lake
from ingestion.land import land
from ingestion.load import load
from ingestion.settings import Settings
from ingestion.warehouse import connect, engine_for
from ingestion.warehouse.environments import environments_of
from ingestion.warehouse.postgres.engine import Postgres
from ingestion.warehouse.postgres.roles import Roles
from orchestration.job.environments import lacking
from tests.conftest import MakeSettings
from tests.support import postgres
from tests.support.damage import damage_page
from tests.support.lakes import lake_file
from tests.support.trips import publish, trips
from tests.support.warehouses import landed_and_loaded

JANUARY = date(2024, 1, 1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with postgres.server(tmp_path_factory.mktemp("postgres")) as variables:
        yield variables


@pytest.fixture
def on_postgres(
    server: dict[str, str],
    month: Path,
    make_settings: MakeSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Settings]:
    """A database of the test's own, whose schemas belong to roles, with one month in it."""
    with postgres.database(server) as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings = make_settings(target="postgres", postgres_roles="env")
        Postgres(settings).set_up(Roles("env"))
        landed_and_loaded(settings)
        yield settings
        for name in environments_of(settings).sizes():
            environments_of(settings).drop(settings.in_environment(name))


def rights(database: str) -> str:
    with postgres.administering(dict(os.environ)) as cursor:
        cursor.execute("select datacl::text from pg_database where datname = %s", [database])
        ((found,),) = cursor.fetchall()
    return str(found)


def test_the_same_roles_may_enter_an_environment_and_what_takes_its_place(
    on_postgres: Settings,
) -> None:
    settings = on_postgres.in_environment("try")
    main = Postgres(on_postgres).database
    environments = environments_of(on_postgres)
    environments.create(settings, empty=False)
    assert Postgres(settings).database == f"{main}_env-try"
    assert rights(f"{main}_env-try") == rights(main) != "None"
    assert not load(settings).loaded  # the roles own what they load, and all is there
    with connect(settings) as session:
        session.execute("comment on schema raw is 'tried'")
    before = rights(main)
    environments.take_place(settings)
    commented = "select obj_description('raw'::regnamespace)"
    with connect(on_postgres, read_only=True) as session:
        assert session.query(commented).rows == [("tried",)]
    with connect(settings, read_only=True) as session:
        assert session.query(commented).rows == [(None,)]
    assert rights(main) == before
    environments.create(on_postgres.in_environment("empty"), empty=True)
    assert set(environments.sizes()) == {"try", "empty"}


def test_a_name_that_the_server_would_cut_off_is_refused(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = make_settings(target="postgres").in_environment("try")
    monkeypatch.setenv("PGDATABASE", "d" * 55)
    assert Postgres(settings).database == "d" * 55 + "_env-try"
    monkeypatch.setenv("PGDATABASE", "d" * 56)
    with pytest.raises(UsageError, match="too long"):
        Postgres(settings)


def test_a_warehouse_that_is_not_there_or_is_open_is_not_copied(settings: Settings) -> None:
    environments, trial = environments_of(settings), settings.in_environment("try")
    with pytest.raises(MedallionError, match=r"no warehouse .* to copy.*--empty"):
        environments.create(trial, empty=False)
    duckdb.connect(settings.duckdb_path).close()
    log = settings.duckdb_path.with_name(f"{settings.duckdb_path.name}.wal")
    with engine_for(settings).only_run(), pytest.raises(MedallionError, match="Another run"):
        environments.create(trial, empty=False)
    assert environments.sizes() == {}
    environments.create(trial, empty=False)
    # a log that nobody has brought into the file is a part of it
    log.touch()
    with pytest.raises(MedallionError, match="was not closed"):
        environments.take_place(trial)


def test_an_environment_lacks_what_was_landed_after_what_it_shows(
    month: Path, published: Path, settings: Settings
) -> None:
    """Be it a content that was there before: then what came between is the older one."""
    trial, other = (settings.in_environment(name) for name in ("try", "other"))
    original = month.read_bytes()
    (old,) = landed_and_loaded(settings).loaded
    environments_of(settings).create(other, empty=False)  # it shows the original
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    land(settings)
    environments_of(settings).create(trial, empty=True)
    assert lacking(settings, trial) == [old.table_name]
    assert len(load(trial).loaded) == 1
    assert lacking(settings, trial) == []
    publish(published, "green", JANUARY, original)
    land(settings)
    assert lacking(settings, trial) == [old.table_name]
    # seen from the other side, the original is what came last
    assert lacking(trial, other) == []
    assert [v.table_name for v in load(trial).loaded] == [old.table_name]
    assert lacking(settings, trial) == []


def test_an_environment_lacks_what_only_it_could_not_read(month: Path, settings: Settings) -> None:
    (version,) = landed_and_loaded(settings).loaded
    trial = settings.in_environment("try")
    environments_of(settings).create(trial, empty=True)
    path = lake_file(settings, version)
    whole = path.read_bytes()
    damage_page(path)
    assert load(trial).quarantined == {version.table_name}
    assert lacking(settings, trial) == [version.table_name]
    path.write_bytes(whole)
    load(trial)
    assert lacking(settings, trial) == []


def test_an_environment_need_not_show_what_the_lake_trusts_no_more(
    month: Path, published: Path, settings: Settings
) -> None:
    landed_and_loaded(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=7, seed=1))
    (version,) = landed_and_loaded(settings).loaded
    trial = settings.in_environment("try")
    environments_of(settings).create(trial, empty=True)
    Catalog(open_lake(settings)).append(
        replace(version, status="quarantined", error="a check is stricter")
    )
    assert lacking(settings, trial) == [version.table_name]  # it shows nothing of the month yet
    assert len(load(trial).loaded) == 1
    assert lacking(settings, trial) == []


def test_files_of_others_are_no_environments(settings: Settings, tmp_path: Path) -> None:
    for name in (
        "old",
        "sample",
        "env-",
        "env-Try",
        "env-a.b",
        "sample.env-try",
        "as-of-2024-01-01",
    ):
        (tmp_path / f"warehouse.{name}.duckdb").touch()
    (tmp_path / "other.env-try.duckdb").touch()
    assert environments_of(settings).sizes() == {}
