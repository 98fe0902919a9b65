"""Landing what cannot be trusted: it is kept apart with its reason, and is no version."""

import hashlib
import json
from datetime import date
from pathlib import Path

from ingestion.addresses import local_path
from ingestion.lake.catalog import Catalog
from ingestion.lake.verify import verify
from ingestion.land import Outcome, land
from ingestion.settings import Settings
from tests.support.lakes import BROKEN, current, lake_file, objects, outcomes, sha256
from tests.support.trips import publish, trips

JANUARY, FEBRUARY, MARCH = (date(2024, month, 1) for month in (1, 2, 3))


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
    assert not [v for v in verify(settings) if v.error]


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
    assert not [v for v in verify(settings) if v.error]
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
