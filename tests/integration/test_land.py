"""Landing: what is published is in the lake, byte for byte, once, whatever happens on the way."""

import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from itertools import repeat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.catalog import Catalog, Landing
from ingestion.errors import MedallionError
from ingestion.history import history
from ingestion.lake import LandReport, Outcome, land
from ingestion.progress import Quiet
from ingestion.settings import Settings, local_path
from ingestion.verification import verify
from tests.support import processes
from tests.support.lakes import lake_file
from tests.support.trips import ZONES, publish, trip_files, trips
from tests.support.web import Stall, Status, Web

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
BROKEN = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"


@pytest.fixture
def settings(published: Path, make_settings: MakeSettings) -> Settings:
    return make_settings()


@pytest.fixture
def month(published: Path) -> Path:
    """The file of green 2024-01, published."""
    return publish(published, "green", JANUARY, trips("green", JANUARY))


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def objects(settings: Settings) -> dict[str, str]:
    """The sha256 of everything in the lake by path, but for the catalog."""
    lake = local_path(settings.lake_url)
    assert lake is not None
    files = [p for p in lake.rglob("*") if p.is_file()]
    paths = {p.relative_to(lake).as_posix(): p for p in files}
    return {name: sha256(p) for name, p in paths.items() if not name.startswith("catalog/")}


def said(settings: Settings) -> list[Landing]:
    """All that the catalog says but when it was landed."""
    same = datetime(2024, 1, 1, tzinfo=UTC)
    landings = [replace(x, landed_at=same) for x in Catalog(settings.lake_url).landings]
    return sorted(landings, key=lambda x: x.lake_path)


def outcomes(report: LandReport) -> dict[str, str]:
    return {f.published.name: f.outcome.value for f in report.files}


def current(settings: Settings) -> list[str]:
    return [x.file_id for x in Catalog(settings.lake_url).current()]


# --- TLC's own files -----------------------------------------------------------------------------


def test_every_real_file_is_in_the_lake_byte_for_byte(
    real_data: Path, real_lake: tuple[Settings, LandReport]
) -> None:
    settings, report = real_lake
    published = [path for _, _, path in trip_files(real_data)]
    published += (real_data / "misc").iterdir()
    by_url = {path.as_uri(): path for path in published}
    assert len(report.of(Outcome.NEW)) == len(report.files) >= 52
    assert any("null" in dict(f.landing.columns).values() for f in report.files)
    expected = {}
    for file in report.files:
        source = by_url[file.published.url]
        assert sha256(lake_file(settings, file.landing)) == sha256(source)
        expected[file.landing.lake_path] = file.landing.file_id
    assert objects(settings) == expected


def test_the_catalog_says_what_every_real_file_holds(
    real_data: Path, real_lake: tuple[Settings, LandReport]
) -> None:
    settings, _ = real_lake
    held = {x.key: x for x in Catalog(settings.lake_url).current()}
    for dataset, month, path in trip_files(real_data):
        landing = held[dataset, month]
        assert landing.row_count == pq.read_metadata(path).num_rows
        assert landing.columns == tuple((f.name, str(f.type)) for f in pq.read_schema(path))
        assert landing.bytes == path.stat().st_size
        assert landing.file_id == sha256(path)
        assert landing.table_name == f"{path.stem.replace('-', '_')}__{landing.file_id[:8]}"
    assert held["taxi_zone_lookup", None].row_count == 265
    assert held["tlc_monthly_report", None].row_count == 812


def test_every_real_file_is_verified(real_lake: tuple[Settings, LandReport]) -> None:
    settings, report = real_lake
    verified = verify(settings)
    assert len(verified) == len(report.files)
    assert [v for v in verified if v.fault] == []


def test_real_files_that_break_and_are_republished(
    real_data: Path, published: Path, settings: Settings
) -> None:
    def now_in(folder: str, *months: str) -> dict[str, str]:
        """How landing goes once these months are published as they are in ``folder``."""
        for month in months:
            content = (real_data / folder / f"green_tripdata_{month}.parquet").read_bytes()
            publish(published, "green", date.fromisoformat(f"{month}-01"), content)
        return outcomes(land(settings))

    everything = now_in("trip-data", "2022-01", "2024-01", "2025-02")
    assert set(everything.values()) == {"new"}
    before = current(settings)
    assert now_in("bad", "2022-01", "2025-02") == {
        "green 2022-01": "quarantined",
        "green 2024-01": "unchanged",
        "green 2025-02": "quarantined",
    }
    assert current(settings) == before
    assert now_in("republished", "2024-01")["green 2024-01"] == "re-published"
    assert now_in("trip-data", "2022-01", "2024-01", "2025-02") == {
        "green 2022-01": "same content",
        "green 2024-01": "re-published",
        "green 2025-02": "same content",
    }
    assert current(settings) == before
    assert len(verify(settings)) == 6
    assert [v.fault for v in verify(settings) if v.fault] == []


# --- nothing new ---------------------------------------------------------------------------------

LAND_AGAIN = """
import json, sys
from ingestion.lake import land
from ingestion.settings import load_settings
files = land(load_settings()).files
slow = [m for m in ("dlt", "pyarrow", "requests", "duckdb") if m in sys.modules]
print(json.dumps([sorted({f.outcome.value for f in files}), slow]))
"""


def test_what_is_unchanged_costs_no_slow_import(
    published: Path, settings: Settings, tmp_path: Path
) -> None:
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    publish(published, "taxi_zone_lookup", None, ZONES)
    assert set(outcomes(land(settings)).values()) == {"new"}
    before = objects(settings)
    environment = {
        "MEDALLION_TLC_URL": settings.tlc_url,
        "MEDALLION_LAKE_URL": settings.lake_url,
        "MEDALLION_WORK_DIR": str(settings.work_dir),
    }
    done = subprocess.run(
        [sys.executable, "-c", LAND_AGAIN],
        cwd=tmp_path,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == [["unchanged"], []]
    assert objects(settings) == before
    assert len(Catalog(settings.lake_url).landings) == 3


def test_what_is_unchanged_costs_one_head_on_a_server(
    web: Web, make_settings: MakeSettings, tmp_path: Path
) -> None:
    settings = make_settings(tlc_url=web.url, report_url=f"{web.url}/report.csv")
    path = publish(tmp_path / "made", "green", JANUARY, trips("green", JANUARY))
    web.publish("trip-data/green_tripdata_2024-01.parquet", path)
    scope = (["green"], JANUARY, JANUARY)
    assert outcomes(land(settings, *scope)) == {"green 2024-01": "new"}
    (landing,) = Catalog(settings.lake_url).landings
    assert landing.etag is not None
    assert landing.source_url == f"{web.url}/trip-data/green_tripdata_2024-01.parquet"
    web.requests.clear()
    assert outcomes(land(settings, *scope)) == {"green 2024-01": "unchanged"}
    assert web.asked("GET") == []
    assert len(web.asked("HEAD", "trip-data/green_tripdata_2024-01.parquet")) == 1


def test_landing_leaves_nothing_behind_but_the_lake(
    month: Path, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, cwd = tmp_path / "home", tmp_path / "cwd"
    home.mkdir()
    cwd.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(cwd)
    land(settings)
    left = {p.name for p in settings.work_dir.rglob("*") if p.is_file()}
    assert left == {"green-2024-01.lock", "dlt.lock"}
    assert list(home.iterdir()) == list(cwd.iterdir()) == []
    (landing,) = Catalog(settings.lake_url).landings
    assert list(objects(settings)) == [landing.lake_path]


# --- versions ------------------------------------------------------------------------------------


def test_a_touched_file_is_the_same_version(month: Path, settings: Settings) -> None:
    land(settings)
    before = objects(settings)
    os.utime(month, ns=(0, 1_700_000_000_000_000_000))
    assert outcomes(land(settings)) == {"green 2024-01": "same content"}
    assert objects(settings) == before
    (version,) = history(settings, "green", JANUARY)
    assert version.last_modified.timestamp() == 1_700_000_000
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}


def test_a_file_from_another_address_is_the_same_version(
    month: Path, settings: Settings, tmp_path: Path
) -> None:
    land(settings)
    publish(tmp_path / "mirror", "green", JANUARY, month.read_bytes())
    mirror = settings.model_copy(update={"tlc_url": (tmp_path / "mirror").as_uri()})
    assert outcomes(land(mirror)) == {"green 2024-01": "same content"}
    (version,) = history(settings, "green", JANUARY)
    assert version.source_url.startswith(mirror.tlc_url)


def test_a_changed_file_is_another_version_and_the_old_is_kept(
    published: Path, month: Path, settings: Settings
) -> None:
    land(settings)
    first = sha256(month)
    second = sha256(publish(published, "green", JANUARY, trips("green", JANUARY, seed=1)))
    assert outcomes(land(settings)) == {"green 2024-01": "re-published"}
    assert sorted(objects(settings).values()) == sorted([first, second])
    assert [v.file_id for v in history(settings, "green", JANUARY)] == [first, second]
    assert current(settings) == [second]
    assert not [v for v in verify(settings) if v.fault]


def test_a_version_that_comes_back_is_current_again(
    published: Path, month: Path, settings: Settings
) -> None:
    original = month.read_bytes()
    land(settings)
    publish(published, "green", JANUARY, trips("green", JANUARY, seed=1))
    land(settings)
    publish(published, "green", JANUARY, original)
    assert outcomes(land(settings)) == {"green 2024-01": "re-published"}
    assert current(settings) == [hashlib.sha256(original).hexdigest()]
    assert len(history(settings, "green", JANUARY)) == len(objects(settings)) == 2
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}


def test_two_months_may_hold_the_same_bytes(
    published: Path, month: Path, settings: Settings
) -> None:
    publish(published, "green", FEBRUARY, month.read_bytes())
    assert outcomes(land(settings)) == {"green 2024-01": "new", "green 2024-02": "new"}
    january, february = (history(settings, "green", m) for m in (JANUARY, FEBRUARY))
    assert len(january) == len(february) == 1
    assert january[0].lake_path != february[0].lake_path
    assert objects(settings) == {x.lake_path: sha256(month) for x in january + february}


def test_more_files_than_one_batch_are_all_landed(published: Path, settings: Settings) -> None:
    months = [date(2020 + n // 12, n % 12 + 1, 1) for n in range(18)]
    for month in months:
        publish(published, "green", month, trips("green", month, rows=1))
    assert len(land(settings).of(Outcome.NEW)) == len(objects(settings)) == 18


# --- quarantine ----------------------------------------------------------------------------------


def test_what_cannot_be_trusted_is_kept_apart_and_the_rest_goes_on(
    published: Path, month: Path, settings: Settings
) -> None:
    broken = publish(published, "green", FEBRUARY, BROKEN)
    publish(published, "green", MARCH, trips("green", MARCH))
    report = land(settings)
    assert outcomes(report) == {
        "green 2024-01": "new",
        "green 2024-02": "quarantined",
        "green 2024-03": "new",
    }
    (quarantined,) = report.of(Outcome.QUARANTINED)
    assert "an XML error page" in quarantined.error
    landing = quarantined.landing
    assert landing.lake_path.startswith("quarantine/")
    assert (landing.status, landing.error) == ("quarantined", quarantined.error)
    assert lake_file(settings, landing).read_bytes() == broken.read_bytes()
    assert Catalog(settings.lake_url).quarantined() == [landing]
    assert len(current(settings)) == 2
    assert not [v for v in verify(settings) if v.fault]


def test_a_broken_republication_leaves_the_old_version_current(
    published: Path, month: Path, settings: Settings
) -> None:
    land(settings)
    good = sha256(month)
    publish(published, "green", JANUARY, BROKEN)
    for _ in range(2):
        report = land(settings)
        assert outcomes(report) == {"green 2024-01": "quarantined"}
        assert "an XML error page" in report.files[0].error
        assert current(settings) == [good]
    assert len(Catalog(settings.lake_url).landings) == 2


def test_a_month_that_is_mended_is_new(published: Path, settings: Settings) -> None:
    publish(published, "green", JANUARY, BROKEN)
    land(settings)
    mended = publish(published, "green", JANUARY, trips("green", JANUARY))
    assert outcomes(land(settings)) == {"green 2024-01": "new"}
    assert current(settings) == [sha256(mended)]
    assert Catalog(settings.lake_url).quarantined() == []


def test_what_was_distrusted_for_a_fault_of_ours_is_new_once_that_is_mended(
    month: Path, settings: Settings
) -> None:
    """The published bytes are the same as before; what is found of them is not."""
    land(settings)
    (landing,) = Catalog(settings.lake_url).landings
    lake = local_path(settings.lake_url)
    assert lake is not None
    kept = lake / "quarantine" / lake_file(settings, landing).name
    kept.parent.mkdir()
    lake_file(settings, landing).rename(kept)
    (entry,) = (lake / "catalog").rglob("*.json")
    entry.write_text(
        json.dumps(
            json.loads(entry.read_text())
            | {"status": "quarantined", "error": "?", "lake_path": f"quarantine/{kept.name}"}
        )
    )
    assert outcomes(land(settings)) == {"green 2024-01": "new"}
    assert current(settings) == [sha256(month)]
    assert not [v for v in verify(settings) if v.fault]
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}


def test_a_month_that_breaks_and_changes_is_republished(
    published: Path, month: Path, settings: Settings
) -> None:
    land(settings)
    publish(published, "green", JANUARY, BROKEN)
    land(settings)
    mended = publish(published, "green", JANUARY, trips("green", JANUARY, seed=1))
    assert outcomes(land(settings)) == {"green 2024-01": "re-published"}
    assert current(settings) == [sha256(mended)]


def test_a_month_that_breaks_and_comes_back_is_the_same(
    published: Path, month: Path, settings: Settings
) -> None:
    good = month.read_bytes()
    land(settings)
    publish(published, "green", JANUARY, BROKEN)
    land(settings)
    publish(published, "green", JANUARY, good)
    assert outcomes(land(settings)) == {"green 2024-01": "same content"}
    assert current(settings) == [hashlib.sha256(good).hexdigest()]
    assert Catalog(settings.lake_url).quarantined() == []


def test_a_month_that_breaks_twice_is_kept_twice(published: Path, settings: Settings) -> None:
    contents = [BROKEN, BROKEN + b" again"]
    for content in contents:
        publish(published, "green", JANUARY, content)
        assert outcomes(land(settings)) == {"green 2024-01": "quarantined"}
    kept = {name: value for name, value in objects(settings).items() if "quarantine/" in name}
    assert sorted(kept.values()) == sorted(hashlib.sha256(c).hexdigest() for c in contents)
    (last,) = Catalog(settings.lake_url).quarantined()
    assert last.file_id == hashlib.sha256(contents[1]).hexdigest()
    assert current(settings) == []


def test_a_broken_content_that_comes_back_stays_quarantined(
    published: Path, month: Path, settings: Settings
) -> None:
    good = month.read_bytes()
    for content in (BROKEN, good, BROKEN):
        publish(published, "green", JANUARY, content)
        report = land(settings)
    assert outcomes(report) == {"green 2024-01": "quarantined"}
    assert current(settings) == [hashlib.sha256(good).hexdigest()]


class Told(Quiet):
    """A ``Progress`` that remembers what it was told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.done: dict[str, tuple[str, int | None]] = {}
        self.bytes = 0

    def advance(self, done_bytes: int) -> None:
        self.bytes += done_bytes

    def file_done(self, name: str, note: str, rows: int | None = None) -> None:
        self.done[name] = (note, rows)

    def say(self, message: str) -> None:
        self.messages.append(message)


def test_progress_is_told_of_rows_reasons_and_drift(
    published: Path, month: Path, settings: Settings
) -> None:
    publish(published, "green", FEBRUARY, b"")
    table = trips("green", MARCH)
    path = publish(published, "green", MARCH, table.append_column("surge", table["extra"]))
    told = Told()
    land(settings, progress=told)
    assert told.done == {
        "green 2024-01": ("new", 20),
        "green 2024-02": ("quarantined: the file is empty (0 bytes)", None),
        "green 2024-03": ("new", 20),
    }
    assert told.messages == [
        "green 2024-03: unknown column surge (double) is kept in raw and not read"
    ]
    assert told.bytes == month.stat().st_size + path.stat().st_size


# --- faults --------------------------------------------------------------------------------------


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
    assert "green 2024-01" in failed.error
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
    assert not [v for v in verify(settings) if v.fault]


# --- kill -9 -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "fragment"),
    [
        pytest.param("open", "/spool/", id="before-a-download"),
        pytest.param("open", "quarantine/", id="before-a-quarantine"),
        pytest.param("os.rename", ".partial", id="before-a-copy-has-its-name"),
        pytest.param("open", "/catalog/green/2024-01", id="before-the-first-record"),
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
    assert not [v for v in verify(settings) if v.fault]

    land(settings)
    unharmed = make_settings(lake_url=settings.lake_url.replace("/lake", "/unharmed"))
    land(unharmed)
    assert objects(settings) == objects(unharmed)
    assert said(settings) == said(unharmed)
    assert outcomes(land(settings)) == outcomes(land(unharmed))
    assert list(settings.spool_dir.iterdir()) == []


# --- verify and history --------------------------------------------------------------------------


def test_a_changed_byte_and_a_missing_object_are_found(published: Path, settings: Settings) -> None:
    for month in (JANUARY, FEBRUARY, MARCH):
        publish(published, "green", month, trips("green", month))
    landed = {f.published.month: f.landing for f in land(settings).files}
    changed = lake_file(settings, landed[JANUARY])
    content = bytearray(changed.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    lake_file(settings, landed[FEBRUARY]).unlink()
    faults = {v.landing.month: v.fault for v in verify(settings)}
    found = hashlib.sha256(content).hexdigest()
    assert faults == {
        JANUARY: f"its bytes have changed (sha256 {found})",
        FEBRUARY: "it is gone",
        MARCH: None,
    }


def test_history_is_every_version_of_one_month(published: Path, settings: Settings) -> None:
    contents = [trips("green", JANUARY, seed=seed) for seed in range(3)]
    paths = []
    for content in contents:
        paths.append(sha256(publish(published, "green", JANUARY, content)))
        publish(published, "green", FEBRUARY, content)
        land(settings)
    versions = history(settings, "green", JANUARY)
    assert [v.file_id for v in versions] == paths
    assert [v.landed_at for v in versions] == sorted(v.landed_at for v in versions)
    assert history(settings, "green", MARCH) == []


@pytest.mark.parametrize("name", ["my lake", "Zoë's #1 [lake]"])
def test_a_lake_in_any_folder_is_one_lake(
    name: str, month: Path, tmp_path: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings(lake_url=str(tmp_path / "lakes" / name))
    land(settings)
    assert [p.name for p in (tmp_path / "lakes").iterdir()] == [name]
    assert not [v for v in verify(settings) if v.fault]
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}
