"""A lake in a folder and in the buckets of three clouds: the same bytes, the same answers."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from ingestion.lake import LandReport, history, land, verify
from ingestion.settings import Settings
from tests.support.stores import Store
from tests.support.trips import ZONES, publish, trips

MakeSettings = Callable[..., Settings]

JANUARY, FEBRUARY = date(2024, 1, 1), date(2024, 2, 1)


def outcomes(report: LandReport) -> dict[str, str]:
    return {f.published.name: f.outcome.value for f in report.files}


@pytest.fixture
def settings(store: Store, published: Path, make_settings: MakeSettings) -> Settings:
    return make_settings(lake_url=store.new_lake())


def test_versions_are_landed_once_and_verified(settings: Settings, published: Path) -> None:
    publish(published, "green", JANUARY, trips("green", JANUARY))
    publish(published, "green", FEBRUARY, b"<?xml version='1.0'?><Error/>")
    publish(published, "taxi_zone_lookup", None, ZONES)
    assert set(outcomes(land(settings)).values()) == {"new", "quarantined"}
    publish(published, "green", JANUARY, trips("green", JANUARY, seed=1))
    assert outcomes(land(settings))["green 2024-01"] == "re-published"
    assert outcomes(land(settings))["green 2024-01"] == "unchanged"
    assert len(history(settings, "green", JANUARY)) == 2
    verified = verify(settings)
    assert len(verified) == 4
    assert not [v for v in verified if v.fault]
