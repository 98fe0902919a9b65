"""Landing: what is published is in the lake, byte for byte, and every version of it."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.lake.catalog import Catalog
from ingestion.lake.history import history
from ingestion.lake.verify import orphans, verify
from ingestion.land import LandReport, Outcome, land
from ingestion.progress import Quiet
from ingestion.settings import Settings
from ingestion.sources.tlc.datasets import DATASETS
from tests.conftest import MakeSettings
from tests.support.lakes import BROKEN, current, lake_file, objects, outcomes, sha256
from tests.support.trips import ZONES, publish, trip_files, trips
from tests.support.web import Web

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


DERIVED = [d.name for d in DATASETS.values() if d.derived]

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
    # and what is read out of the shapefile
    derived = [x for x in Catalog(settings.lake_url).current() if x.dataset in DERIVED]
    assert len(derived) == len(DERIVED)
    expected |= {landing.lake_path: landing.file_id for landing in derived}
    assert objects(settings) == expected


def test_the_catalog_says_what_every_real_file_holds(
    real_data: Path, real_lake: tuple[Settings, LandReport]
) -> None:
    settings, _ = real_lake
    held = {x.key: x for x in Catalog(settings.lake_url).current()}
    for dataset, month, path in trip_files(real_data):
        landing = held[dataset, month, None]
        assert landing.row_count == pq.read_metadata(path).num_rows
        assert landing.columns == tuple((f.name, str(f.type)) for f in pq.read_schema(path))
        assert landing.bytes == path.stat().st_size
        assert landing.file_id == sha256(path)
        assert landing.table_name == f"{path.stem.replace('-', '_')}__{landing.file_id[:8]}"
    assert held["taxi_zone_lookup", None, None].row_count == 265
    assert held["tlc_monthly_report", None, None].row_count == 812


def test_every_real_file_is_verified(real_lake: tuple[Settings, LandReport]) -> None:
    settings, report = real_lake
    verified = verify(settings)
    assert len(verified) == len(report.files) + len(DERIVED)
    assert [v for v in verified if v.error] == []


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
    assert [v.error for v in verify(settings) if v.error] == []


# --- nothing new ---------------------------------------------------------------------------------

LAND_AGAIN = """
import json, sys
from ingestion.land import land
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


LAND_IN_THREADS = """
import json, sys
from ingestion.errors import FetchError
from ingestion.land import land_files
from ingestion.published import published_now
from ingestion.settings import load_settings

found = []

def fetch(file):
    found.append("dlt.sources.helpers.requests" in sys.modules)
    raise FetchError("enough")

settings = load_settings()
land_files(settings, published_now(settings), fetch=fetch)
print(json.dumps(found))
"""


def test_threads_that_fetch_find_dlt_imported(
    published: Path, settings: Settings, tmp_path: Path
) -> None:
    # Two of them that each began with another module of it would block each other for good: the
    # one of an API and the one of a database did.
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    environment = {
        "MEDALLION_TLC_URL": settings.tlc_url,
        "MEDALLION_LAKE_URL": settings.lake_url,
        "MEDALLION_WORK_DIR": str(settings.work_dir),
    }
    done = subprocess.run(
        [sys.executable, "-c", LAND_IN_THREADS],
        cwd=tmp_path,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == [True, True]


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
    assert not [v for v in verify(settings) if v.error]


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


# --- progress ------------------------------------------------------------------------------------


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
    faults = {v.landing.month: v.error for v in verify(settings)}
    found = hashlib.sha256(content).hexdigest()
    assert faults == {
        JANUARY: f"its bytes have changed (sha256 {found})",
        FEBRUARY: "it is gone",
        MARCH: None,
    }


@pytest.mark.parametrize("damage", ["cut short", "deleted"])
def test_a_record_that_is_lost_is_found_and_landing_again_mends_it(
    damage: str, published: Path, settings: Settings, tmp_path: Path
) -> None:
    for month in (JANUARY, FEBRUARY):
        publish(published, "green", month, trips("green", month))
    publish(published, "taxi_zone_lookup", None, ZONES)
    for content in (BROKEN, trips("green", MARCH)):
        publish(published, "green", MARCH, content)
        land(settings)
    lake = tmp_path / "lake"
    for folder in (lake, lake / "raw" / "green", lake / "catalog" / "green" / "2024-02"):
        (folder / "not ours.json").write_text("{")
    before = objects(settings)
    assert orphans(settings) == []
    records = [
        *lake.glob("catalog/green/2024-02/2*.json"),
        *lake.glob("catalog/taxi_zone_lookup/current/*.json"),
    ]
    for path in records:
        os.truncate(path, 100) if damage == "cut short" else path.unlink()
    assert not [v for v in verify(settings) if v.error]  # all that is spoken of is there
    found = orphans(settings)
    lost = [s for s in found if "it has no catalog record" in s.error]
    assert [Path(s.path).name.partition("__")[0] for s in lost] == [
        "green_tripdata_2024_02",
        "taxi_zone_lookup",
    ]
    assert "medallion land --dataset green --from 2024-02 --to 2024-02" in lost[0].remedy
    assert lost[1].remedy.endswith("medallion land --dataset taxi_zone_lookup")
    unreadable = [s for s in found if "cannot be read" in s.error]
    assert {s.path for s in unreadable} == {
        p.relative_to(lake).as_posix() for p in records if p.exists()
    }
    # as it says
    for path in records:
        path.unlink(missing_ok=True)
    land(settings, ["green"], FEBRUARY, FEBRUARY)
    land(settings, ["taxi_zone_lookup"])
    assert orphans(settings) == []
    assert objects(settings) == before
    assert len(verify(settings)) == 5


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


@pytest.mark.parametrize("name", ["my lake", "Zoë's #1 [lake]", "a?*", "C:\\lake"])
def test_a_lake_in_any_folder_is_one_lake(
    name: str, month: Path, tmp_path: Path, make_settings: MakeSettings
) -> None:
    settings = make_settings(lake_url=str(tmp_path / "lakes" / name))
    land(settings)
    assert [p.name for p in (tmp_path / "lakes").iterdir()] == [name]
    assert not [v for v in verify(settings) if v.error]
    assert outcomes(land(settings)) == {"green 2024-01": "unchanged"}
