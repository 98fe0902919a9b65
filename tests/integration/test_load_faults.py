"""Versions that cannot be loaded, warehouses that are held, loads side by side, loads killed."""

import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest

from ingestion.errors import MedallionError, WarehouseBusyError
from ingestion.land import land
from ingestion.load import LoadReport, load
from ingestion.settings import Settings
from tests.conftest import settings_in
from tests.support import processes
from tests.support.lakes import lake_file
from tests.support.trips import ZONES, publish, trips
from tests.support.warehouses import contents, differences, held_by_another, rows, shown_months

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


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
    said = "select table_name from raw.files where status = '{}' order by table_name"
    assert rows(settings, said.format("loaded")) == [(sound.table_name,)]
    assert rows(settings, said.format("quarantined")) == [(x.table_name,) for x in harmed]
    # they are tried again, and mended with the lake
    for landing, content in whole.items():
        lake_file(settings, landing).write_bytes(content)
    assert {v.table_name for v in load(settings).loaded} == {x.table_name for x in harmed}
    assert len(shown_months(settings)) == len(months)


def test_a_file_that_was_changed_in_place_is_not_loaded(
    published: Path, settings: Settings
) -> None:
    publish(published, "taxi_zone_lookup", None, ZONES)
    (landing, *_) = (f.landing for f in land(settings).files)
    path = lake_file(settings, landing)
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"Newark Airport", b"Oldark Airport"))
    assert path.read_bytes() != whole
    (reason,) = load(settings).failed.values()
    assert f"{path} has changed since it was landed" in reason
    assert reason.endswith("medallion verify says how to restore it")
    path.unlink()
    (reason,) = load(settings).failed.values()
    assert reason == f"{path} is gone: medallion verify says how to restore it"
    path.write_bytes(whole)
    assert load(settings).failed == {}
    assert rows(settings, "select count(*) from tlc.taxi_zone_lookup") == [(4,)]


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
    # a stranger's
    kept = settings.dlt_dir / "pipelines" / "state.json"
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    in_use = set(settings.dlt_dir.iterdir())
    assert processes.killed_when("os.rename", "completed_jobs", load, beside[1])
    assert len(set(settings.dlt_dir.iterdir()) - in_use) == 1

    assert len(load(beside[2]).loaded) == 1
    assert set(settings.dlt_dir.iterdir()) == in_use
    go_on.set()
    live.join(processes.PATIENCE_SECONDS)
    assert live.exitcode == 0
    assert list(settings.dlt_dir.iterdir()) == [kept.parent]
    assert kept.read_text() == "{}"


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

JOB, LOAD = "ingestion/warehouse/duckdb/destination.py", "ingestion/load.py"


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


@pytest.mark.slow
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


@pytest.mark.slow
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
