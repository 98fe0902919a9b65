"""A lake that is not there, is another one, or has lost records: nothing is taken away in silence.

The facts follow what ``raw.files`` calls current, so that is what must not change.
"""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

import ingestion
from ingestion.__main__ import main as ingestion_alone
from ingestion.addresses import local_path
from ingestion.errors import MedallionError
from ingestion.lake.catalog import Catalog
from ingestion.lake.history import compare
from ingestion.lake.reading.views import write_lake_views
from ingestion.lake.verify import orphans, verify
from ingestion.land import land
from ingestion.load import LoadReport, load
from ingestion.progress import Quiet
from ingestion.settings import Settings
from orchestration.job import pipeline as stages
from orchestration.job.doctor import doctor
from orchestration.job.retention import superseded
from orchestration.job.status import status
from orchestration.tasks import check_state, inventory
from tests.support.trips import ZONES, publish, trips
from tests.support.warehouses import contents, differences, landed_and_loaded, rows, shown_months

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))
CURRENT = "select dataset, month from raw.files where is_current order by month"


def records(settings: Settings, pattern: str) -> list[Path]:
    lake = local_path(settings.lake_url)
    assert lake is not None
    return sorted((lake / "catalog").glob(pattern))


def refused(work: Callable[[], object]) -> str:
    """The one line that it fails with."""
    with pytest.raises(MedallionError) as raised:
        work()
    assert type(raised.value) is MedallionError
    assert "\n" not in str(raised.value)
    return str(raised.value)


def as_environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tlc_url", "lake_url", "duckdb_path", "work_dir"):
        monkeypatch.setenv(f"MEDALLION_{name.upper()}", str(getattr(settings, name)))


# --- a record that cannot be read ----------------------------------------------------------------


def test_every_verb_that_reads_the_catalog_fails_and_names_the_record(
    loaded: LoadReport,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_environment(settings, monkeypatch)
    before = contents(settings)
    (record,) = records(settings, "green/2024-01/*")
    whole = record.read_bytes()
    record.write_bytes(whole[:100])
    verbs: list[Callable[[], object]] = [
        lambda: stages.run(settings),
        lambda: land(settings),
        lambda: load(settings),
        lambda: load(settings, drop_unknown=True),
        lambda: load(settings, ["green"], FEBRUARY, FEBRUARY),
        lambda: status(settings),
        lambda: compare(settings, "green", FEBRUARY),
        lambda: write_lake_views(settings, tmp_path / "views.duckdb"),
        lambda: ingestion.dataset("green", settings=settings),
        lambda: check_state.fn([]),
        lambda: inventory.fn(),
        lambda: superseded(settings, timedelta(0)),
    ]
    for verb in verbs:
        assert f"The record catalog/green/2024-01/{record.name} " in refused(verb)
    assert record.name in next(c.detail for c in doctor(settings) if c.name == "lake")
    assert ingestion_alone([]) == 1
    assert record.name in capsys.readouterr().err
    assert differences(before, contents(settings)) == {}
    assert [v.error for v in verify(settings)] == [None]
    assert record.name in [s.path.rpartition("/")[2] for s in orphans(settings)]
    record.write_bytes(whole)
    assert orphans(settings) == []
    assert load(settings) == LoadReport()


def test_a_path_that_leads_out_of_the_lake_is_not_followed(
    loaded: LoadReport, settings: Settings, tmp_path: Path
) -> None:
    (record,) = records(settings, "green/2024-01/*")
    outside = tmp_path / "outside" / loaded.loaded[0].lake_path.rpartition("/")[2]
    text = record.read_text()
    record.write_text(text.replace('"raw/green/', '"raw/green/../../../outside/'))
    assert record.read_text() != text
    assert "lake_path" in refused(lambda: load(settings.model_copy(update={"raw": "in_place"})))
    assert "lake_path" in refused(lambda: ingestion.dataset("green", settings=settings))
    assert [v.landing.name for v in verify(settings)] == ["green 2024-02"]
    assert not outside.parent.exists()


# --- what the lake does not know -----------------------------------------------------------------


def test_another_lake_takes_nothing_away_until_it_is_told_to(
    loaded: LoadReport,
    published: Path,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    publish(published, "taxi_zone_lookup", None, ZONES)
    publish(published, "green", date(2024, 5, 1), trips("green", date(2024, 5, 1)))
    landed_and_loaded(settings)
    before, current = contents(settings), rows(settings, CURRENT)
    other = settings.model_copy(update={"lake_url": (tmp_path / "other").as_uri()})
    as_environment(other, monkeypatch)
    named = "green 2024-01 to 2024-02, green 2024-05, taxi_zone_lookup"
    verbs: list[Callable[[], object]] = [
        lambda: load(other),
        lambda: load(other, ["green"], MARCH, MARCH),
        lambda: load(other.model_copy(update={"raw": "in_place"})),
        lambda: stages.run(other),
        lambda: check_state.fn([]),
        lambda: inventory.fn(),
    ]
    for verb in verbs:
        line = refused(verb)
        assert f"shows {named}, which the lake {other.lake_url} knows nothing of" in line
        assert line.endswith("medallion load --drop-unknown")
    assert ingestion_alone([]) == 1
    assert not (tmp_path / "other").exists()  # a folder that is not mounted is not filled
    assert named in (status(other).unknown or "")
    assert status(settings).unknown is None
    assert named in next(c.detail for c in doctor(other) if c.name == "warehouse")
    assert differences(before, contents(settings)) == {}

    # with the same file landed there, the others are still not known
    publish(published, "green", MARCH, trips("green", MARCH))
    land(other, ["green"], JANUARY, JANUARY)
    assert "shows green 2024-02, green 2024-05" in refused(lambda: load(other))
    assert rows(settings, CURRENT) == current

    load(other, drop_unknown=True)
    assert rows(settings, CURRENT) == [("green", JANUARY), ("taxi_zone_lookup", None)]
    assert len(shown_months(settings)) == 1
    assert load(other) == LoadReport()
    assert superseded(other, timedelta(0)) == []  # the only ones that there may be
    # nothing is lost: the tables are there, and shown again by the lake that knows them
    assert load(settings) == LoadReport()
    assert rows(settings, CURRENT) == current


def test_what_was_known_after_a_day_is_taken_out_as_of_it(
    published: Path, settings: Settings
) -> None:
    """In a warehouse that several days share, as one that a server keeps."""
    publish(published, "green", JANUARY, trips("green", JANUARY))
    landed_and_loaded(settings)
    yesterday = datetime.now(UTC).date() - timedelta(days=1)
    load(settings, as_of=yesterday)
    assert shown_months(settings) == {}
    load(settings)
    assert len(shown_months(settings)) == 1


def test_landing_a_lost_month_again_makes_it_known(loaded: LoadReport, settings: Settings) -> None:
    before = contents(settings)
    (record,) = records(settings, "green/2024-02/*")
    record.unlink()
    assert "shows green 2024-02, which" in refused(lambda: load(settings))
    land(settings, ["green"], FEBRUARY, FEBRUARY)  # as the line says
    assert load(settings) == LoadReport()
    assert differences(before, contents(settings)) == {}


# --- clocks --------------------------------------------------------------------------------------


def test_landings_from_the_future_are_told_of(published: Path, settings: Settings) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    land(settings)
    (landing,) = Catalog(settings.lake_url).landings
    (record,) = records(settings, "green/2024-01/*")
    record.unlink()
    ahead = datetime.now(UTC) + timedelta(days=400)
    Catalog(settings.lake_url).append(replace(landing, landed_at=ahead))
    said: list[str] = []

    class Listening(Quiet):
        def say(self, message: str, /) -> None:
            said.append(message)

    publish(published, "green", FEBRUARY, trips("green", FEBRUARY))
    land(settings, progress=Listening())
    (line,) = said
    assert line.startswith("warning: 1 landing in the catalog is ahead of this machine's clock")
    assert "ahead of this machine's clock" in next(
        c.detail for c in doctor(settings) if c.name == "lake" and not c.good
    )
    # and what was landed since is behind it
    assert [s.remedy.rpartition(" --dataset ")[2] for s in orphans(settings)] == [
        "green --from 2024-01 --to 2024-01",
        "green --from 2024-02 --to 2024-02",
    ]
    for path in records(settings, "green/*/*"):  # as it says
        path.unlink()
    land(settings)
    assert orphans(settings) == []
    assert [f.name for f in Catalog(settings.lake_url).current(datetime.now(UTC).date())] == [
        "green 2024-01",
        "green 2024-02",
    ]


# --- names ---------------------------------------------------------------------------------------


def two_that_begin_alike() -> list[bytes]:
    """Two zone lookups whose sha256 have the same first 8 hex digits."""
    seen: dict[str, bytes] = {}
    for n in count():
        content = ZONES.replace(b"Jamaica Bay", b"Jamaica Bay %d" % n)
        digits = hashlib.sha256(content).hexdigest()[:8]
        if digits in seen:
            return [seen[digits], content]
        seen[digits] = content
    raise AssertionError


def test_versions_whose_ids_begin_alike_are_both_kept_and_loaded(
    published: Path, settings: Settings
) -> None:
    both = two_that_begin_alike()
    for content in (*both, both[0]):
        publish(published, "taxi_zone_lookup", None, content)
        landed_and_loaded(settings)
    versions = Catalog(settings.lake_url).versions()
    assert [v.file_id for v in versions] == [hashlib.sha256(c).hexdigest() for c in both]
    assert len({v.lake_path for v in versions}) == 2
    assert [v.error for v in verify(settings)] == [None, None]
    assert orphans(settings) == []
    assert rows(settings, "select table_name, is_current from raw.files order by landed_at") == [
        (versions[0].table_name, True),
        (versions[1].table_name, False),
    ]
    for version, content in zip(versions, both, strict=True):
        zone = rows(settings, f'select "Zone" from raw.{version.table_name} where "LocationID" = 2')
        assert str(zone[0][0]).encode() in content
