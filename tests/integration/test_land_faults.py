"""Landing on a bad day: what cannot be had or written, and a landing that is killed."""

import os
import resource
from datetime import date
from itertools import repeat
from pathlib import Path

import pytest

from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.lake.verify import orphans, verify
from ingestion.land import Outcome, land
from ingestion.settings import Settings
from orchestration.job.pipeline import land_errors
from tests.conftest import MakeSettings
from tests.support import processes
from tests.support.lakes import BROKEN, objects, outcomes, said
from tests.support.trips import ZONES, publish, trips
from tests.support.web import Stall, Status, Web

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


def test_a_file_that_cannot_be_had_is_reported_and_the_rest_goes_on(
    web: Web, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    for month in (JANUARY, FEBRUARY):
        path = publish(tmp_path / "made", "green", month, trips("green", month))
        web.publish(f"trip-data/{path.name}", path)
    web.fail("GET", "trip-data/green_tripdata_2024-01.parquet", repeat(Status(404)))
    report = land(settings, ["green"], JANUARY, FEBRUARY)
    assert outcomes(report) == {"green 2024-01": "failed", "green 2024-02": "new"}
    (failed,) = report.of(Outcome.FAILED)
    assert failed.published.name == "green 2024-01"
    (told,) = land_errors(report)
    assert told == f"green 2024-01 failed: {failed.error}"
    assert told.count("green 2024-01") == 1
    assert failed.landing is None
    web.faults.clear()
    report = land(settings, ["green"], JANUARY, FEBRUARY)
    assert outcomes(report) == {"green 2024-01": "new", "green 2024-02": "unchanged"}


def test_of_two_landings_at_once_the_second_waits_and_finds_nothing_to_do(
    web: Web, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    path = publish(tmp_path / "made", "green", JANUARY, trips("green", JANUARY))
    web.publish(f"trip-data/{path.name}", path)
    web.fail("GET", f"trip-data/{path.name}", [Stall(100)])
    first = processes.start(land, settings, ["green"], JANUARY, JANUARY)
    processes.wait_until(lambda: web.asked("GET"))
    second = processes.start(land, settings, ["green"], JANUARY, JANUARY)
    processes.wait_until(lambda: len(web.asked("HEAD", f"trip-data/{path.name}")) == 2)
    web.released.set()
    for process in (first, second):
        process.join(processes.PATIENCE_SECONDS)
        assert process.exitcode == 0
    assert len(Catalog(settings.lake_url).landings) == 1
    # the stalled download was taken up where it stopped, once
    assert len(web.asked("GET", f"trip-data/{path.name}")) <= 2


@pytest.mark.parametrize("content", ["trusted", "broken"])
def test_a_lake_that_cannot_be_written_is_a_fault(
    content: str, published: Path, tmp_path: Path, make_settings: MakeSettings
) -> None:
    table = trips("green", JANUARY)
    publish(published, "green", JANUARY, BROKEN if content == "broken" else table)
    (tmp_path / "a file").touch()
    settings = make_settings(lake_url=str(tmp_path / "a file" / "lake"))
    with pytest.raises(MedallionError, match=r"Not a directory: '.*/a file/lake") as fault:
        land(settings)
    assert "\n" not in str(fault.value)
    # once it can be, all is as if nothing had happened
    (tmp_path / "a file").unlink()
    assert len(land(settings).files) == len(objects(settings)) == 1


def test_a_spool_that_cannot_be_written_is_a_fault(
    month: Path, tmp_path: Path, make_settings: MakeSettings
) -> None:
    (tmp_path / "a file").touch()
    settings = make_settings(work_dir=tmp_path / "a file" / "work")
    with pytest.raises(MedallionError, match=r"Cannot write to .*a file/work/spool: Not a dir"):
        land(settings)
    assert Catalog(settings.lake_url).landings == []


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_read_only_lake_is_a_fault(month: Path, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir(mode=0o555)
    with pytest.raises(MedallionError, match="Cannot write to the lake file://"):
        land(settings)


def _land_on_a_small_disk(settings: Settings, limit: int, said: Path) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        land(settings)
    except MedallionError as exc:
        said.write_text(str(exc))


def test_a_disk_that_is_full_is_a_fault(
    published: Path, settings: Settings, tmp_path: Path
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY, rows=20_000))
    publish(published, "green", FEBRUARY, trips("green", FEBRUARY))
    said = tmp_path / "said"
    process = processes.start(_land_on_a_small_disk, settings, 100_000, said)
    process.join(processes.PATIENCE_SECONDS)
    assert said.read_text() == f"Cannot write to {settings.spool_dir}: File too large."
    assert len(land(settings).of(Outcome.NEW)) == len(objects(settings)) == 2
    assert not [v for v in verify(settings) if v.error]


# --- kill -9 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "fragment"),
    [
        pytest.param("open", "/spool/", id="before-a-download"),
        pytest.param("open", "quarantine/", id="before-a-quarantine"),
        pytest.param("os.rename", ".partial", id="before-a-copy-has-its-name"),
        pytest.param("open", "/catalog/green/2024-01", id="before-the-first-record"),
        pytest.param("os.rename", "/catalog/green/2024-01", id="before-a-record-has-its-name"),
        pytest.param("open", "/catalog/green/2024-03", id="before-the-last-record"),
        pytest.param("os.remove", "/spool/", id="after-the-first-record"),
    ],
)
def test_a_landing_that_is_killed_is_done_by_the_next(
    event: str, fragment: str, published: Path, settings: Settings, make_settings: MakeSettings
) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, BROKEN)
    publish(published, "green", MARCH, trips("green", MARCH))
    publish(published, "taxi_zone_lookup", None, ZONES)
    assert processes.killed_when(event, fragment, land, settings)
    # what the catalog says is there already, is there
    assert not [v for v in verify(settings) if v.error]

    land(settings)
    assert list(settings.spool_dir.iterdir()) == []
    unharmed = make_settings(lake_url=settings.lake_url.replace("/lake", "/unharmed"))
    land(unharmed)
    assert objects(settings) == objects(unharmed)
    assert said(settings) == said(unharmed)
    assert orphans(settings) == []
    assert list(Path(settings.lake_url.removeprefix("file://")).rglob("*.partial")) == []
    assert outcomes(land(settings)) == outcomes(land(unharmed))
